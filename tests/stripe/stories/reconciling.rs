//! What nobody has told is found all the same.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::store::stripe_customers;

use super::{items, open_page, own, says, subscriber};
use crate::stripe::world::{Till, stories};

const RUNS: &str = "/payments/reconciliations";

/// What admins see of the newest comparison.
async fn newest_run(till: &Till) -> Value {
    items(&till.again("root").await, RUNS).await.swap_remove(0)
}

stories! {
    async fn events_that_never_came_are_found_taken_in_and_counted(till: &Till) {
        till.here.admin("root").await;
        let ada = subscriber(till, "ada", "student").await;
        assert_eq!(till.duty("reconcile_stripe").await, "all 1 customers are read");
        says(&newest_run(till).await, &json!({"kind": "full", "listed": 1, "found": 1}));
        till.pass(TimeDelta::minutes(10));
        till.stripe.cancel_in_portal(&till.standing(&ada).await.id);
        drop(till.news());
        let summary = till.duty("reconcile_stripe").await;
        assert!(summary.ends_with(" events, 1 of them news"), "{summary}");
        assert_eq!(own(&ada.client).await["cancel_at_period_end"], true);
        let run = newest_run(till).await;
        says(&run, &json!({"kind": "events", "found": 1, "started_at": "2026-01-15T09:10:00Z"}));
        assert!(run["listed"].as_i64() > Some(1), "what was told before is among them: {run}");
        let event = &items(&till.again("root").await, "/payments/stripe-events").await[0];
        says(event, &json!({"type": "customer.subscription.updated", "via": "reconcile", "status": "applied"}));
        assert_eq!(run["detail"]["examples"][0]["event_id"], event["event_id"]);
        // They overlap, and nothing is found twice.
        till.pass(TimeDelta::minutes(10));
        let summary = till.duty("reconcile_stripe").await;
        assert!(summary.ends_with(" events, 0 of them news"), "{summary}");
        till.again("ada").await.get(RUNS).await.problem(403, "forbidden");
    }

    async fn a_renewal_that_nobody_told_of_is_found_and_its_invoice_with_it(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        till.pass_until("2026-02-10T00:00:00Z");
        till.duty("reconcile_stripe").await;
        till.pass_until("2026-02-15T09:10:00Z");
        drop(till.news());
        till.duty("reconcile_stripe").await;
        let client = till.again("ada").await;
        assert_eq!(own(&client).await["current_period_end"], "2026-03-15T09:00:00Z");
        assert_eq!(items(&client, "/payments/invoices").await.len(), 2);
        assert_eq!((till.told("ada", "invoice_paid").await, till.standing(&ada).await.status), (1, "active"));
    }

    async fn after_a_pause_that_is_longer_than_stripe_remembers_everybody_is_read(till: &Till) {
        till.here.admin("root").await;
        let (ada, eve) = (subscriber(till, "ada", "student").await, subscriber(till, "eve", "employee").await);
        till.duty("reconcile_stripe").await;
        till.pass(TimeDelta::days(24));
        let summary = till.duty("reconcile_stripe").await;
        assert!(summary.ends_with(" of them news"), "{summary}");
        till.stripe.cancel_in_portal(&till.standing(&ada).await.id);
        till.stripe.cancel_in_dashboard(&till.standing(&eve).await.id);
        drop(till.news());
        // Ada's period ends meanwhile.
        till.pass(TimeDelta::days(26));
        drop(till.news());
        assert_eq!(till.duty("reconcile_stripe").await, "all 2 customers are read");
        says(&newest_run(till).await, &json!({"kind": "full", "listed": 2, "found": 2}));
        for name in ["ada", "eve"] {
            assert_eq!(own(&till.again(name).await).await["status"], "canceled", "{name}");
        }
    }

    async fn whatever_differs_from_what_stripe_bills_is_found_once_a_day_and_put_right(till: &Till) {
        till.here.admin("root").await;
        let (ada, eve) = (subscriber(till, "ada", "student").await, subscriber(till, "eve", "employee").await);
        let (kim, bob) = (subscriber(till, "kim", "student").await, till.here.verified("bob").await);
        let session = open_page(&bob.client, "student").await;
        till.tell().await;
        assert_eq!(till.duty("compare_stripe").await, "3 customers compared, 0 differ");
        let larger = till.standing(&eve).await.price;
        till.stripe.change_plan_in_dashboard(&till.standing(&ada).await.id, &larger);
        till.stripe.cancel_in_dashboard(&till.standing(&eve).await.id);
        assert!(till.stripe.pay_checkout(&session));
        drop(till.news());
        // Runs are listed in the order of their times.
        till.pass(TimeDelta::seconds(1));
        assert_eq!(till.duty("compare_stripe").await, "4 customers compared, 3 differ");
        let run = newest_run(till).await;
        says(&run, &json!({"kind": "compare", "listed": 4, "found": 3}));
        let examples = run["detail"]["examples"].as_array().cloned().unwrap_or_default();
        for (account, differs) in [(&ada, "tier"), (&eve, "missing at Stripe"), (&bob, "missing here")] {
            let example = examples.iter().find(|example| example["user_id"] == json!(account.id));
            assert_eq!(example.expect("an example")["differences"], json!([differs]));
        }
        says(&own(&ada.client).await, &json!({"tier": "employee", "status": "active"}));
        says(&own(&eve.client).await, &json!({"tier": "employee", "status": "canceled"}));
        says(&own(&kim.client).await, &json!({"tier": "student", "status": "active"}));
        says(&own(&bob.client).await, &json!({"tier": "student", "status": "active"}));
        assert_eq!(till.duty("compare_stripe").await, "3 customers compared, 0 differ");
    }

    async fn a_customer_that_stripe_knows_nothing_of_is_not_asked_for_over_and_over(till: &Till) {
        let ada = till.here.verified("ada").await;
        let mut tx = till.app().services.db.begin().await.expect("a transaction");
        stripe_customers::put(&mut tx, "cus_of_old", ada.id, false, till.now()).await.expect("a customer");
        tx.commit().await.expect("a commit");
        assert_eq!(till.duty("reconcile_stripe").await, "all 1 customers are read");
        let asked = till.stripe.requests().len();
        till.pass(TimeDelta::hours(1));
        till.app().run_until_idle().await;
        assert_eq!(till.stripe.requests().len(), asked);
    }
}
