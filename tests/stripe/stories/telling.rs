//! What Stripe tells: in any order, twice, about nothing of ours, by somebody else, and while we ask it something.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{CHANGE, HISTORY, VISA, items, open_page, own, says, subscriber, text};
use crate::stand_ins::stripe_like::{Fault, Happened};
use crate::stripe::world::{SECRET, Till, signed, stories};

const EVENTS: &str = "/payments/stripe-events";

/// An event by hand.
fn event(id: &str, kind: &str, object: &Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": 1_768_467_600, "livemode": false,
        "pending_webhooks": 1, "type": kind, "data": {"object": object},
    })
}

/// All events of a type that admins see, the newest first.
async fn stored(till: &Till, kind: &str) -> Vec<Value> {
    let mut events = items(&till.again("root").await, &format!("{EVENTS}?limit=100")).await;
    events.retain(|event| event["type"] == kind);
    events
}

/// What happens to somebody's subscription at Stripe in four days, of which nothing is told: it begins on a page, is
/// made larger, partly given back and cancelled. Gives the events in their order.
async fn four_days(till: &Till, name: &str, larger: &str) -> Vec<Happened> {
    let account = till.here.verified(name).await;
    let session = open_page(&account.client, "student").await;
    till.tell().await;
    assert!(till.stripe.pay_checkout(&session));
    let first = till.stripe.invoices().pop().expect("an invoice");
    let subscription = till.standing(&account).await.id;
    till.pass(TimeDelta::days(1));
    till.stripe.change_plan_in_dashboard(&subscription, larger);
    till.pass(TimeDelta::days(1));
    till.stripe.refund_in_dashboard(text(&first["payments"]["data"][0]["payment"], "payment_intent"), 100);
    till.pass(TimeDelta::days(1));
    till.stripe.cancel_in_portal(&subscription);
    till.news()
}

stories! {
    async fn in_whatever_order_and_however_often_it_is_told_the_same_comes_of_it(till: &Till) {
        // So that the larger plan has a price.
        let kim = subscriber(till, "kim", "employee").await;
        let larger = till.standing(&kim).await.price;
        for (name, step) in [("ada", 1), ("eve", 5), ("bob", 7)] {
            let mut events = four_days(till, name, &larger).await;
            // The last one first, or in a circle; in the end all of them once more.
            events.reverse();
            let count = events.len();
            for place in 0..count {
                let event = &events[place * step % count];
                till.deliver(&[event.clone(), event.clone()]).await;
            }
            till.deliver(&events).await;
            let client = till.again(name).await;
            says(&own(&client).await, &json!({"tier": "employee", "status": "active", "cancel_at_period_end": true}));
            let mut paid: Vec<_> = items(&client, HISTORY).await;
            paid.sort_by_key(|one| one["amount_minor"].as_i64());
            let kinds: Vec<_> = paid.iter().map(|one| (&one["kind"], &one["tier"])).collect();
            assert_eq!(kinds, [
                (&json!("refund"), &json!("student")), (&json!("invoice"), &json!("student")),
                (&json!("invoice"), &json!("employee")),
            ], "{name}: {paid:?}");
            for (kind, count) in [("payment_confirmed", 1), ("invoice_paid", 1), ("payment_failed", 0)] {
                assert_eq!(till.told(name, kind).await, count, "{name}: {kind}");
            }
            till.compare().await;
        }
    }

    async fn what_is_about_nothing_of_ours_is_stored_and_ignored(till: &Till) {
        till.here.admin("root").await;
        subscriber(till, "ada", "student").await;
        // Stripe tells more than we look at, and another shop sells to customers of its own.
        assert_eq!(stored(till, "customer.created").await[0]["status"], "ignored");
        assert_eq!(stored(till, "customer.subscription.created").await[0]["status"], "applied");
        till.tick();
        let customer = till.make("/v1/customers", "email=eve@example.com").await["id"].clone();
        let other = format!("customer={}", customer.as_str().expect("an id"));
        let method = till.make(&format!("/v1/payment_methods/{VISA}/attach"), &other).await["id"].clone();
        let price = till.make(
            "/v1/prices",
            "currency=usd&unit_amount=500&recurring[interval]=month&product_data[name]=Hats",
        ).await["id"].clone();
        let body = format!(
            "{other}&items[0][price]={}&default_payment_method={}",
            price.as_str().expect("an id"), method.as_str().expect("an id"),
        );
        till.make("/v1/subscriptions", &body).await;
        till.tell().await;
        let theirs = &stored(till, "customer.subscription.created").await[0];
        says(theirs, &json!({"status": "ignored", "customer": customer, "via": "webhook", "error": null}));
        let unheard_of = event("evt_x", "moon.landed", &json!({"id": "moon_1"}));
        till.send(&unheard_of.to_string()).await.must(200);
        says(&stored(till, "moon.landed").await[0], &json!({"status": "ignored", "object_id": "moon_1"}));
    }

    async fn what_somebody_else_tells_or_what_is_of_the_other_mode_is_refused(till: &Till) {
        till.here.admin("root").await;
        let (now, nobody) = (till.now().timestamp(), &till.here.nobody);
        let good = event("evt_x", "invoice.paid", &json!({"id": "in_1", "customer": "cus_1"}));
        let mut live = good.clone();
        live["livemode"] = json!(true);
        till.send(&live.to_string()).await.problem(400, "bad_request");
        for (secret, time) in [("whsec_of_somebody", now), (SECRET, now - 301), (SECRET, now + 301)] {
            signed(nobody, &good.to_string(), (secret, time)).await.problem(400, "invalid_signature");
        }
        assert_eq!(stored(till, "invoice.paid").await, Vec::<Value>::new());
        signed(nobody, &good.to_string(), (SECRET, now - 300)).await.must(200);
        assert_eq!(stored(till, "invoice.paid").await.len(), 1);
    }

    async fn what_was_read_earlier_is_not_written_over_what_was_read_later(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let subscription = till.standing(&ada).await.id;
        let since = till.stripe.requests().len();
        till.stripe.next(Fault::Held, 1, "GET /v1/invoices/");
        let client = ada.client.clone();
        let change = tokio::spawn(async move { client.post(CHANGE, &json!({"tier": "employee"})).await });
        // It has read the subscription when that is cancelled.
        till.asked(since, "GET /v1/invoices/").await;
        till.stripe.cancel_in_portal(&subscription);
        till.tell().await;
        let cancelled = json!({"tier": "employee", "cancel_at_period_end": true});
        says(&own(&ada.client).await, &cancelled);
        till.stripe.let_go(1);
        let changed = change.await.expect("a task").must(200);
        says(&changed["subscription"], &cancelled);
        says(&own(&ada.client).await, &cancelled);
    }
}
