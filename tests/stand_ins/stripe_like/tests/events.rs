//! The list of events.

use super::*;

async fn customers(bench: &Bench, count: usize) {
    for _ in 0..count {
        bench.post("/v1/customers", "name=A").await;
    }
}

fn known(bench: &Bench) -> Vec<String> {
    bench.stripe.events().into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn pages_lead_from_the_newest_to_the_oldest_and_back() {
    let bench = Bench::start().await;
    customers(&bench, 7).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = bench.get(&format!("/v1/events?limit=3{after}")).await;
        seen.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", seen[seen.len() - 1]);
    }
    seen.reverse();
    let all = known(&bench);
    assert_eq!(seen, all);
    let back = bench.get(&format!("/v1/events?limit=3&ending_before={}", all[0])).await;
    assert_eq!(ids(&back), [all[3].clone(), all[2].clone(), all[1].clone()]);
    assert_eq!(back["has_more"], true);
    let rest = bench.get(&format!("/v1/events?ending_before={}", all[3])).await;
    assert_eq!((ids(&rest).len(), &rest["has_more"]), (3, &false.into()));
    assert_eq!(bench.call("GET", "/v1/events?limit=101", "", None).await.0, 400);
    assert_eq!(bench.call("GET", "/v1/events?starting_after=evt_999", "", None).await.0, 400);
}

#[tokio::test]
async fn types_and_times_choose_among_them() {
    let bench = Bench::start().await;
    customers(&bench, 1).await;
    bench.stripe.advance(100);
    bench.post("/v1/products", "name=Plan").await;
    customers(&bench, 1).await;
    let all = known(&bench);
    let both = bench.get("/v1/events?types[]=customer.created&types[]=invoice.paid").await;
    assert_eq!(ids(&both), [all[2].clone(), all[0].clone()]);
    assert_eq!(ids(&bench.get("/v1/events?type=product.created").await), [all[1].clone()]);
    for (bound, count) in [
        (format!("[gte]={}", START + 100), 2),
        (format!("[gt]={START}"), 2),
        (format!("[lt]={}", START + 100), 1),
        (format!("[lte]={}", START + 100), 3),
        (format!("={START}"), 1),
    ] {
        let listed = bench.get(&format!("/v1/events?created{bound}")).await;
        assert_eq!(ids(&listed).len(), count, "{bound}");
    }
}

#[tokio::test]
async fn they_are_kept_for_30_days() {
    let bench = Bench::start().await;
    customers(&bench, 1).await;
    let path = format!("/v1/events/{}", known(&bench)[0]);
    bench.stripe.advance(30 * DAY);
    assert_eq!(ids(&bench.get("/v1/events").await).len(), 1);
    assert_eq!(bench.get(&path).await["type"], "customer.created");
    bench.stripe.advance(1);
    assert!(ids(&bench.get("/v1/events").await).is_empty());
    assert_eq!(bench.call("GET", &path, "", None).await.0, 404);
}

#[tokio::test]
async fn an_event_shows_its_object_as_it_was_and_which_request_caused_it() {
    let bench = Bench::start().await;
    let (status, _) = bench.call("POST", "/v1/customers", "name=A", Some("made")).await;
    assert_eq!(status, 200);
    bench.post("/v1/customers/cus_1", "name=B").await;
    let events = bench.stripe.events();
    let first = events[0].json();
    assert_eq!((&first["data"]["object"]["name"], &first["livemode"]), (&"A".into(), &false.into()));
    assert_eq!((&first["id"], &first["type"]), (&events[0].id.as_str().into(), &events[0].kind.into()));
    assert_eq!((&first["created"], &first["api_version"]), (&events[0].created.into(), &API_VERSION.into()));
    assert_eq!(first["request"]["idempotency_key"], "made");
    let listed = bench.get("/v1/events").await;
    assert_eq!(listed["data"][1], first);
}
