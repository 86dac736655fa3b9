//! Subscriptions that Stripe bills: written as it tells, with what was used counted for each period.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::entitlement::{Subscribed, Subscription};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::{Tier, Tiers};
use shared::ids::UserId;
use shared::store::subscriptions::{self, Billed};
use shared::store::{Tx, adjustments, credits, users};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::both_engines;

const MONTH: TimeDelta = TimeDelta::days(30);

fn student(start: DateTime<Utc>) -> Billed {
    Billed {
        stripe_subscription: "sub_1".to_owned(),
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        status: "active".to_owned(),
        period: (start, start + MONTH),
        cancel_at_period_end: false,
        past_due_since: None,
        entitles_until: None,
        pending: None,
    }
}

async fn put(tx: &mut Tx, user: UserId, billed: &Billed) {
    users::lock(tx, user).await.expect("a lock");
    subscriptions::put_billed(tx, user, billed).await.expect("a subscription");
}

async fn charge(tx: &mut Tx, user: UserId, now: DateTime<Utc>) {
    let unlimited = *Tiers::default().limits(Tier::Enterprise);
    let charged = credits::charge_subscriptions(tx, &[(user, unlimited)], now).await.expect("a charge");
    assert_eq!(charged, [true]);
}

async fn subscribed(tx: &mut Tx, user: UserId) -> Subscribed {
    credits::facts(tx, user).await.expect("facts").subscribed.expect("a subscription")
}

/// What was used, and from when it is counted.
async fn counter(tx: &mut Tx, user: UserId) -> (i64, Option<DateTime<Utc>>) {
    let subscribed = subscribed(tx, user).await;
    (subscribed.subscription.workflows_used, subscribed.counted_from)
}

both_engines! {
    async fn a_subscription_is_what_stripe_last_told(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let late = now + MONTH + TimeDelta::days(7);
        let troubled = Billed {
            tier: Tier::Professional,
            billing_cycle: BillingCycle::Annual,
            status: "past_due".to_owned(),
            cancel_at_period_end: true,
            past_due_since: Some(now + TimeDelta::hours(1)),
            entitles_until: Some(late),
            pending: Some((Tier::Student, BillingCycle::Monthly)),
            ..student(now)
        };
        let expected = Subscribed {
            subscription: Subscription {
                entitles_until: Some(late),
                ..Subscription::new(Tier::Professional, "past_due", now + MONTH)
            },
            current_period_start: now,
            counted_from: None,
            billing_cycle: Some("annual".to_owned()),
            stripe_subscription: Some("sub_1".to_owned()),
            cancel_at_period_end: true,
            past_due_since: Some(now + TimeDelta::hours(1)),
            pending_tier: Some(Tier::Student),
            pending_cycle: Some("monthly".to_owned()),
        };
        let calm = Subscribed {
            subscription: Subscription::new(Tier::Student, "active", now + MONTH),
            billing_cycle: Some("monthly".to_owned()),
            cancel_at_period_end: false,
            past_due_since: None,
            pending_tier: None,
            pending_cycle: None,
            ..expected.clone()
        };
        for _ in 0..2 {
            put(&mut tx, ada, &troubled).await;
            assert_eq!(subscribed(&mut tx, ada).await, expected);
            put(&mut tx, ada, &student(now)).await;
            assert_eq!(subscribed(&mut tx, ada).await, calm);
        }
    }

    async fn what_was_used_stays_within_a_period_and_is_nothing_in_another(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        put(&mut tx, ada, &student(now)).await;
        charge(&mut tx, ada, now).await;
        charge(&mut tx, ada, now).await;
        for same in [
            student(now),
            Billed { tier: Tier::Employee, status: "past_due".to_owned(), ..student(now) },
            Billed { period: (now, now + MONTH * 2), cancel_at_period_end: true, ..student(now) },
        ] {
            put(&mut tx, ada, &same).await;
            assert_eq!(counter(&mut tx, ada).await, (2, Some(now)), "{same:?}");
        }
        let another = Billed { stripe_subscription: "sub_2".to_owned(), ..student(now + MONTH) };
        for other in [student(now + MONTH), another] {
            put(&mut tx, ada, &other).await;
            assert_eq!(counter(&mut tx, ada).await, (0, None), "{other:?}");
            charge(&mut tx, ada, now + MONTH).await;
            assert_eq!(counter(&mut tx, ada).await, (1, Some(now + MONTH)), "{other:?}");
        }
    }

    async fn a_subscription_takes_the_place_of_what_was_paid_otherwise_and_the_other_way_round(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let given = Subscription { workflows_used: 7, ..Subscription::new(Tier::Student, "active", now + MONTH) };
        credits::put_subscription(&mut tx, ada, &given, now).await.expect("a subscription");
        charge(&mut tx, ada, now).await;
        assert_eq!(counter(&mut tx, ada).await, (8, Some(now)));
        put(&mut tx, ada, &student(now)).await;
        assert_eq!(counter(&mut tx, ada).await, (0, None), "the same start is another period");
        assert!(subscribed(&mut tx, ada).await.is_billed());
        credits::put_subscription(&mut tx, ada, &given, now).await.expect("a subscription");
        let after = subscribed(&mut tx, ada).await;
        assert_eq!((after.subscription, after.stripe_subscription), (given, None));
    }

    async fn what_an_admin_makes_of_an_ended_subscription_is_not_billed_by_anybody(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let ended = Billed {
            status: "canceled".to_owned(),
            cancel_at_period_end: true,
            past_due_since: Some(now),
            pending: Some((Tier::Employee, BillingCycle::Annual)),
            ..student(now)
        };
        put(&mut tx, ada, &ended).await;
        let given = Subscription::new(Tier::Enterprise, "active", now + MONTH);
        assert!(adjustments::set(&mut tx, ada, &given).await.expect("a change"));
        let expected = Subscribed {
            subscription: given,
            current_period_start: now,
            counted_from: None,
            billing_cycle: Some("monthly".to_owned()),
            stripe_subscription: None,
            cancel_at_period_end: false,
            past_due_since: None,
            pending_tier: None,
            pending_cycle: None,
        };
        let after = subscribed(&mut tx, ada).await;
        assert!(!after.is_billed());
        assert_eq!(after, expected);
    }

    async fn charges_while_stripe_tells_of_the_same_period_are_all_counted(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        put(&mut tx, ada, &student(now)).await;
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for number in 0..40 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                if number % 2 == 0 {
                    charge(&mut tx, ada, now).await;
                } else {
                    let tier = if number % 4 == 1 { Tier::Employee } else { Tier::Student };
                    put(&mut tx, ada, &Billed { tier, ..student(now) }).await;
                }
                tx.commit().await.expect("a commit");
            });
        }
        assert_eq!(tasks.join_all().await.len(), 40);
        assert_eq!(counter(&mut begin(&app).await, ada).await, (20, Some(now)));
    }

    async fn a_charge_while_a_new_period_begins_counts_in_one_of_them(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let next = now + MONTH - TimeDelta::days(1);
        let mut tx = begin(&app).await;
        put(&mut tx, ada, &student(now)).await;
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for number in 0..20 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mut in_next = false;
                if number == 10 {
                    put(&mut tx, ada, &student(next)).await;
                } else {
                    charge(&mut tx, ada, next).await;
                    in_next = subscribed(&mut tx, ada).await.current_period_start == next;
                }
                tx.commit().await.expect("a commit");
                in_next
            });
        }
        let counted = tasks.join_all().await.into_iter().filter(|in_next| *in_next).count();
        let after = subscribed(&mut begin(&app).await, ada).await;
        assert_eq!((after.current_period_start, after.subscription.workflows_used), (next, counted as i64));
    }

    async fn a_subscription_of_stripe_is_that_of_one_account(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        put(&mut tx, ada, &student(now)).await;
        assert!(subscriptions::put_billed(&mut tx, eve, &student(now)).await.is_err());
    }
}
