//! What Stripe has ended or forgotten, and what takes its place.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::entitlement::Subscription;
use shared::domain::tier::Tier;
use shared::job::{Job, Lane};
use shared::on;
use shared::store::{adjustments, outbox};

use super::{Customer, Seen, at, begin, day, items, with};
use crate::harness::engines::both_engines;

/// The usual subscription with some fields changed, and its first invoice.
fn seen(ada: &Customer<'_>, fields: &Value) -> Seen {
    Seen { subscriptions: vec![ada.subscription(fields)], invoices: vec![ada.invoice(&json!({}))], ..Seen::default() }
}

async fn tier_and_status(ada: &Customer<'_>) -> (Tier, String) {
    let row = ada.row().await;
    (row.subscription.tier, row.subscription.status)
}

/// Whether steps of the account that wait for an agent are called; once for each time that they are.
async fn has_called(ada: &Customer<'_>) -> bool {
    let mut tx = begin(ada.app).await;
    let jobs = outbox::take_due(&mut tx, Lane::Interactive, ada.app.clock.now(), 10).await.expect("jobs");
    tx.commit().await.expect("a commit");
    jobs == [Job::LetIn { user: ada.user }]
}

both_engines! {
    async fn another_plan_calls_steps_that_wait_for_an_agent(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let larger = json!({"items": items("price_employee", 0, 31)});
        let over = with(larger.clone(), &json!({"status": "canceled"}));
        for (fields, is_another) in [(json!({}), true), (json!({}), false), (larger, true), (over, true)] {
            ada.sync(&seen(&ada, &fields)).await;
            assert_eq!(has_called(&ada).await, is_another, "{fields}");
        }
    }

    async fn what_ends_at_a_price_that_is_not_ours_or_is_not_there_any_more_is_over(app: App) {
        for (tag, is_there) in [("moved", true), ("gone", false)] {
            let ada = Customer::new(&app, tag).await;
            ada.sync(&seen(&ada, &json!({}))).await;
            let foreign = json!({"items": items("price_new", 0, 31)});
            assert!(ada.sync(&seen(&ada, &foreign)).await.unknown_price.is_some());
            assert!(ada.row().await.is_billed(), "what was known stays");
            let over = seen(&ada, &with(foreign, &json!({"status": "canceled"})));
            ada.sync(&if is_there { over } else { Seen::default() }).await;
            let row = ada.row().await;
            assert_eq!((row.subscription.status.as_str(), row.is_billed()), ("canceled", false), "{tag}");
            assert_eq!(ada.told("subscription_ended").await, 1, "{tag}");
        }
    }

    async fn what_has_ended_is_over_although_another_one_has_a_price_that_is_not_ours(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&seen(&ada, &json!({}))).await;
        let mut both = seen(&ada, &json!({"status": "canceled"}));
        let foreign = json!({"id": ada.id("sub2"), "created": day(1), "items": items("price_new", 1, 32)});
        both.subscriptions.push(ada.subscription(&foreign));
        assert!(ada.sync(&both).await.unknown_price.is_some());
        assert_eq!(tier_and_status(&ada).await, (Tier::Student, "canceled".to_owned()));
    }

    async fn what_an_admin_gives_after_an_end_at_stripe_is_left_alone(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let over = seen(&ada, &json!({"status": "canceled", "cancel_at_period_end": true}));
        ada.sync(&seen(&ada, &json!({}))).await;
        ada.sync(&over).await;
        let mut tx = begin(&app).await;
        let given = Subscription::new(Tier::Enterprise, "active", at(100));
        assert!(adjustments::set(&mut tx, ada.user, &given).await.expect("a change"));
        tx.commit().await.expect("a commit");
        let row = ada.row().await;
        assert_eq!((row.is_billed(), row.cancel_at_period_end), (false, false));
        ada.sync(&over).await;
        assert_eq!(ada.row().await, row);
    }

    async fn a_subscription_that_counts_again_is_not_confirmed_again(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&seen(&ada, &json!({}))).await;
        app.clock.advance(TimeDelta::days(8));
        let second = json!({"id": ada.id("sub2"), "created": day(8), "items": items("price_employee", 8, 39)});
        let both = |status: &str| {
            let mut both = seen(&ada, &json!({}));
            both.subscriptions.push(ada.subscription(&with(second.clone(), &json!({"status": status}))));
            both
        };
        ada.sync(&both("active")).await;
        assert_eq!(tier_and_status(&ada).await, (Tier::Employee, "active".to_owned()));
        assert_eq!(ada.told("payment_confirmed").await, 2);
        // As if it were so long ago that they are not kept any more.
        let mut tx = begin(&app).await;
        on!(tx, |c| sqlx::query("delete from mails").execute(&mut *c).await.expect("a deletion").rows_affected());
        tx.commit().await.expect("a commit");
        ada.sync(&both("canceled")).await;
        assert_eq!(tier_and_status(&ada).await, (Tier::Student, "active".to_owned()));
        assert_eq!(ada.told("payment_confirmed").await, 0);
    }
}
