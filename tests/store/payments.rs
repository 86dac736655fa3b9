//! Payments: paid once, whoever tells of the money; and the periods that they buy.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::money::{Currency, Money};
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::{Limits, Tier, Tiers};
use shared::ids::{PaymentId, UserId};
use shared::on;
use shared::store::credits::{self, GRACE, Subscription};
use shared::store::payments::{self, Filter, NotConfirmed, Payment};
use shared::store::{Tx, subscriptions};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::both_engines;

/// For how long the payments of these tests are waited for.
pub(super) const LIFETIME: TimeDelta = TimeDelta::minutes(15);

pub(super) fn payment(user: UserId, at: DateTime<Utc>) -> Payment {
    Payment {
        id: PaymentId::new(at),
        user_id: Some(user),
        kind: PaymentKind::Qr,
        scheme: Scheme::Upi,
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 79_900,
        currency: Currency::INR,
        status: PaymentStatus::Pending,
        payload: "upi://pay?pa=autoos@bank".to_owned(),
        created_at: at,
        expires_at: at + LIFETIME,
        paid_at: None,
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: None,
        payment_intent: None,
        refund_of: None,
        review: None,
    }
}

pub(super) async fn put(tx: &mut Tx, user: UserId, at: DateTime<Utc>) -> Payment {
    let payment = payment(user, at);
    payments::insert(tx, &payment).await.expect("a payment");
    payment
}

pub(super) async fn read(tx: &mut Tx, id: PaymentId) -> Payment {
    payments::get(tx, id).await.expect("a row").expect("a payment")
}

async fn confirm(tx: &mut Tx, id: PaymentId, by: (&str, UserId), now: DateTime<Utc>) -> Result<Payment, NotConfirmed> {
    payments::confirm(tx, id, by, now).await.expect("an answer")
}

async fn ids(tx: &mut Tx, filter: Filter, limit: i64) -> Vec<PaymentId> {
    let payments = payments::list(tx, &filter, limit).await.expect("payments");
    payments.into_iter().map(|payment| payment.id).collect()
}

async fn activate(tx: &mut Tx, user: UserId, what: (Tier, BillingCycle), now: DateTime<Utc>) -> DateTime<Utc> {
    subscriptions::activate(tx, user, what.0, what.1, now).await.expect("a period")
}

async fn subscription(tx: &mut Tx, user: UserId) -> Subscription {
    credits::subscription(tx, user).await.expect("a row").expect("a subscription")
}

async fn period_start(tx: &mut Tx, user: UserId) -> DateTime<Utc> {
    let sql = "select current_period_start from subscriptions where user_id = $1";
    on!(tx, |c| sqlx::query_scalar(sql).bind(user).fetch_one(&mut *c).await.expect("a time"))
}

/// The limits of a tier that has none.
fn unlimited() -> Limits {
    *Tiers::default().limits(Tier::Enterprise)
}

both_engines! {
    async fn a_payment_is_read_back_as_it_was_stored(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let stored = put(&mut tx, ada, now).await;
        assert_eq!(read(&mut tx, stored.id).await, stored);
        assert_eq!(stored.money(), Money { minor: 79_900, currency: Currency::INR });
        let other = Payment {
            scheme: Scheme::Stripe,
            tier: Tier::Professional,
            billing_cycle: BillingCycle::Annual,
            currency: Currency::USD,
            user_id: None,
            ..payment(ada, now)
        };
        payments::insert(&mut tx, &other).await.expect("a payment");
        assert_eq!(read(&mut tx, other.id).await, other);
        assert_eq!(payments::get(&mut tx, PaymentId::new(now)).await.expect("no row"), None);
    }

    async fn payments_are_listed_the_newest_first_by_account_and_sort(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let mut all = Vec::new();
        for (seconds, user) in (0..).zip([ada, eve, ada, ada]) {
            all.insert(0, put(&mut tx, user, now + TimeDelta::seconds(seconds)).await.id);
        }
        let everything = Filter { kind: Some(PaymentKind::Qr), ..Filter::default() };
        assert_eq!(ids(&mut tx, Filter::default(), 10).await, all);
        assert_eq!(ids(&mut tx, everything, 10).await, all);
        assert_eq!(ids(&mut tx, everything, 2).await, all[..2]);
        let after = Filter { before: Some(all[1]), ..everything };
        assert_eq!(ids(&mut tx, after, 10).await, all[2..]);
        let of_eve = Filter { user: Some(eve), ..Filter::default() };
        assert_eq!(ids(&mut tx, of_eve, 10).await, [all[2]]);
        let nobody = Filter { user: Some(UserId::new(now)), ..Filter::default() };
        assert_eq!(ids(&mut tx, nobody, 10).await, []);
    }

    async fn a_payment_expires_when_its_time_is_over(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (first, second) = (put(&mut tx, ada, now).await, put(&mut tx, ada, now + TimeDelta::minutes(1)).await);
        let third = put(&mut tx, ada, now).await;
        let moment = TimeDelta::microseconds(1);
        assert_eq!(payments::expire(&mut tx, None, now + LIFETIME - moment).await.expect("a count"), 0);
        assert!(!first.is_overdue(now + LIFETIME - moment) && first.is_overdue(now + LIFETIME));
        assert_eq!(first.clone().seen_at(now + LIFETIME).status, PaymentStatus::Expired);
        assert_eq!(payments::expire(&mut tx, Some(third.id), now + LIFETIME).await.expect("a count"), 1);
        assert_eq!(read(&mut tx, first.id).await.status, PaymentStatus::Pending);
        for expired in [1, 0] {
            assert_eq!(payments::expire(&mut tx, None, now + LIFETIME).await.expect("a count"), expired);
        }
        assert_eq!(read(&mut tx, first.id).await, first.seen_at(now + LIFETIME));
        assert_eq!(read(&mut tx, second.id).await, second);

        confirm(&mut tx, second.id, ("R-1", ada), now).await.expect("a payment");
        assert_eq!(payments::expire(&mut tx, None, now + TimeDelta::days(1)).await.expect("a count"), 0);
        assert!(!read(&mut tx, second.id).await.is_overdue(now + TimeDelta::days(1)));
    }

    async fn a_payment_is_paid_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let root = app.verified_user("root@example.com").await;
        let mut tx = begin(&app).await;
        let payment = put(&mut tx, ada, now).await;
        let paid = confirm(&mut tx, payment.id, ("R-1", root), now).await.expect("a payment");
        let expected = Payment {
            status: PaymentStatus::Paid,
            paid_at: Some(now),
            reference: Some("R-1".to_owned()),
            confirmed_by: Some(root),
            ..payment.clone()
        };
        assert_eq!(paid, expected);
        for reference in ["R-1", "R-2"] {
            let again = confirm(&mut tx, payment.id, (reference, ada), now + LIFETIME).await;
            assert_eq!(again, Err(NotConfirmed::NotOpen));
        }
        assert_eq!(read(&mut tx, payment.id).await, expected);
        let unknown = confirm(&mut tx, PaymentId::new(now), ("R-3", root), now).await;
        assert_eq!(unknown, Err(NotConfirmed::NotOpen));
    }

    async fn money_that_comes_late_is_taken_and_flagged_and_refused_payments_stay_refused(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (end, moment) = (now + LIFETIME, TimeDelta::microseconds(1));
        let mut tx = begin(&app).await;
        for (reference, at, is_noted, late) in [
            ("R-1", end - moment, false, false),
            // Late is late whether somebody has noted it or not.
            ("R-2", end, false, true),
            ("R-3", end, true, true),
            ("R-4", end + TimeDelta::days(400), true, true),
        ] {
            let payment = put(&mut tx, ada, now).await;
            if is_noted {
                payments::expire(&mut tx, Some(payment.id), at).await.expect("a change");
            }
            let paid = confirm(&mut tx, payment.id, (reference, ada), at).await.expect("a payment");
            assert_eq!((paid.status, paid.late, paid.paid_at), (PaymentStatus::Paid, late, Some(at)), "{reference}");
        }
        let payment = put(&mut tx, ada, now).await;
        let sql = "update payments set status = 'failed' where id = $1";
        on!(tx, |c| sqlx::query(sql).bind(payment.id).execute(&mut *c).await.expect("a change").rows_affected());
        assert_eq!(confirm(&mut tx, payment.id, ("R-5", ada), now).await, Err(NotConfirmed::NotOpen));
    }

    async fn a_reference_is_good_for_one_payment(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (first, second) = (put(&mut tx, ada, now).await, put(&mut tx, ada, now).await);
        confirm(&mut tx, first.id, ("R-1", ada), now).await.expect("a payment");
        tx.commit().await.expect("a commit");
        let mut tx = begin(&app).await;
        assert_eq!(confirm(&mut tx, second.id, ("R-1", ada), now).await, Err(NotConfirmed::ReferenceUsed));
        drop(tx);
        let mut tx = begin(&app).await;
        assert_eq!(read(&mut tx, second.id).await, second);
        confirm(&mut tx, second.id, ("R-2", ada), now).await.expect("a payment");
    }

    async fn of_two_payments_confirmed_at_once_with_one_reference_one_is_paid(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(put(&mut tx, ada, now).await.id);
        }
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for id in all {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let confirmed = confirm(&mut tx, id, ("R-1", ada), now).await;
                if confirmed.is_ok() {
                    tx.commit().await.expect("a commit");
                }
                confirmed.map(|_| ())
            });
        }
        let mut outcomes = tasks.join_all().await;
        outcomes.sort_by_key(Result::is_err);
        assert_eq!(outcomes[0], Ok(()));
        assert_eq!(outcomes[1..], [Err(NotConfirmed::ReferenceUsed); 9]);
    }

    async fn a_first_period_begins_now(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let end = activate(&mut tx, ada, (Tier::Student, BillingCycle::Monthly), now).await;
        assert_eq!(end, BillingCycle::Monthly.end(now));
        let expected =
            Subscription::new(Tier::Student, "active", end);
        assert_eq!(subscription(&mut tx, ada).await, expected);
        assert_eq!(period_start(&mut tx, ada).await, now);
    }

    async fn a_period_of_the_same_tier_follows_on_the_one_that_runs(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let what = (Tier::Student, BillingCycle::Monthly);
        let mut tx = begin(&app).await;
        let first = activate(&mut tx, ada, what, now).await;
        credits::charge_subscriptions(&mut tx, &[(ada, unlimited())], now).await.expect("a charge");
        let later = now + TimeDelta::days(20);
        let second = activate(&mut tx, ada, what, later).await;
        assert_eq!(second, BillingCycle::Monthly.end(first));
        assert_eq!(subscription(&mut tx, ada).await.workflows_used, 1);
        assert_eq!(period_start(&mut tx, ada).await, now);
        let third = activate(&mut tx, ada, (Tier::Student, BillingCycle::Annual), later).await;
        assert_eq!(third, BillingCycle::Annual.end(second));
        // What has ended is not followed on.
        let after = third + TimeDelta::seconds(1);
        assert_eq!(activate(&mut tx, ada, what, after).await, BillingCycle::Monthly.end(after));
        assert_eq!(period_start(&mut tx, ada).await, after);
        assert_eq!(subscription(&mut tx, ada).await.workflows_used, 0);
    }

    async fn another_tier_begins_at_once_and_a_grace_counts_as_running(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let what = (Tier::Student, BillingCycle::Monthly);
        let mut tx = begin(&app).await;
        activate(&mut tx, ada, what, now).await;
        let end = activate(&mut tx, ada, (Tier::Professional, BillingCycle::Monthly), now).await;
        assert_eq!(end, BillingCycle::Monthly.end(now));
        assert_eq!(subscription(&mut tx, ada).await.tier, Tier::Professional);

        let at = now + GRACE;
        for (status, at, from) in [
            ("past_due", at - TimeDelta::seconds(1), now), ("past_due", at, at), ("canceled", now, now),
        ] {
            let before = Subscription { workflows_used: 7, ..Subscription::new(Tier::Student, status, now) };
            credits::put_subscription(&mut tx, ada, &before, now - TimeDelta::days(30)).await.expect("a change");
            assert_eq!(activate(&mut tx, ada, what, at).await, BillingCycle::Monthly.end(from), "{status} at {at}");
            let after = subscription(&mut tx, ada).await;
            let used = if from < at { 7 } else { 0 };
            assert_eq!((after.status.as_str(), after.workflows_used), ("active", used), "{status} at {at}");
        }
    }

    async fn periods_that_are_given_at_once_follow_on_each_other(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tasks = JoinSet::new();
        for _ in 0..6 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let end = activate(&mut tx, ada, (Tier::Student, BillingCycle::Annual), now).await;
                tx.commit().await.expect("a commit");
                end
            });
        }
        let mut ends = tasks.join_all().await;
        ends.sort_unstable();
        let mut expected = vec![BillingCycle::Annual.end(now)];
        for _ in 1..6 {
            expected.push(BillingCycle::Annual.end(expected[expected.len() - 1]));
        }
        assert_eq!(ends, expected);
    }
}
