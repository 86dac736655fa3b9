//! What cannot be taken over: it waits, dies or is replayed, and nothing is granted or lost meanwhile.

use ::worker::{Worker, dispatch};
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::services::Services;
use tokio_util::sync::CancellationToken;

use super::{CANCEL, items, own, says, subscribe, subscriber, text};
use crate::harness::engines::serve;
use crate::journeys::client::Client;
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::{SECRET, Till, signed, stories};

const EVENTS: &str = "/payments/stripe-events";
/// What is asked first when a customer is read.
const READING: &str = "GET /v1/subscriptions?customer=";

/// What admins see of events that stand so.
async fn standing(till: &Till, status: &str) -> Vec<Value> {
    items(&till.again("root").await, &format!("{EVENTS}?status={status}")).await
}

/// The only event that stands so.
async fn only(till: &Till, status: &str) -> Value {
    let [event] = <[Value; 1]>::try_from(standing(till, status).await).expect("one event");
    event
}

/// Tries again, an hour later each time.
async fn try_again(till: &Till, times: usize) {
    for _ in 0..times {
        till.pass(TimeDelta::hours(1));
        till.app().run_until_idle().await;
    }
}

/// Does all that is due, as a process would that has no key to Stripe.
async fn run_without_key(services: &Services) {
    let worker = Worker::new(services.clone(), CancellationToken::new()).expect("a worker");
    dispatch::run_until_idle(&worker).await.expect("the jobs");
}

stories! {
    async fn an_event_that_cannot_be_applied_is_dead_after_twelve_tries_until_an_admin_replays_it(till: &Till) {
        till.here.admin("root").await;
        let ada = subscriber(till, "ada", "student").await;
        till.stripe.cancel_in_portal(&till.standing(&ada).await.id);
        till.stripe.next(Fault::Status(400, None), 12, READING);
        till.tell().await;
        let waiting = only(till, "pending").await;
        says(&waiting, &json!({"type": "customer.subscription.updated", "attempts": 1, "applied_at": null}));
        assert!(text(&waiting, "error").starts_with("Stripe refused the request"), "{waiting}");
        try_again(till, 10).await;
        assert_eq!(only(till, "pending").await["attempts"], 11);
        try_again(till, 1).await;
        let dead = only(till, "dead").await;
        assert_eq!(dead["attempts"], 12);
        // Nothing was taken over, and nobody tries any more.
        try_again(till, 3).await;
        assert_eq!(only(till, "dead").await, dead);
        assert_eq!(own(&till.again("ada").await).await["cancel_at_period_end"], false);

        let path = format!("{EVENTS}/{}/replay", text(&dead, "event_id"));
        till.again("ada").await.post(&path, &json!({})).await.problem(403, "forbidden");
        let root = till.again("root").await;
        let replayed = root.post(&path, &json!({})).await.must(200);
        says(&replayed, &json!({"status": "pending", "attempts": 0, "error": null}));
        root.post(&path, &json!({})).await.problem(409, "wrong_state");
        till.app().run_until_idle().await;
        assert_eq!(own(&till.again("ada").await).await["cancel_at_period_end"], true);
        assert_eq!(standing(till, "dead").await, Vec::<Value>::new());
        root.post(&path, &json!({})).await.problem(409, "wrong_state");
        let audit = items(&root, "/auth/audit?kind=stripe_event_replayed").await;
        says(&audit[0]["detail"], &json!({"event_id": dead["event_id"], "was": "dead", "error": dead["error"]}));
    }

    async fn no_event_dies_of_an_outage_however_long_that_lasts(till: &Till) {
        till.here.admin("root").await;
        let ada = subscriber(till, "ada", "student").await;
        for (fault, sent) in [(Fault::Refuse, 4), (Fault::Status(503, None), 4), (Fault::Status(401, None), 1)] {
            till.stripe.next(fault, 7 * sent, READING);
        }
        till.stripe.cancel_in_portal(&till.standing(&ada).await.id);
        till.tell().await;
        try_again(till, 20).await;
        // Counted no further, so that it is not dead at the first fault of another sort either.
        assert_eq!(only(till, "pending").await["attempts"], 9);
        try_again(till, 1).await;
        assert_eq!(standing(till, "pending").await, Vec::<Value>::new());
        assert_eq!(own(&till.again("ada").await).await["cancel_at_period_end"], true);
    }

    async fn what_is_told_while_there_is_no_key_is_applied_when_there_is_one(till: &Till) {
        till.here.admin("root").await;
        let ada = subscriber(till, "ada", "student").await;
        till.stripe.cancel_in_portal(&till.standing(&ada).await.id);
        let keyless = Services { stripe: None, ..till.app().services.clone() };
        let address = serve(keyless.clone()).await;
        let nobody = Client::new(&address);
        for event in till.news() {
            signed(&nobody, &event.raw, (SECRET, till.now().timestamp())).await.must(200);
        }
        for _ in 0..3 {
            run_without_key(&keyless).await;
            assert_eq!(only(till, "pending").await["attempts"], 0);
            till.pass(TimeDelta::hours(1));
        }
        let there = till.again("ada").await.at(&address);
        there.post(CANCEL, &json!({})).await.problem(503, "payments_not_configured");
        assert_eq!(own(&there).await["cancel_at_period_end"], false);
        till.app().run_until_idle().await;
        assert_eq!(own(&there).await["cancel_at_period_end"], true);
    }

    async fn a_price_that_is_none_of_ours_grants_nothing_until_it_is_moved_back(till: &Till) {
        till.here.admin("root").await;
        let ada = subscriber(till, "ada", "student").await;
        let (before, ours) = (own(&ada.client).await, till.standing(&ada).await);
        let body = "currency=usd&unit_amount=9999&recurring[interval]=month&product_data[name]=Hats";
        let price = till.make("/v1/prices", body).await["id"].clone();
        till.stripe.change_plan_in_dashboard(&ours.id, price.as_str().expect("an id"));
        till.tell().await;
        let waiting = standing(till, "pending").await;
        assert!(!waiting.is_empty());
        for event in &waiting {
            assert!(text(event, "error").contains("which is not one of ours"), "{event}");
        }
        assert_eq!(own(&ada.client).await, before);
        till.tick();
        till.stripe.change_plan_in_dashboard(&ours.id, &ours.price);
        till.tell().await;
        assert_eq!(standing(till, "pending").await, Vec::<Value>::new());
        assert_eq!(own(&ada.client).await, before);
    }

    async fn a_subscription_that_ends_at_a_price_of_others_has_ended_here_too(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let ours = till.standing(&ada).await.id;
        let body = "currency=usd&unit_amount=500&recurring[interval]=month&product_data[name]=Hats";
        let price = till.make("/v1/prices", body).await["id"].clone();
        till.stripe.change_plan_in_dashboard(&ours, price.as_str().expect("an id"));
        till.tell().await;
        till.tick();
        till.stripe.cancel_in_dashboard(&ours);
        till.tell().await;
        says(&own(&ada.client).await, &json!({"status": "canceled", "entitles": false, "billed_by": null}));
        assert_eq!(till.told("ada", "subscription_ended").await, 1);
        subscribe(&ada.client, "student").await.must(200);
    }
}
