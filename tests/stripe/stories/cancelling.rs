//! The end of a subscription that somebody wants: with its period or at once, here or at Stripe, and taken back again.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{CANCEL, CHANGE, REACTIVATE, keyed, own, says, submit, subscribe, subscriber, text};
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::stories;

fn at_once() -> Value {
    json!({"immediately": true})
}

stories! {
    async fn a_cancelled_plan_runs_until_its_period_ends_and_until_then_it_may_be_taken_back(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let ends = json!({
            "status": "active", "entitles": true, "cancel_at_period_end": true,
            "entitles_until": "2026-02-15T09:00:00Z",
        });
        let goes_on = json!({"cancel_at_period_end": false, "entitles_until": "2026-02-16T09:00:00Z"});
        ada.client.post(REACTIVATE, &json!({})).await.problem(409, "wrong_state");
        for _ in 0..2 {
            says(&ada.client.post(CANCEL, &json!({})).await.must(200)["subscription"], &ends);
        }
        let problem = ada.client.post(CHANGE, &json!({"tier": "employee"})).await.problem(409, "wrong_state");
        assert!(text(&problem, "detail").contains("/payments/reactivate"), "{problem}");
        says(&ada.client.post(REACTIVATE, &json!({})).await.must(200)["subscription"], &goes_on);
        till.tell().await;
        says(&own(&ada.client).await, &goes_on);
        ada.client.post(CANCEL, &json!({})).await.must(200);
        till.tell().await;
        assert_eq!(till.told("ada", "subscription_changed").await, 3);

        till.pass_until("2026-02-12T08:59:59Z");
        till.duty("subscription_warnings").await;
        assert_eq!(till.told("ada", "subscription_ending").await, 0);
        till.tick();
        till.duty("subscription_warnings").await;
        assert_eq!(till.told("ada", "subscription_ending").await, 1);
        till.pass_until("2026-02-15T08:59:59Z");
        submit(&till.again("ada").await).await.must(202);
        till.tick();
        // Whether the duty or Stripe says so first.
        till.duty("subscription_warnings").await;
        till.tell().await;
        till.duty("subscription_warnings").await;
        for kind in ["subscription_ending", "subscription_ended"] {
            assert_eq!(till.told("ada", kind).await, 1, "{kind}");
        }
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({"status": "canceled", "entitles": false, "billed_by": null}));
        submit(&client).await.problem(402, "subscription_required");

        // And it begins anew.
        subscribe(&client, "employee").await.must(200);
        submit(&client).await.must(202);
        assert_eq!(till.told("ada", "payment_confirmed").await, 2);
        assert_eq!(till.standings(&ada).await.len(), 2);
    }

    async fn a_plan_that_is_cancelled_at_once_is_over_at_once(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let ended = ada.client.post(CANCEL, &at_once()).await.must(200);
        says(&ended["subscription"], &json!({"status": "canceled", "entitles": false, "entitles_until": null}));
        submit(&ada.client).await.problem(402, "subscription_required");
        assert_eq!(ada.client.get("/auth/me").await.must(200)["tier"], "free_trial");
        till.tell().await;
        assert_eq!(own(&ada.client).await, ended["subscription"]);
        for (kind, count) in [("subscription_ended", 1), ("subscription_changed", 0)] {
            assert_eq!(till.told("ada", kind).await, count, "{kind}");
        }
        for path in [CANCEL, REACTIVATE, CHANGE] {
            let body = if path == CHANGE { json!({"tier": "employee"}) } else { json!({}) };
            ada.client.post(path, &body).await.problem(409, "wrong_state");
        }
        subscribe(&ada.client, "student").await.must(200);
    }

    async fn what_was_cancelled_on_a_page_of_stripe_is_known_and_may_be_taken_back_here(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let portal = ada.client.post("/payments/portal", &json!({})).await.must(200);
        assert!(text(&portal, "url").starts_with("https://billing.stand-in.example/"), "{portal}");
        let subscription = till.standing(&ada).await.id;
        till.stripe.cancel_in_portal(&subscription);
        till.tell().await;
        let ends = json!({"cancel_at_period_end": true, "entitles_until": "2026-02-15T09:00:00Z"});
        says(&own(&ada.client).await, &ends);
        let back = ada.client.post(REACTIVATE, &json!({})).await.must(200);
        says(&back["subscription"], &json!({"cancel_at_period_end": false}));
        assert_eq!(till.standing(&ada).await.ends, None);
        till.tell().await;
        assert_eq!(till.told("ada", "subscription_changed").await, 2);
        till.pass_until("2026-02-15T09:00:00Z");
        till.tell().await;
        assert_eq!(own(&till.again("ada").await).await["status"], "active");

        // And at once, by an admin of Stripe's.
        till.stripe.cancel_in_dashboard(&subscription);
        till.tell().await;
        assert_eq!(own(&till.again("ada").await).await["status"], "canceled");
        assert_eq!(till.told("ada", "subscription_ended").await, 1);
    }

    async fn a_cancellation_whose_answer_is_lost_is_done_and_says_so_when_it_is_repeated(till: &Till) {
        let (ada, eve) = (subscriber(till, "ada", "student").await, subscriber(till, "eve", "student").await);
        for account in [&ada, &eve] {
            till.stripe.next(Fault::Lose, 4, "DELETE /v1/subscriptions/");
            let lost = keyed(&account.client, (CANCEL, "one"), &at_once()).await;
            lost.problem(503, "payments_unavailable");
        }
        till.tick();
        // Ada asks again before Stripe has told of it, Eve after that.
        let answer = keyed(&ada.client, (CANCEL, "one"), &at_once()).await.must(200);
        assert_eq!(answer["subscription"]["status"], "canceled");
        till.tell().await;
        assert_eq!(own(&eve.client).await["status"], "canceled");
        let first = keyed(&eve.client, (CANCEL, "one"), &at_once()).await;
        assert_eq!(first.must(200)["subscription"], own(&eve.client).await);
        assert_eq!(keyed(&eve.client, (CANCEL, "one"), &at_once()).await.text, first.text);
        for name in ["ada", "eve"] {
            assert_eq!(till.told(name, "subscription_ended").await, 1, "{name}");
        }
        assert_eq!(till.happened("customer.subscription.deleted"), 2);
    }

    async fn a_cancellation_that_was_taken_back_is_not_taken_for_the_one_of_today(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        till.stripe.next(Fault::Lose, 4, "POST /v1/subscriptions/");
        ada.client.post(CANCEL, &json!({})).await.problem(503, "payments_unavailable");
        till.tell().await;
        assert_eq!(own(&ada.client).await["cancel_at_period_end"], true);
        till.stripe.next(Fault::Lose, 4, "POST /v1/subscriptions/");
        ada.client.post(REACTIVATE, &json!({})).await.problem(503, "payments_unavailable");
        till.tell().await;
        for minute in 0..2 {
            till.pass(TimeDelta::minutes(1));
            // The same words as those whose answers were lost.
            let cancelled = ada.client.post(CANCEL, &json!({})).await.must(200);
            assert_eq!(cancelled["subscription"]["cancel_at_period_end"], true, "{minute}");
            let back = ada.client.post(REACTIVATE, &json!({})).await.must(200);
            assert_eq!(back["subscription"]["cancel_at_period_end"], false, "{minute}");
        }
        assert_eq!(till.standing(&ada).await.ends, None);
    }
}
