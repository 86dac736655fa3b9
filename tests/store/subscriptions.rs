//! Subscriptions: what they pay for, until when, and whom trial warnings spare.

use chrono::{DateTime, Months, TimeDelta, Utc};
use shared::domain::status::Charged;
use shared::domain::tier::{GIGABYTE, Limits, Tier, Tiers};
use shared::ids::{UserId, WorkflowId};
use shared::on;
use shared::store::credits::{self, GRACE, Subscription};
use shared::store::usage::InUse;
use shared::store::{Tx, agents};

use super::{MANY, begin};
use crate::harness::engines::both_engines;

fn student(status: &str, current_period_end: DateTime<Utc>) -> Subscription {
    Subscription::new(Tier::Student, status, current_period_end)
}

async fn subscribe(tx: &mut Tx, user: UserId, subscription: &Subscription) {
    let since = subscription.current_period_end - TimeDelta::days(30);
    credits::put_subscription(tx, user, subscription, since).await.expect("a subscription");
}

/// So many workflows a month, and nothing else that is limited.
fn limits(workflows_per_month: Option<i64>) -> Limits {
    Limits { workflows_per_month, ..*Tiers::default().limits(Tier::Enterprise) }
}

async fn charge(tx: &mut Tx, user: UserId, limit: Option<i64>, now: DateTime<Utc>) -> bool {
    credits::charge_subscriptions(tx, &[(user, limits(limit))], now).await.expect("a charge")[0]
}

async fn used(tx: &mut Tx, user: UserId) -> i64 {
    credits::subscription(tx, user).await.expect("a row").expect("a subscription").workflows_used
}

both_engines! {
    async fn a_subscription_is_read_as_it_was_last_written(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        assert_eq!(credits::subscription(&mut tx, ada).await.expect("a row"), None);
        subscribe(&mut tx, ada, &student("active", now)).await;
        let later = Subscription { tier: Tier::Professional, workflows_used: 3, ..student("past_due", now + GRACE) };
        subscribe(&mut tx, ada, &later).await;
        assert_eq!(credits::subscription(&mut tx, ada).await.expect("a row"), Some(later));
    }

    async fn a_subscription_pays_up_to_its_limit(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        assert!(!charge(&mut tx, ada, None, now).await, "there is none yet");
        subscribe(&mut tx, ada, &student("active", now + TimeDelta::days(1))).await;
        assert!(charge(&mut tx, ada, Some(2), now).await);
        assert!(charge(&mut tx, ada, Some(2), now).await);
        assert!(!charge(&mut tx, ada, Some(2), now).await);
        assert!(charge(&mut tx, ada, None, now).await, "no limit");
        assert_eq!(used(&mut tx, ada).await, 3);
    }

    async fn a_subscription_whose_storage_is_full_pays_for_nothing(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        subscribe(&mut tx, ada, &student("active", now + TimeDelta::days(1))).await;
        let in_use = InUse { storage: 5 * GIGABYTE, ..InUse::default() };
        agents::count(&mut tx, &[(ada, in_use)]).await.expect("a count");
        for (gigabytes, pays) in [(Some(5), false), (Some(6), true), (None, true)] {
            let wanted = [(ada, Limits { storage_gb: gigabytes, ..limits(None) })];
            assert_eq!(credits::charge_subscriptions(&mut tx, &wanted, now).await.expect("a charge"), [pays]);
        }
        assert_eq!(used(&mut tx, ada).await, 2);
        assert_eq!(credits::facts(&mut tx, ada).await.expect("facts").stored, 5 * GIGABYTE);
    }

    async fn what_was_used_counts_for_a_month_of_a_longer_period(app: App) {
        let (ada, start) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let year = student("active", start + TimeDelta::days(365));
        credits::put_subscription(&mut tx, ada, &year, start).await.expect("a subscription");
        for month in 0..3 {
            let now = start + Months::new(month);
            for pays in [true, true, false] {
                assert_eq!(charge(&mut tx, ada, Some(2), now).await, pays, "{now}");
            }
            let (facts, next) = (credits::facts(&mut tx, ada).await.expect("facts"), start + Months::new(month + 1));
            let subscribed = facts.subscribed.expect("a subscription");
            assert_eq!(subscribed.counted_from, Some(now));
            let last = next - TimeDelta::microseconds(1);
            assert!(!charge(&mut tx, ada, Some(2), last).await, "{last}");
            assert_eq!([last, next].map(|at| subscribed.used(at)), [2, 0]);
        }
        // Written again with the same start, the count goes on; with another, it is what is said.
        let start_of_next = start + Months::new(12);
        for (since, at, used) in [(start, start + Months::new(3), 0), (start_of_next, start_of_next, 2)] {
            let renewed = Subscription { current_period_end: at + Months::new(12), workflows_used: 2, ..year.clone() };
            credits::put_subscription(&mut tx, ada, &renewed, since).await.expect("a subscription");
            let facts = credits::facts(&mut tx, ada).await.expect("facts");
            assert_eq!(facts.subscribed.expect("a subscription").used(at), used);
        }
    }

    async fn many_charges_together_stay_within_each_limit(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        for user in [ada, eve] {
            subscribe(&mut tx, user, &student("active", now + TimeDelta::days(1))).await;
        }
        let payers = [(ada, limits(Some(20))), (eve, limits(None)), (UserId::new(now), limits(None))];
        let wanted: Vec<_> = payers.into_iter().cycle().take(MANY).collect();
        let charged = credits::charge_subscriptions(&mut tx, &wanted, now).await.expect("charges");
        let pays = |n: usize| if n.is_multiple_of(3) { n / 3 < 20 } else { n % 3 == 1 };
        assert_eq!(charged, (0..MANY).map(pays).collect::<Vec<_>>());
        let of_eve = (0..MANY).filter(|n| n % 3 == 1).count() as i64;
        assert_eq!((used(&mut tx, ada).await, used(&mut tx, eve).await), (20, of_eve));
    }

    async fn it_pays_until_its_period_ends_and_a_week_longer_when_a_payment_failed(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let moment = TimeDelta::microseconds(1);
        for (status, pays_until) in [("active", Some(now)), ("past_due", Some(now + GRACE)), ("canceled", None)] {
            let subscription = student(status, now);
            subscribe(&mut tx, ada, &subscription).await;
            for at in [now - moment, now, now + GRACE - moment, now + GRACE] {
                let pays = pays_until.is_some_and(|until| at < until);
                assert_eq!(charge(&mut tx, ada, None, at).await, pays, "{status} at {at}");
                assert_eq!(subscription.runs(at), pays, "{status} at {at}");
            }
        }
    }

    async fn a_workflow_of_a_subscription_is_given_back_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let id = WorkflowId::new(now);
        let mut tx = begin(&app).await;
        subscribe(&mut tx, ada, &student("active", now + TimeDelta::days(1))).await;
        charge(&mut tx, ada, None, now).await;
        charge(&mut tx, ada, None, now).await;
        for given in [true, false] {
            let done = credits::refund(&mut tx, ada, id, Charged::Subscription, now).await.expect("a refund");
            assert_eq!((done, used(&mut tx, ada).await), (given, 1));
        }
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), [], "the trial is left alone");
    }

    async fn trials_that_end_soon_are_those_of_enabled_accounts_without_a_running_subscription(app: App) {
        let now = app.clock.now();
        let mut users = Vec::new();
        for name in ["ada", "bob", "eve", "kim", "liz", "max"] {
            users.push(app.verified_user(&format!("{name}@example.com")).await);
        }
        let mut tx = begin(&app).await;
        subscribe(&mut tx, users[1], &student("active", now + TimeDelta::days(60))).await;
        subscribe(&mut tx, users[2], &student("canceled", now)).await;
        subscribe(&mut tx, users[4], &student("trialing", now + TimeDelta::days(60))).await;
        subscribe(&mut tx, users[5], &student("past_due", now + TimeDelta::days(60))).await;
        on!(tx, |c| {
            let sql = "update users set disabled = true where id = $1";
            sqlx::query(sql).bind(users[3]).execute(&mut *c).await.expect("a change").rows_affected()
        });
        let (end, moment) = (now + TimeDelta::days(30), TimeDelta::microseconds(1));
        let mut ending = credits::trials_ending(&mut tx, end - moment, end).await.expect("trials");
        ending.sort_by(|a, b| a.email.cmp(&b.email));
        let told: Vec<_> = ending.iter().map(|t| (t.email.as_str(), t.ends_at, t.credits)).collect();
        assert_eq!(told, [("ada@example.com", end, 10), ("eve@example.com", end, 10)]);
        assert!(credits::trials_ending(&mut tx, end, end + TimeDelta::days(1)).await.expect("trials").is_empty());
        assert!(credits::trials_ending(&mut tx, now, end - moment).await.expect("trials").is_empty());
    }
}
