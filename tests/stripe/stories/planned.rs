//! Less than there is comes when the period ends, and until then it can be taken back.

use chrono::TimeDelta;
use serde_json::json;

use super::{CHANGE, INVOICES, items, month, own, says, subscriber};
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::stories;

const PERIOD_END: &str = "2026-02-15T09:00:00Z";

stories! {
    async fn a_smaller_plan_is_shown_as_what_comes_and_comes_when_the_period_ends(till: &Till) {
        let ada = subscriber(till, "ada", "employee").await;
        let changed = ada.client.post(CHANGE, &json!({"tier": "student"})).await.must(200);
        says(&changed, &json!({"effective": "period_end", "effective_at": PERIOD_END}));
        let planned = json!({
            "tier": "employee", "billing_cycle": "monthly", "pending_tier": "student", "pending_cycle": "monthly",
            "cancel_at_period_end": false, "entitles_until": "2026-02-16T09:00:00Z",
        });
        says(&changed["subscription"], &planned);
        till.tell().await;
        says(&own(&ada.client).await, &planned);
        till.pass_until("2026-02-15T08:59:59Z");
        till.tell().await;
        says(&own(&till.again("ada").await).await, &planned);
        assert_eq!((till.stripe.invoices().len(), till.told("ada", "subscription_changed").await), (1, 0));

        till.tick();
        till.tell().await;
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({
            "tier": "student", "pending_tier": null, "pending_cycle": null, "workflows_limit": 100,
            "current_period_start": PERIOD_END, "current_period_end": "2026-03-15T09:00:00Z",
        }));
        assert_eq!(items(&client, INVOICES).await[0]["amount_paid"], json!({"amount_minor": 999, "currency": "USD"}));
        assert_eq!(till.told("ada", "subscription_changed").await, 1);

        // It can be changed and cancelled like any other.
        let larger = client.post(CHANGE, &json!({"tier": "employee"})).await.must(200);
        says(&larger["subscription"], &json!({"tier": "employee", "pending_tier": null}));
        let smaller = client.post(CHANGE, &json!({"tier": "student"})).await.must(200);
        says(&smaller["subscription"], &json!({"tier": "employee", "pending_tier": "student"}));
        let cancelled = client.post("/payments/cancel", &json!({})).await.must(200);
        says(&cancelled["subscription"], &json!({"cancel_at_period_end": true, "pending_tier": null}));
        till.tell().await;
        till.pass_until("2026-03-15T09:00:00Z");
        till.tell().await;
        assert_eq!(own(&till.again("ada").await).await["status"], "canceled");
        assert_eq!(till.standings(&ada).await.len(), 1);
    }

    async fn the_plan_that_there_is_takes_back_what_was_to_come(till: &Till) {
        let ada = subscriber(till, "ada", "employee").await;
        ada.client.post(CHANGE, &json!({"tier": "student"})).await.must(200);
        let back = ada.client.post(CHANGE, &month("employee")).await.must(200);
        says(&back, &json!({"effective": "now"}));
        says(&back["subscription"], &json!({"tier": "employee", "pending_tier": null, "pending_cycle": null}));
        till.tell().await;
        assert_eq!(own(&ada.client).await, back["subscription"]);
        ada.client.post(CHANGE, &month("employee")).await.problem(409, "wrong_state");
        till.pass_until(PERIOD_END);
        till.tell().await;
        let client = till.again("ada").await;
        assert_eq!(own(&client).await["tier"], "employee");
        assert_eq!(items(&client, INVOICES).await.len(), 2);
        assert_eq!(till.told("ada", "subscription_changed").await, 0);
    }

    async fn of_several_changes_to_come_the_last_one_counts(till: &Till) {
        let ada = subscriber(till, "ada", "professional").await;
        for body in [month("student"), month("employee"), json!({"tier": "student", "billing_cycle": "annual"})] {
            let changed = ada.client.post(CHANGE, &body).await.must(200);
            says(&changed["subscription"], &json!({
                "tier": "professional", "pending_tier": body["tier"], "pending_cycle": body["billing_cycle"],
            }));
        }
        till.tell().await;
        till.pass_until(PERIOD_END);
        till.tell().await;
        says(&own(&till.again("ada").await).await, &json!({
            "tier": "student", "billing_cycle": "annual", "current_period_end": "2027-02-15T09:00:00Z",
        }));
    }

    async fn what_was_planned_and_taken_back_is_planned_again_when_it_is_asked_for_again(till: &Till) {
        let ada = subscriber(till, "ada", "employee").await;
        let (smaller, present) = (json!({"tier": "student"}), json!({"tier": "employee"}));
        till.stripe.next(Fault::Lose, 4, "POST /v1/subscription_schedules/");
        ada.client.post(CHANGE, &smaller).await.problem(503, "payments_unavailable");
        till.tell().await;
        assert_eq!(own(&ada.client).await["pending_tier"], "student");
        ada.client.post(CHANGE, &present).await.must(200);
        assert_eq!(own(&ada.client).await["pending_tier"], json!(null));
        till.pass(TimeDelta::minutes(1));
        // The same words as those whose answer was lost.
        let changed = ada.client.post(CHANGE, &smaller).await.must(200);
        assert_eq!(changed["subscription"]["pending_tier"], "student");
        till.tell().await;
        till.pass_until(PERIOD_END);
        till.tell().await;
        assert_eq!(own(&till.again("ada").await).await["tier"], "student");
    }
}
