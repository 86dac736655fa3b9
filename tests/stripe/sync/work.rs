//! What jobs and duties do when Stripe answers otherwise than it should.

use std::sync::Arc;

use ::scheduler::{DutyError, once};
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::config::StripeConfig;
use shared::domain::payment::{EventStatus, Via};
use shared::job::{Job, Lane};
use shared::store::stripe_events::{self, NewEvent};
use shared::store::{accounts, outbox, stripe_customers};
use shared::stripe::{Patience, Stripe};

use super::super::scripted::{Said, Scripted};
use super::{Customer, begin};
use crate::harness::engines::{App, both_engines};

/// The service with a Stripe that gives these answers, without pauses.
async fn talking(mut app: App, answers: Vec<Said>) -> (App, Scripted) {
    let partner = Scripted::start(answers).await;
    let config = StripeConfig {
        secret_key: Some("sk_test_of_these_tests".into()),
        publishable_key: None,
        webhook_secrets: Vec::new(),
        api_base: partner.base_url().parse().expect("an address"),
    };
    let stripe = Stripe::new(&config).expect("a connection").expect("a key");
    let haste = Patience { first_pause: std::time::Duration::ZERO, ..Patience::default() };
    app.services.stripe = Some(Arc::new(stripe.with_patience(haste)));
    (app, partner)
}

fn list(data: &Value) -> Said {
    Said::json(200, &json!({"object": "list", "data": data, "has_more": false}))
}

fn refusal(status: u16) -> Said {
    Said::json(status, &json!({"error": {"type": "invalid_request_error", "message": "Words."}}))
}

/// How many jobs of housekeeping are open.
async fn open(app: &App) -> i64 {
    let mut tx = begin(app).await;
    outbox::count(&mut tx, Lane::Maintenance).await.expect("a count")
}

both_engines! {
    async fn events_that_cannot_be_listed_for_an_hour_have_everybody_read(app: App) {
        let (app, _partner) = talking(app, vec![list(&json!([{"id": "evt_1"}]))]).await;
        Customer::new(&app, "ada").await;
        let reconcile = async || once(&app.services, "reconcile_stripe", app.clock.now()).await;
        let everybody = "all 1 customers are read";
        assert_eq!(reconcile().await.expect("the first run"), everybody);
        app.clock.advance(TimeDelta::minutes(30));
        assert!(matches!(reconcile().await, Err(DutyError::Stripe(_))), "it may pass");
        app.clock.advance(TimeDelta::minutes(30));
        assert_eq!(reconcile().await.expect("a run"), everybody);
        app.clock.advance(TimeDelta::minutes(10));
        assert!(reconcile().await.is_err(), "since then, it may pass again");
    }

    async fn nothing_of_a_closed_account_is_erased_while_stripe_does_not_end_its_subscription(app: App) {
        let bills = json!({"id": "sub_ada", "status": "active", "schedule": "sub_sched_ada"});
        let released = Said::json(200, &json!({"id": "sub_sched_ada"}));
        let still = Said::json(200, &bills);
        let answers = vec![list(&json!([bills])), released, refusal(400), still, list(&json!([]))];
        let (app, partner) = talking(app, answers).await;
        let ada = Customer::new(&app, "ada").await;
        let mut tx = begin(&app).await;
        assert!(accounts::anonymise(&mut tx, ada.user, app.clock.now()).await.expect("a change"));
        outbox::put(&mut tx, &[(Job::CloseAccount { user: ada.user }, app.clock.now())]).await.expect("a row");
        tx.commit().await.expect("a commit");
        app.run_until_idle().await;
        let methods: Vec<_> = partner.asked().into_iter().map(|request| request.method).collect();
        assert_eq!((methods, open(&app).await), (["GET", "POST", "DELETE", "GET"].map(str::to_owned).into(), 1));
        app.clock.advance(TimeDelta::minutes(1));
        app.run_until_idle().await;
        assert_eq!((partner.asked().len(), open(&app).await), (5, 0));
    }

    async fn an_outage_kills_no_event_however_long_it_lasts(app: App) {
        let (app, partner) = talking(app, vec![refusal(503)]).await;
        let ada = Customer::new(&app, "ada").await;
        let (customer, now) = (ada.id("cus"), app.clock.now());
        let event = NewEvent {
            id: "evt_1",
            kind: "customer.subscription.updated",
            object_id: None,
            customer: Some(customer.as_str()),
            livemode: Some(false),
            api_version: None,
            via: Via::Webhook,
            created_at: now,
            payload: "{}",
            status: EventStatus::Pending,
        };
        let mut tx = begin(&app).await;
        assert!(stripe_events::insert(&mut tx, &event, now).await.expect("an answer"));
        stripe_customers::wake(&mut tx, &customer, false, now).await.expect("a row");
        tx.commit().await.expect("a commit");
        for _ in 0..24 {
            app.run_until_idle().await;
            app.clock.advance(TimeDelta::hours(1));
        }
        let mut tx = begin(&app).await;
        let stored = stripe_events::get(&mut tx, "evt_1").await.expect("a row").expect("an event");
        assert_eq!((stored.status, stored.attempts), (EventStatus::Pending, 9), "some tries are left");
        // Each time it is tried four times.
        assert_eq!(partner.asked().len(), 24 * 4);
    }
}
