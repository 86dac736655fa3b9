//! What admins see of subscriptions and do to them: lists, changes, longer trials.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::entitlement::Subscription;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::store::adjustments::{self, Filter, Subscriber};
use shared::store::subscriptions::{self, Billed};
use shared::store::{Tx, credits};

use super::begin;
use crate::harness::engines::both_engines;

fn of(tier: Tier, status: &str, current_period_end: DateTime<Utc>) -> Subscription {
    Subscription { workflows_used: 5, ..Subscription::new(tier, status, current_period_end) }
}

async fn subscribe(tx: &mut Tx, user: UserId, subscription: &Subscription, since: DateTime<Utc>) {
    credits::put_subscription(tx, user, subscription, since).await.expect("a subscription");
}

async fn get(tx: &mut Tx, user: UserId) -> Option<Subscriber> {
    let read = adjustments::get(tx, user).await.expect("a row");
    assert_eq!(adjustments::lock(tx, user).await.expect("a row"), read);
    read
}

async fn found(tx: &mut Tx, filter: &Filter) -> Vec<String> {
    let found = adjustments::list(tx, filter, 10).await.expect("subscriptions");
    found.into_iter().map(|one| one.email.split('@').next().unwrap_or_default().to_owned()).collect()
}

async fn ends_at(tx: &mut Tx, user: UserId) -> DateTime<Utc> {
    credits::trial(tx, user).await.expect("a row").expect("a trial").ends_at
}

both_engines! {
    async fn subscriptions_are_listed_by_status_and_tier_and_in_pages(app: App) {
        let now = app.clock.now();
        let mut users = Vec::new();
        for name in ["ada", "bob", "eve", "kim"] {
            users.push(app.verified_user(&format!("{name}@example.com")).await);
            app.clock.advance(TimeDelta::milliseconds(1));
        }
        let mut tx = begin(&app).await;
        for (user, tier, status) in [
            (users[0], Tier::Student, "active"),
            (users[1], Tier::Employee, "active"),
            (users[2], Tier::Student, "canceled"),
        ] {
            subscribe(&mut tx, user, &of(tier, status, now), now).await;
        }
        assert_eq!(found(&mut tx, &Filter::default()).await, ["eve", "bob", "ada"]);
        let active = Filter { status: Some("active".to_owned()), ..Filter::default() };
        assert_eq!(found(&mut tx, &active).await, ["bob", "ada"]);
        let student = Filter { tier: Some(Tier::Student), ..Filter::default() };
        assert_eq!(found(&mut tx, &student).await, ["eve", "ada"]);
        let both = Filter { tier: Some(Tier::Student), ..active };
        assert_eq!(found(&mut tx, &both).await, ["ada"]);
        let first = adjustments::list(&mut tx, &Filter::default(), 2).await.expect("subscriptions");
        assert_eq!(first.iter().map(|one| one.user_id).collect::<Vec<_>>(), [users[2], users[1]]);
        let rest = Filter { before: Some(users[1]), ..Filter::default() };
        assert_eq!(found(&mut tx, &rest).await, ["ada"]);
    }

    async fn a_change_keeps_what_was_used_and_when_the_period_began(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let later = of(Tier::Enterprise, "past_due", now + TimeDelta::days(90));
        assert!(!adjustments::set(&mut tx, ada, &later).await.expect("no change"), "there is none yet");
        assert_eq!(get(&mut tx, ada).await, None);
        subscribe(&mut tx, ada, &of(Tier::Student, "active", now + TimeDelta::days(30)), now).await;
        let asked = Subscription { workflows_used: 0, ..later.clone() };
        assert!(adjustments::set(&mut tx, ada, &asked).await.expect("a change"));
        adjustments::set_billing_cycle(&mut tx, ada, "annual").await.expect("a change");
        let read = get(&mut tx, ada).await.expect("a subscription");
        assert_eq!((read.user_id, read.email.as_str()), (ada, "ada@example.com"));
        let (subscribed, facts) = (read.subscribed, credits::facts(&mut tx, ada).await.expect("facts"));
        assert_eq!(facts.subscribed.as_ref(), Some(&subscribed));
        assert_eq!((subscribed.subscription, subscribed.current_period_start), (later, now));
        assert_eq!((subscribed.counted_from, subscribed.billing_cycle.as_deref()), (None, Some("annual")));
        assert_eq!(facts.trial.map(|trial| trial.credits), Some(10));
    }

    async fn a_change_takes_a_subscription_out_of_the_hands_of_stripe(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let end = now + TimeDelta::days(30);
        let ended = Billed {
            stripe_subscription: "sub_1".to_owned(),
            tier: Tier::Student,
            billing_cycle: BillingCycle::Monthly,
            status: "canceled".to_owned(),
            period: (now, end),
            cancel_at_period_end: true,
            past_due_since: Some(now),
            entitles_until: Some(end),
            pending: Some((Tier::Employee, BillingCycle::Annual)),
        };
        let mut tx = begin(&app).await;
        subscriptions::put_billed(&mut tx, ada, &ended).await.expect("a subscription");
        let given = Subscription::new(Tier::Enterprise, "active", now + TimeDelta::days(365));
        assert!(adjustments::set(&mut tx, ada, &given).await.expect("a change"));
        let read = get(&mut tx, ada).await.expect("a subscription").subscribed;
        assert!(!read.is_billed() && !read.cancel_at_period_end, "{read:?}");
        assert_eq!((read.subscription, read.stripe_subscription), (given, None));
        assert_eq!((read.past_due_since, read.pending_tier, read.pending_cycle), (None, None, None));
    }

    async fn a_trial_is_extended_from_its_end_or_from_now(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (end, week) = (now + TimeDelta::days(30), TimeDelta::days(7));
        let mut tx = begin(&app).await;
        let moved = adjustments::extend_trial(&mut tx, ada, week, now).await.expect("a change");
        assert_eq!(moved, Some((end, end + week)));
        let late = now + TimeDelta::days(100);
        let moved = adjustments::extend_trial(&mut tx, ada, week, late).await.expect("a change");
        assert_eq!(moved, Some((end + week, late + week)));
        assert_eq!(ends_at(&mut tx, ada).await, late + week);
        let nobody = adjustments::extend_trial(&mut tx, UserId::new(now), week, now).await;
        assert_eq!(nobody.expect("no change"), None);
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), [], "credits are left alone");
    }
}
