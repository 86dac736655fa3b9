//! The connection to Stripe: what it sends, when it tries again, what it makes of answers.
//!
//! Pauses are of no length here, so that nothing waits.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use shared::config::StripeConfig;
use shared::ids::UserId;
use shared::stripe::objects::Subscription;
use shared::stripe::{NewCustomer, Patience, Stripe, StripeError, StripeResult};
use uuid::Uuid;

use super::scripted::{Said, Scripted};
use crate::harness::stand_in_http::Recorded;

const KEY: &str = "sk_test_of_these_tests";
const HASTE: Patience =
    Patience { attempt: Duration::from_secs(10), total: Duration::from_secs(25), first_pause: Duration::ZERO };

fn stripe_at(base_url: &str) -> Stripe {
    let config = StripeConfig {
        secret_key: Some(KEY.into()),
        publishable_key: None,
        webhook_secrets: Vec::new(),
        api_base: base_url.parse().unwrap(),
    };
    Stripe::new(&config).unwrap().unwrap().with_patience(HASTE)
}

async fn scripted(answers: Vec<Said>) -> (Scripted, Stripe) {
    let partner = Scripted::start(answers).await;
    let stripe = stripe_at(partner.base_url());
    (partner, stripe)
}

/// A call that changes something.
async fn change(stripe: &Stripe) -> StripeResult<String> {
    let new = NewCustomer { email: "ada@example.com", name: "Ada", user: UserId(Uuid::nil()) };
    stripe.create_customer(&new, "autoos:1:customer").await.map(|customer| customer.id)
}

/// What comes of a call that is answered so, and how often it was sent.
async fn outcome(answers: Vec<Said>) -> (StripeResult<String>, usize) {
    let (partner, stripe) = scripted(answers).await;
    let result = change(&stripe).await;
    (result, partner.asked().len())
}

fn customer() -> Said {
    Said::json(200, &json!({"id": "cus_1", "object": "customer"}))
}

fn refusal(status: u16) -> Said {
    Said::json(status, &json!({"error": {"type": "api_error", "message": "Words."}}))
}

fn unavailable(message: &str, saved: bool) -> StripeError {
    StripeError::Unavailable { message: message.to_owned(), saved }
}

fn lines(asked: &[Recorded]) -> Vec<String> {
    asked.iter().map(|request| format!("{} {} {}", request.method, request.path, request.body)).collect()
}

#[tokio::test]
async fn a_change_carries_version_key_and_idempotency_key() {
    let (partner, stripe) = scripted(vec![customer()]).await;
    assert_eq!(change(&stripe).await, Ok("cus_1".to_owned()));
    let asked = partner.asked();
    let nobody = Uuid::nil();
    assert_eq!(
        lines(&asked),
        [format!("POST /v1/customers email=ada@example.com&metadata[user_id]={nobody}&name=Ada")]
    );
    let header = |name: &str| asked[0].headers.get(name).map(String::as_str);
    assert_eq!(header("authorization"), Some("Bearer sk_test_of_these_tests"));
    assert_eq!(header("stripe-version"), Some("2026-09-30.endive"));
    assert_eq!(header("idempotency-key"), Some("autoos:1:customer"));
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(header("user-agent").is_some_and(|agent| agent.starts_with("autoos/")));
}

#[tokio::test]
async fn a_question_has_no_idempotency_key_and_its_parameters_in_the_address() {
    let (partner, stripe) = scripted(vec![Said::json(200, &json!({"data": [
        {"id": "price_0", "lookup_key": "another"}, {"id": "price_1", "lookup_key": "autoos:student:monthly:usd:999"},
    ]}))])
    .await;
    let price = stripe.find_price("autoos:student:monthly:usd:999").await.unwrap();
    assert_eq!(price.map(|price| price.id), Some("price_1".to_owned()));
    let asked = partner.asked();
    let expected = "GET /v1/prices?active=true&lookup_keys[0]=autoos:student:monthly:usd:999 ";
    assert_eq!(lines(&asked), [expected]);
    assert_eq!(asked[0].headers.get("idempotency-key"), None);
    assert_eq!(asked[0].headers.get("content-type"), None);
}

#[tokio::test]
async fn what_passes_is_tried_again_under_the_same_key() {
    let busy = refusal(429).with("retry-after", "0");
    let (partner, stripe) = scripted(vec![refusal(500), busy, refusal(409), customer()]).await;
    assert_eq!(change(&stripe).await, Ok("cus_1".to_owned()));
    let asked = partner.asked();
    assert_eq!(asked.len(), 4);
    for request in &asked {
        assert_eq!(request.idempotency_key(), Some("autoos:1:customer"));
        assert_eq!(request.body, asked[0].body);
    }
}

#[tokio::test]
async fn after_three_retries_the_last_answer_counts() {
    assert_eq!(outcome(vec![refusal(500)]).await, (Err(unavailable("status 500", true)), 4));
    assert_eq!(outcome(vec![refusal(409)]).await, (Err(unavailable("status 409", false)), 4));
    assert_eq!(outcome(vec![refusal(500), refusal(429)]).await, (Err(unavailable("status 429", false)), 4));
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_not_made() {
    let busy = refusal(429).with("retry-after", "3600");
    assert_eq!(outcome(vec![busy, customer()]).await, (Err(unavailable("status 429", false)), 1));
}

#[tokio::test]
async fn stripe_decides_whether_another_try_is_worth_it() {
    let broken = refusal(500).with("stripe-should-retry", "false");
    assert_eq!(outcome(vec![broken, customer()]).await, (Err(unavailable("status 500", true)), 1));
    let odd = refusal(400).with("stripe-should-retry", "true");
    assert_eq!(outcome(vec![odd, customer()]).await, (Ok("cus_1".to_owned()), 2));
}

#[tokio::test]
async fn a_declined_payment_is_not_tried_again() {
    let error = json!({"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor",
        "message": "Your card was declined."});
    let (result, asked) = outcome(vec![Said::json(402, &json!({"error": error})), customer()]).await;
    let declined = StripeError::Declined {
        code: Some("card_declined".to_owned()),
        decline_code: Some("do_not_honor".to_owned()),
        message: "Your card was declined.".to_owned(),
    };
    assert_eq!((result, asked), (Err(declined), 1));
}

#[tokio::test]
async fn a_key_that_is_repeated_in_a_refusal_is_taken_out_of_it() {
    let message = format!("Invalid API Key provided: {KEY}");
    let (result, _) = outcome(vec![Said::json(401, &json!({"error": {"message": message}}))]).await;
    assert_eq!(result, Err(StripeError::Unauthorized("Invalid API Key provided: [the key]".to_owned())));
}

#[tokio::test]
async fn nobody_at_the_address_is_a_stripe_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let result = change(&stripe_at(&format!("http://{address}"))).await;
    assert!(matches!(result, Err(StripeError::Unavailable { saved: false, .. })), "{result:?}");
}

#[tokio::test]
async fn no_answer_within_our_patience_is_a_stripe_out_of_reach() {
    // The system takes connections, and nobody answers them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stripe = stripe_at(&format!("http://{}", listener.local_addr().unwrap()));
    let stripe = stripe.with_patience(Patience { attempt: Duration::from_millis(1), ..HASTE });
    assert_eq!(change(&stripe).await, Err(unavailable("no answer within 1ms", false)));
}

#[tokio::test]
async fn an_answer_that_is_not_json_cannot_be_read() {
    for body in ["<html></html>", "", "[]", "{}"] {
        let (result, asked) = outcome(vec![Said::text(200, body), customer()]).await;
        assert!(matches!(result, Err(StripeError::Unreadable(_))), "{body}: {result:?}");
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let most = 4 * 1024 * 1024;
    let padded = |bytes: usize| {
        let body = r#"{"id": "cus_1"}"#;
        Said::text(200, &format!("{body}{}", " ".repeat(bytes - body.len())))
    };
    assert_eq!(outcome(vec![padded(most)]).await, (Ok("cus_1".to_owned()), 1));
    let longer = StripeError::Unreadable(format!("it has more than {most} bytes"));
    assert_eq!(outcome(vec![padded(most + 1)]).await, (Err(longer), 1));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let page = |ids: &[&str], has_more: bool| {
        let data: Vec<Value> = ids.iter().map(|id| json!({"id": id, "status": "active"})).collect();
        Said::json(200, &json!({"object": "list", "data": data, "has_more": has_more}))
    };
    let (partner, stripe) =
        scripted(vec![page(&["sub_1", "sub_2"], true), page(&["sub_3"], true), page(&[], false)]).await;
    let subscriptions = stripe.subscriptions(Some("cus_1")).await.unwrap();
    assert_eq!(subscriptions.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["sub_1", "sub_2", "sub_3"]);
    assert_eq!(
        lines(&partner.asked()),
        [
            "GET /v1/subscriptions?customer=cus_1&limit=100&status=all ",
            "GET /v1/subscriptions?customer=cus_1&limit=100&starting_after=sub_2&status=all ",
            "GET /v1/subscriptions?customer=cus_1&limit=100&starting_after=sub_3&status=all ",
        ]
    );
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let page = json!({"data": [{"id": "sub_1"}], "has_more": true});
    let (partner, stripe) = scripted(vec![Said::json(200, &page)]).await;
    let given_up = StripeError::Unreadable("the list has more than 10000 objects".to_owned());
    assert_eq!(stripe.subscriptions(None).await.err(), Some(given_up));
    assert_eq!(partner.asked().len(), 100);
}

#[tokio::test]
async fn events_come_oldest_first_and_as_stripe_wrote_them() {
    let event = |id: &str, created: i64| {
        format!(r#"{{ "id": "{id}", "type":"invoice.paid", "created": {created}, "x": 1.50 }}"#)
    };
    let (third, second, first) = (event("evt_3", 20), event("evt_2", 20), event("evt_1", 10));
    let newest = Said::text(200, &format!(r#"{{"data": [{third}], "has_more": true}}"#));
    let rest = Said::text(200, &format!(r#"{{"data": [{second}, {first}], "has_more": false}}"#));
    let (partner, stripe) = scripted(vec![newest, rest]).await;
    let events = stripe.events(DateTime::UNIX_EPOCH, &["invoice.paid"]).await.unwrap();
    assert_eq!(events.iter().map(|(event, _)| event.id.as_str()).collect::<Vec<_>>(), ["evt_1", "evt_2", "evt_3"]);
    assert_eq!(events.into_iter().map(|(_, raw)| raw).collect::<Vec<_>>(), [first, second, third]);
    assert_eq!(
        lines(&partner.asked())[1],
        "GET /v1/events?created[gte]=0&limit=100&starting_after=evt_3&types[0]=invoice.paid "
    );
}

fn price() -> Said {
    Said::json(200, &json!({"id": "price_2", "recurring": {"interval": "year"}}))
}

fn schedule() -> Said {
    let phase = json!({"start_date": 100, "end_date": 200, "items": [{"price": "price_1", "quantity": 1}]});
    Said::json(200, &json!({"id": "sub_sched_1", "phases": [phase]}))
}

const PHASES: &str = "POST /v1/subscription_schedules/sub_sched_1 end_behavior=release&phases[0][end_date]=200\
    &phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=1&phases[0][proration_behavior]=none\
    &phases[0][start_date]=100&phases[1][duration][interval]=year&phases[1][duration][interval_count]=1\
    &phases[1][items][0][price]=price_2&phases[1][proration_behavior]=none&proration_behavior=none";

#[tokio::test]
async fn a_price_for_the_next_period_is_planned_with_a_schedule() {
    let (partner, stripe) = scripted(vec![price(), schedule()]).await;
    let subscription: Subscription = serde_json::from_value(json!({"id": "sub_1"})).unwrap();
    let planned = stripe.schedule_price(&subscription, "price_2", "autoos:1").await.unwrap();
    assert_eq!(planned.id, "sub_sched_1");
    let asked = partner.asked();
    let made = "POST /v1/subscription_schedules from_subscription=sub_1";
    assert_eq!(lines(&asked), ["GET /v1/prices/price_2 ", made, PHASES]);
    let keys: Vec<Option<&str>> = asked.iter().map(Recorded::idempotency_key).collect();
    assert_eq!(keys, [None, Some("autoos:1:schedule"), Some("autoos:1:phases")]);
}

#[tokio::test]
async fn a_plan_that_is_there_already_is_changed() {
    let (partner, stripe) = scripted(vec![price(), schedule()]).await;
    let subscription: Subscription = serde_json::from_value(json!({"id": "sub_1", "schedule": "sub_sched_1"})).unwrap();
    stripe.schedule_price(&subscription, "price_2", "autoos:1").await.unwrap();
    let read = "GET /v1/subscription_schedules/sub_sched_1 ";
    assert_eq!(lines(&partner.asked()), ["GET /v1/prices/price_2 ", read, PHASES]);
}

#[tokio::test]
async fn nothing_is_asked_about_what_is_not_an_id() {
    let (partner, stripe) = scripted(vec![customer()]).await;
    let result = stripe.attach_payment_method("pm_1/../../customers/cus_2?", "cus_1", "autoos:1:method").await;
    assert!(matches!(result, Err(StripeError::NotFound(_))), "{result:?}");
    assert_eq!(partner.asked().len(), 0);
}
