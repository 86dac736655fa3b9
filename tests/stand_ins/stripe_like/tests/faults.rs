//! Faults.

use std::time::Duration;

use super::*;

async fn customer(bench: &Bench, key: &str) -> reqwest::Result<reqwest::Response> {
    bench.send("POST", "/v1/customers", "name=A", Some(key)).await
}

#[tokio::test]
async fn a_busy_stripe_answers_so_as_often_as_told() {
    let bench = Bench::start().await;
    bench.stripe.next(Fault::Status(429, Some(2)), 2, "/v1/customers");
    for _ in 0..2 {
        let busy = customer(&bench, "one").await.expect("answers");
        assert_eq!(busy.status().as_u16(), 429);
        assert_eq!(busy.headers()["Retry-After"], "2");
    }
    assert!(bench.stripe.events().is_empty());
    assert_eq!(customer(&bench, "one").await.expect("answers").status().as_u16(), 200);
    bench.stripe.next(Fault::Told(503, true), 1, "/v1/");
    let told = customer(&bench, "two").await.expect("answers");
    assert_eq!(told.headers()["Stripe-Should-Retry"], "true");
    assert_eq!(customer(&bench, "two").await.expect("answers").status().as_u16(), 200);
}

#[tokio::test]
async fn only_a_500_is_kept_under_its_key() {
    let bench = Bench::start().await;
    bench.stripe.next(Fault::Status(500, None), 1, "/v1/customers");
    assert_eq!(customer(&bench, "one").await.expect("answers").status().as_u16(), 500);
    let again = customer(&bench, "one").await.expect("answers");
    assert_eq!((again.status().as_u16(), again.headers().contains_key("Idempotent-Replayed")), (500, true));
    assert_eq!(customer(&bench, "two").await.expect("answers").status().as_u16(), 200);
    bench.stripe.next(Fault::Status(500, None), 1, "/v1/customers");
    assert_eq!(customer(&bench, "two").await.expect("answers").status().as_u16(), 500);
    assert_eq!(customer(&bench, "two").await.expect("answers").status().as_u16(), 200, "what was kept stays");
    assert_eq!(bench.stripe.events().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_was_executed_and_a_refused_connection_was_not() {
    let bench = Bench::start().await;
    bench.stripe.next(Fault::Refuse, 1, "POST /v1/customers");
    bench.stripe.next(Fault::Lose, 1, "POST /v1/customers");
    assert_eq!(bench.get("/v1/customers").await["data"], Value::Array(Vec::new()));
    assert!(customer(&bench, "one").await.is_err());
    assert!(bench.stripe.events().is_empty());
    assert!(customer(&bench, "one").await.is_err());
    assert_eq!(bench.stripe.events().len(), 1);
    let replayed = customer(&bench, "one").await.expect("answers");
    assert!(replayed.headers().contains_key("Idempotent-Replayed"));
    assert_eq!((bench.stripe.events().len(), bench.stripe.requests().len()), (1, 4));
}

#[tokio::test]
async fn a_slow_answer_comes_after_its_effect() {
    let bench = Bench::start().await;
    bench.stripe.next(Fault::Slow(60_000), 1, "/v1/customers");
    tokio::select! {
        answer = customer(&bench, "one") => panic!("it answered too early: {answer:?}"),
        () = made(&bench) => {}
    }
    assert_eq!(customer(&bench, "one").await.expect("answers").status().as_u16(), 200);
    assert_eq!(bench.stripe.events().len(), 1);
    bench.stripe.next(Fault::Slow(1), 1, "/v1/customers");
    assert_eq!(customer(&bench, "two").await.expect("answers").status().as_u16(), 200);
}

#[tokio::test]
async fn a_held_answer_comes_when_the_test_lets_go() {
    let bench = Bench::start().await;
    bench.stripe.next(Fault::Held, 2, "/v1/customers");
    tokio::select! {
        answer = customer(&bench, "one") => panic!("it answered too early: {answer:?}"),
        () = made(&bench) => {}
    }
    bench.stripe.let_go(2);
    assert_eq!(customer(&bench, "one").await.expect("answers").status().as_u16(), 200);
    assert_eq!(bench.stripe.events().len(), 1);
}

/// Waits until something has happened.
async fn made(bench: &Bench) {
    while bench.stripe.events().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_stand_in_that_is_dropped_serves_no_longer() {
    let bench = Bench::start().await;
    customer(&bench, "one").await.expect("answers");
    let Bench { stripe, http } = bench;
    let url = format!("{}/v1/customers", stripe.base_url());
    drop(stripe);
    // The task ends at its next turn, and its connections with it.
    tokio::task::yield_now().await;
    assert!(http.get(url).send().await.is_err());
}
