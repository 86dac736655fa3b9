//! Who is let in, which parameters are, and what an idempotency key does.

use super::*;

#[tokio::test]
async fn a_call_without_the_key_or_the_version_is_refused() {
    let bench = Bench::start().await;
    let url = format!("{}/v1/customers", bench.stripe.base_url());
    let bare = bench.http.get(&url).send().await.expect("answers");
    assert_eq!(bare.status().as_u16(), 401);
    let wrong = bench.http.get(&url).bearer_auth("sk_test_other").send().await.expect("answers");
    assert_eq!(wrong.status().as_u16(), 401);
    let unversioned = bench.http.get(&url).bearer_auth(SECRET_KEY).send().await.expect("answers");
    assert_eq!(unversioned.status().as_u16(), 400);
    assert_eq!(bench.call("GET", "/v1/nothing", "", None).await.0, 404);
    assert_eq!(bench.stripe.requests().len(), 4);
}

#[tokio::test]
async fn unknown_and_missing_parameters_are_named() {
    let bench = Bench::start().await;
    let unknown = bench.try_post("/v1/customers", "email=a@example.com&colour=red").await;
    assert_eq!(refused(&unknown), (400, "parameter_unknown", "colour"));
    let missing = bench.try_post("/v1/subscriptions", "items[0][price]=price_1").await;
    assert_eq!(refused(&missing), (400, "parameter_missing", "customer"));
    let wrong = bench.try_post("/v1/customers", "email=nobody").await;
    assert_eq!(refused(&wrong), (400, "email_invalid", "email"));
    assert!(bench.stripe.events().is_empty());
}

#[tokio::test]
async fn an_id_that_names_nothing_is_404_in_the_path_and_400_in_a_parameter() {
    let bench = Bench::start().await;
    let named = bench.call("GET", "/v1/customers/cus_9", "", None).await;
    assert_eq!(refused(&named), (404, "resource_missing", "id"));
    let filtered = bench.call("GET", "/v1/subscriptions?customer=cus_9", "", None).await;
    assert_eq!(refused(&filtered), (400, "resource_missing", "customer"));
    for path in ["products/prod_9", "prices/price_9", "charges/ch_9", "payment_intents/pi_9", "refunds/re_9"] {
        assert_eq!(bench.call("GET", &format!("/v1/{path}"), "", None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_other_parameters_an_error() {
    let bench = Bench::start().await;
    let first = bench.call("POST", "/v1/customers", "email=a@example.com&name=A", Some("one")).await;
    let again = bench.send("POST", "/v1/customers", "name=A&email=a@example.com", Some("one")).await.expect("answers");
    assert_eq!(again.headers()["Idempotent-Replayed"], "true");
    assert_eq!((again.status().as_u16(), again.json::<Value>().await.expect("JSON")), first);
    for (path, body) in [("/v1/customers", "email=b@example.com"), ("/v1/products", "email=a@example.com&name=A")] {
        let (status, reused) = bench.call("POST", path, body, Some("one")).await;
        assert_eq!((status, text(&reused["error"]["type"])), (400, "idempotency_error".to_owned()));
    }
    assert_eq!(bench.kinds_after(0), ["customer.created"]);
    bench.stripe.advance(DAY);
    let late = bench.call("POST", "/v1/customers", "email=a@example.com&name=A", Some("one")).await;
    assert_ne!(late.1["id"], first.1["id"], "keys are forgotten after a day");
}

#[tokio::test]
async fn a_decline_is_kept_under_its_key_and_a_refused_parameter_is_not() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, method) = bench.payer("pm_card_chargeCustomerFail").await;
    let order = format!(
        "customer={customer}&items[0][price]={price}&default_payment_method={method}\
         &payment_behavior=error_if_incomplete"
    );
    let declined = bench.call("POST", "/v1/subscriptions", &order, Some("buy")).await;
    assert_eq!(declined.0, 402);
    let again = bench.send("POST", "/v1/subscriptions", &order, Some("buy")).await.expect("answers");
    assert_eq!(again.headers()["Idempotent-Replayed"], "true");
    assert_eq!(again.status().as_u16(), 402);
    assert_eq!(bench.call("POST", "/v1/customers", "nmae=A", Some("typo")).await.0, 400);
    assert_eq!(bench.call("POST", "/v1/customers", "name=A", Some("typo")).await.0, 200);
    let long = "k".repeat(256);
    assert_eq!(bench.call("POST", "/v1/customers", "name=A", Some(&long)).await.0, 400);
}

#[tokio::test]
async fn changes_without_a_key_are_found() {
    let bench = Bench::start().await;
    bench.post("/v1/customers", "name=A").await;
    bench.get("/v1/customers").await;
    assert!(bench.stripe.keyless().is_empty());
    bench.call("POST", "/v1/customers", "name=B", None).await;
    let keyless = bench.stripe.keyless();
    assert_eq!(keyless.len(), 1);
    assert_eq!((&*keyless[0].method, &*keyless[0].path, &*keyless[0].body), ("POST", "/v1/customers", "name=B"));
}

/// Status, code and parameter of a refused request.
fn refused((status, answer): &(u16, Value)) -> (u16, &str, &str) {
    let error = &answer["error"];
    (*status, error["code"].as_str().unwrap_or_default(), error["param"].as_str().unwrap_or_default())
}
