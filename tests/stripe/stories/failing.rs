//! Payments that fail, payments that come after all, and renewals that are told of too late.

use chrono::TimeDelta;
use serde_json::json;

use super::{CHANGE, HISTORY, QR, items, month, own, says, submit, subscribe, subscriber, text};
use crate::journeys::here::Account;
use crate::stand_ins::stripe_like::AfterRetries;
use crate::stripe::world::{Till, stories};

const PERIOD_END: &str = "2026-02-15T09:00:00Z";

/// From now on nothing that Stripe tries to collect from somebody is paid; or it is again.
async fn fail(till: &Till, account: &Account, fail: bool) {
    till.stripe.fail_payments(&till.customer(account).await, fail);
}

/// Lets days pass, of which each is told, and has the plans that end looked at.
async fn days(till: &Till, days: i32) {
    for _ in 0..days {
        till.pass(TimeDelta::days(1));
        till.tell().await;
        till.duty("subscription_warnings").await;
    }
}

/// How many mails there are about a payment that failed, a plan that will end and one that has.
async fn told(till: &Till) -> [usize; 3] {
    let mut told = [0; 3];
    for (count, kind) in told.iter_mut().zip(["payment_failed", "subscription_ending", "subscription_ended"]) {
        *count = till.told("ada", kind).await;
    }
    told
}

/// The newest invoice of all.
fn newest_invoice(till: &Till) -> String {
    let invoice = till.stripe.invoices().pop().expect("an invoice");
    text(&invoice, "id").to_owned()
}

stories! {
    async fn a_plan_whose_payment_fails_goes_on_for_seven_days_and_its_owner_is_told_of_each_turn_once(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        fail(till, &ada, true).await;
        till.pass_until(PERIOD_END);
        till.tell().await;
        says(&own(&till.again("ada").await).await, &json!({
            "status": "past_due", "entitles": true, "entitles_until": "2026-02-22T09:00:00Z",
            "current_period_end": "2026-03-15T09:00:00Z",
        }));
        assert_eq!((told(till).await, till.told("ada", "subscription_changed").await), ([1, 0, 0], 1));
        days(till, 5).await;
        assert_eq!(told(till).await, [1, 0, 0]);
        days(till, 1).await;
        submit(&till.again("ada").await).await.must(202);
        assert_eq!(told(till).await, [1, 1, 0]);
        till.pass(TimeDelta::days(1) - TimeDelta::seconds(1));
        submit(&till.again("ada").await).await.must(202);
        till.tick();
        submit(&till.again("ada").await).await.problem(402, "subscription_required");
        till.duty("subscription_warnings").await;
        assert_eq!(told(till).await, [1, 1, 1]);

        // Stripe gives up a few days later, which is no news.
        days(till, 5).await;
        assert_eq!(told(till).await, [1, 1, 1]);
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({"status": "canceled", "entitles": false, "billed_by": null}));
        assert_eq!(items(&client, HISTORY).await.len(), 1, "nothing was paid");
        fail(till, &ada, false).await;
        subscribe(&client, "student").await.must(200);
        submit(&client).await.must(202);
    }

    async fn a_payment_that_comes_after_all_lets_the_plan_go_on(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        fail(till, &ada, true).await;
        till.pass_until(PERIOD_END);
        till.tell().await;
        days(till, 5).await;
        fail(till, &ada, false).await;
        till.stripe.pay_invoice(&newest_invoice(till));
        assert_eq!(own(&till.again("ada").await).await["status"], "past_due");
        till.tell().await;
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({
            "status": "active", "entitles_until": "2026-03-16T09:00:00Z", "current_period_end": "2026-03-15T09:00:00Z",
        }));
        says(&items(&client, HISTORY).await[0], &json!({"amount_minor": 999, "paid_at": "2026-02-20T09:00:00Z"}));
        days(till, 4).await;
        assert_eq!(told(till).await, [1, 0, 0]);
        assert_eq!((till.told("ada", "invoice_paid").await, till.told("ada", "subscription_changed").await), (1, 2));
    }

    async fn a_plan_that_is_left_unpaid_entitles_to_nothing_until_it_is_paid(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        till.stripe.after_retries(AfterRetries::LeaveUnpaid);
        fail(till, &ada, true).await;
        till.pass_until(PERIOD_END);
        till.tell().await;
        days(till, 9).await;
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({"status": "unpaid", "entitles": false, "billed_by": "stripe"}));
        assert_eq!(told(till).await, [1, 1, 1]);
        submit(&client).await.problem(402, "subscription_required");
        subscribe(&client, "employee").await.problem(409, "wrong_state");
        let by_code = json!({"tier": "employee", "billing_cycle": "monthly", "scheme": "stripe"});
        client.post(QR, &by_code).await.problem(409, "wrong_state");
        let problem = client.post(CHANGE, &month("employee")).await.problem(409, "wrong_state");
        assert!(text(&problem, "detail").contains("portal"), "{problem}");

        fail(till, &ada, false).await;
        till.stripe.pay_invoice(&newest_invoice(till));
        till.tell().await;
        submit(&client).await.must(202);
        says(&own(&client).await, &json!({"status": "active", "entitles_until": "2026-03-16T09:00:00Z"}));
        assert_eq!((told(till).await, till.told("ada", "invoice_paid").await), ([1, 1, 1], 1));
    }

    async fn whoever_pays_is_not_locked_out_on_the_day_on_which_word_of_the_renewal_is_late(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        till.pass_until(PERIOD_END);
        let late = till.news();
        till.pass(TimeDelta::days(1) - TimeDelta::seconds(1));
        till.duty("subscription_warnings").await;
        let client = till.again("ada").await;
        submit(&client).await.must(202);
        says(&own(&client).await, &json!({"status": "active", "entitles": true, "current_period_end": PERIOD_END}));
        till.tick();
        till.duty("subscription_warnings").await;
        submit(&client).await.problem(402, "subscription_required");
        assert_eq!(told(till).await, [0, 0, 0], "it is ours to find out what became of it");
        till.deliver(&late).await;
        submit(&client).await.must(202);
        says(&own(&client).await, &json!({
            "current_period_start": PERIOD_END, "current_period_end": "2026-03-15T09:00:00Z", "workflows_used": 1,
        }));
        assert_eq!(till.told("ada", "invoice_paid").await, 1);
        assert_eq!(till.standing(&ada).await.status, "active");
    }
}
