//! Other plans at once: what they cost, what they change, and what they leave as it is.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{CHANGE, HISTORY, INVOICES, items, month, own, says, submit, subscriber, text};
use crate::harness::stand_in_http::StandInHttp;
use crate::journeys::client::{Client, eventually, planned};
use crate::stripe::world::stories;

const PREVIEW: &str = "/payments/change-plan/preview";

/// Half of the month that the stories begin with.
fn half_a_month() -> TimeDelta {
    TimeDelta::hours(31 * 12)
}

fn year(tier: &str) -> Value {
    json!({"tier": tier, "billing_cycle": "annual"})
}

fn dollars(minor: i64) -> Value {
    json!({"amount_minor": minor, "currency": "USD"})
}

/// Waits until a partner has got so many calls in all.
async fn called(partner: &StandInHttp, calls: usize) {
    eventually(async || {
        let seen = partner.requests().len();
        if seen == calls { Ok(()) } else { Err(format!("{seen} calls")) }
    })
    .await;
}

async fn agents(client: &Client) -> Value {
    client.get("/payments/usage").await.must(200)["agents"].clone()
}

stories! {
    async fn a_larger_plan_begins_at_once_for_what_was_previewed_and_what_was_used_stays_used(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        for _ in 0..3 {
            submit(&ada.client).await.must(202);
        }
        till.pass(half_a_month());
        let client = till.again("ada").await;
        let preview = client.post(PREVIEW, &month("employee")).await.must(200);
        says(&preview, &json!({
            "effective": "now", "effective_at": "2026-01-30T21:00:00Z", "amount_due": dollars(1_000),
            "price": dollars(2_999),
        }));
        assert_eq!(own(&client).await["tier"], "student", "a preview changes nothing");
        let changed = client.post(CHANGE, &json!({"tier": "employee"})).await.must(200);
        says(&changed, &json!({"effective": "now", "effective_at": "2026-01-30T21:00:00Z"}));
        says(&changed["subscription"], &json!({
            "tier": "employee", "status": "active", "current_period_start": "2026-01-15T09:00:00Z",
            "current_period_end": "2026-02-15T09:00:00Z", "workflows_used": 3, "workflows_limit": 500,
        }));
        till.tell().await;
        assert_eq!(own(&client).await, changed["subscription"]);
        let invoices = items(&client, INVOICES).await;
        assert_eq!(invoices.len(), 2, "{invoices:?}");
        says(&invoices[0], &json!({"status": "paid", "billing_reason": "subscription_update"}));
        assert_eq!((&invoices[0]["amount_due"], &invoices[0]["amount_paid"]), (&dollars(1_000), &dollars(1_000)));
        let history = items(&client, HISTORY).await;
        says(&history[0], &json!({"tier": "employee", "amount_minor": 1_000}));
        says(&history[1], &json!({"tier": "student", "amount_minor": 999}));
        for kind in ["payment_confirmed", "invoice_paid", "subscription_changed"] {
            assert_eq!(till.told("ada", kind).await, 1, "{kind}");
        }

        // With the next period they are counted anew, and a renewal is no change.
        till.pass_until("2026-02-15T09:00:00Z");
        till.tell().await;
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({
            "tier": "employee", "workflows_used": 0, "current_period_end": "2026-03-15T09:00:00Z",
        }));
        assert_eq!(items(&client, INVOICES).await[0]["amount_paid"], dollars(2_999));
        assert_eq!((till.told("ada", "invoice_paid").await, till.told("ada", "subscription_changed").await), (2, 1));
    }

    async fn a_larger_plan_that_is_not_paid_for_leaves_all_as_it_was(till: &Till) {
        let ada = subscriber(till, "ada", "employee").await;
        // What is planned stays planned too.
        ada.client.post(CHANGE, &json!({"tier": "student"})).await.must(200);
        till.tell().await;
        let before = own(&ada.client).await;
        assert_eq!(before["pending_tier"], "student");
        let customer = till.customer(&ada).await;
        till.stripe.fail_payments(&customer, true);
        till.tick();
        for _ in 0..2 {
            let declined = ada.client.post(CHANGE, &json!({"tier": "professional"})).await;
            let problem = declined.problem(402, "payment_declined");
            assert!(text(&problem, "detail").contains("declined"), "{problem}");
        }
        till.tell().await;
        assert_eq!(own(&ada.client).await, before);
        assert_eq!((till.stripe.invoices().len(), till.told("ada", "payment_failed").await), (1, 0));

        till.stripe.fail_payments(&customer, false);
        let changed = ada.client.post(CHANGE, &json!({"tier": "professional"})).await.must(200);
        says(&changed["subscription"], &json!({"tier": "professional", "pending_tier": null, "pending_cycle": null}));
        // Nothing is left of what was planned.
        till.pass_until("2026-02-15T09:00:00Z");
        till.tell().await;
        says(&own(&till.again("ada").await).await, &json!({"tier": "professional", "pending_tier": null}));
    }

    async fn a_year_instead_of_a_month_begins_at_once_and_a_month_again_when_the_year_is_over(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        submit(&ada.client).await.must(202);
        till.pass(half_a_month());
        let client = till.again("ada").await;
        // 99.99 for the year, less the rest of 9.99.
        let preview = client.post(PREVIEW, &year("student")).await.must(200);
        says(&preview, &json!({"effective": "now", "amount_due": dollars(9_499), "price": dollars(9_999)}));
        let changed = client.post(CHANGE, &year("student")).await.must(200);
        says(&changed["subscription"], &json!({
            "tier": "student", "billing_cycle": "annual", "current_period_start": "2026-01-30T21:00:00Z",
            "current_period_end": "2027-01-30T21:00:00Z", "workflows_used": 0,
        }));
        assert_eq!(items(&client, INVOICES).await[0]["amount_paid"], dollars(9_499));

        let back = client.post(CHANGE, &month("student")).await.must(200);
        says(&back, &json!({"effective": "period_end", "effective_at": "2027-01-30T21:00:00Z"}));
        says(&back["subscription"], &json!({
            "billing_cycle": "annual", "pending_tier": "student", "pending_cycle": "monthly",
        }));
        let preview = client.post(PREVIEW, &month("student")).await.must(200);
        says(&preview, &json!({"effective": "period_end", "amount_due": null, "price": dollars(999)}));
        till.tell().await;
        till.pass_until("2027-01-30T21:00:00Z");
        till.tell().await;
        let client = till.again("ada").await;
        says(&own(&client).await, &json!({
            "billing_cycle": "monthly", "pending_tier": null, "current_period_end": "2027-02-28T21:00:00Z",
        }));
        assert_eq!(items(&client, INVOICES).await[0]["amount_paid"], dollars(999));
    }

    async fn what_is_no_change_is_refused(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        for path in [CHANGE, PREVIEW] {
            let problem = ada.client.post(path, &month("student")).await.problem(409, "wrong_state");
            assert_eq!(problem["detail"], "This is the plan that you have.");
            ada.client.post(path, &month("enterprise")).await.problem(422, "validation_failed");
        }
        assert_eq!(till.stripe.invoices().len(), 1);
    }

    async fn steps_that_wait_for_an_agent_start_when_the_plan_becomes_larger(till: &Till) {
        let ada = subscriber(till, "ada", "student").await;
        let partner = StandInHttp::start().await;
        let url = format!("{}/gate", partner.base_url());
        let call = |n: usize| json!({"id": format!("call{n}"), "action": "http.request", "with": {"url": url}});
        let workflow = ada.client.submit(&planned(&(0..7).map(call).collect::<Value>())).await;
        // Each look at the outbox is held up by the steps that it starts, so a new one is made for what is due then.
        let larger = async {
            called(&partner, 5).await;
            assert_eq!(agents(&ada.client).await, json!({"busy": 5, "limit": 5}));
            ada.client.post(CHANGE, &json!({"tier": "employee"})).await.must(200);
            tokio::join!(till.app().run_until_idle(), async {
                called(&partner, 7).await;
                assert_eq!(agents(&ada.client).await, json!({"busy": 7, "limit": 20}));
                partner.let_through(7);
            });
        };
        let planned = async {
            called(&partner, 1).await;
            tokio::join!(till.app().run_until_idle(), larger);
        };
        tokio::join!(till.app().run_until_idle(), planned);
        ada.client.ends(&workflow, "completed").await;
    }
}
