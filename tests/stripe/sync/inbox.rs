//! What Stripe tells is stored once, and wakes the customer that it is about.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::payment::{EventStatus, Via};
use shared::job::{Job, Lane};
use shared::store::stripe_events::{self, StoredEvent};
use shared::store::{outbox, stripe_customers};
use shared::stripe::inbox;
use shared::stripe::objects::Event;

use super::{Customer, Seen, begin, day, items, with};
use crate::harness::engines::{Settings, both_engines};

/// Stripe is configured, and out of reach.
const AWAY: Settings = &[("STRIPE_SECRET_KEY", "sk_test_1"), ("STRIPE_API_BASE", "http://127.0.0.1:9")];

/// An event about the subscription of a customer, with some fields changed.
fn event(ada: &Customer<'_>, fields: &Value) -> Value {
    let usual = json!({
        "id": ada.id("evt"), "type": "customer.subscription.updated", "created": day(1), "livemode": false,
        "api_version": "2026-09-30.endive", "data": {"object": {"id": ada.id("sub"), "customer": ada.id("cus")}},
    });
    with(usual, fields)
}

/// Takes it in as the webhook does; whether it was new.
async fn take(ada: &Customer<'_>, event: &Value) -> bool {
    let parsed: Event = serde_json::from_value(event.clone()).expect("an event");
    let mut tx = begin(ada.app).await;
    let now = ada.app.clock.now();
    let is_new = inbox::take(&mut tx, (&parsed, &event.to_string()), Via::Webhook, now).await.expect("an answer");
    tx.commit().await.expect("a commit");
    is_new
}

async fn stored(ada: &Customer<'_>, id: &str) -> StoredEvent {
    let mut tx = ada.app.services.db.read().await.expect("a reader");
    stripe_events::get(&mut tx, id).await.expect("a row").expect("an event")
}

/// The customers that are to be read now.
async fn woken(ada: &Customer<'_>) -> Vec<Job> {
    let mut tx = begin(ada.app).await;
    outbox::take_due(&mut tx, Lane::Maintenance, ada.app.clock.now(), 10).await.expect("jobs")
}

fn reading(ada: &Customer<'_>, full: bool) -> Job {
    Job::SyncCustomer { customer: ada.id("cus"), full }
}

both_engines! {
    async fn an_event_of_a_customer_of_ours_is_stored_once_and_wakes_the_customer(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let event = event(&ada, &json!({}));
        assert!(take(&ada, &event).await);
        assert!(!take(&ada, &event).await);
        let row = stored(&ada, "evt_ada").await;
        assert_eq!((row.status, row.object_id.as_deref()), (EventStatus::Pending, Some("sub_ada")));
        assert_eq!((row.customer.as_deref(), row.created_at.timestamp()), (Some("cus_ada"), day(1)));
        assert_eq!(woken(&ada).await, [reading(&ada, false)]);
    }

    async fn what_is_none_of_ours_is_stored_and_ignored(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let stranger = json!({"object": {"id": "sub_x", "customer": "cus_x", "payment_intent": "pi_x"}});
        for (id, fields) in [
            ("evt_type", json!({"type": "customer.updated"})),
            ("evt_stranger", json!({"data": stranger})),
            ("evt_nobody", json!({"data": {"object": {"id": "sub_x"}}})),
            ("evt_empty", json!({"data": null, "created": null, "livemode": null})),
        ] {
            let event = event(&ada, &with(fields, &json!({"id": id})));
            assert!(take(&ada, &event).await && !take(&ada, &event).await, "{id}");
            assert_eq!(stored(&ada, id).await.status, EventStatus::Ignored, "{id}");
        }
        assert_eq!(stored(&ada, "evt_stranger").await.customer.as_deref(), Some("cus_x"));
        assert_eq!(woken(&ada).await, []);
    }

    async fn a_refund_finds_its_customer_by_the_payment_that_it_is_of(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let (subscriptions, invoices) = (vec![ada.subscription(&json!({}))], vec![ada.invoice(&json!({}))]);
        ada.sync(&Seen { subscriptions, invoices, ..Seen::default() }).await;
        let object = json!({"object": {"id": ada.id("re"), "payment_intent": ada.id("pi1")}});
        assert!(take(&ada, &event(&ada, &json!({"type": "refund.created", "data": object}))).await);
        let row = stored(&ada, "evt_ada").await;
        assert_eq!((row.status, row.customer.as_deref()), (EventStatus::Pending, Some("cus_ada")));
        assert_eq!(row.object_id.as_deref(), Some("pi1_ada"), "by which it is read");
        assert_eq!(woken(&ada).await, [reading(&ada, false)]);
    }

    async fn events_are_done_with_when_a_state_that_was_read_after_them_is_written(app: App) {
        let ada = Customer::new(&app, "ada").await;
        take(&ada, &event(&ada, &json!({}))).await;
        let seen = Seen {
            subscriptions: vec![ada.subscription(&json!({}))],
            events: vec![ada.id("evt")],
            ..Seen::default()
        };
        let number = ada.number().await;
        take(&ada, &event(&ada, &json!({"id": ada.id("later")}))).await;
        assert!(ada.write(&seen, number).await.more, "what came meanwhile waits");
        assert_eq!(stored(&ada, "evt_ada").await.status, EventStatus::Applied);
        assert_eq!(stored(&ada, "later_ada").await.status, EventStatus::Pending);
        // A price that nobody knows: they wait on.
        let unknown = with(ada.subscription(&json!({})), &json!({"items": items("price_x", 0, 31)}));
        let unknown = Seen { subscriptions: vec![unknown], events: vec![ada.id("later")], ..Seen::default() };
        assert!(ada.sync(&unknown).await.more);
        assert_eq!(stored(&ada, "later_ada").await.status, EventStatus::Pending);
        assert!(!ada.sync(&Seen { events: vec![ada.id("later")], ..seen }).await.more);
    }

    async fn without_a_key_the_customer_is_read_later(app: App) {
        let ada = Customer::new(&app, "ada").await;
        take(&ada, &event(&ada, &json!({}))).await;
        app.run_until_idle().await;
        assert_eq!(woken(&ada).await, []);
        app.clock.advance(TimeDelta::hours(1));
        assert_eq!(woken(&ada).await, [reading(&ada, false)]);
        assert_eq!(stored(&ada, "evt_ada").await.attempts, 0);
        // What is asked for in full stays so.
        let mut tx = begin(&app).await;
        stripe_customers::wake(&mut tx, &ada.id("cus"), true, app.clock.now()).await.expect("a row");
        stripe_customers::wake(&mut tx, &ada.id("cus"), false, app.clock.now()).await.expect("a row");
        tx.commit().await.expect("a commit");
        assert_eq!(woken(&ada).await, [reading(&ada, true)]);
    }

    async fn a_message_whose_work_is_done_begins_none(app: App with AWAY) {
        let ada = Customer::new(&app, "ada").await;
        worker::dispatch::run(&app.worker(), reading(&ada, false)).await;
        // Had Stripe been asked, it would be asked again later.
        app.clock.advance(TimeDelta::hours(1));
        assert_eq!(woken(&ada).await, []);
    }
}
