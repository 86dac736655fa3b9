//! Payments that Stripe tells of: paid once however often it tells, and given back no more than once.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::payment::{PaymentKind, PaymentStatus, Scheme};
use shared::ids::{PaymentId, UserId};
use shared::store::Tx;
use shared::store::payments::{self, Payment, Settled};
use tokio::task::JoinSet;

use super::begin;
use super::payments::{LIFETIME, payment, put, read};
use crate::harness::engines::both_engines;

/// A payment that is a Checkout session.
fn session(user: UserId, stripe_id: &str, at: DateTime<Utc>) -> Payment {
    Payment { scheme: Scheme::Stripe, stripe_id: Some(stripe_id.to_owned()), ..payment(user, at) }
}

/// A refund that is under way.
fn refund(of: &Payment, stripe_id: Option<&str>, amount: i64) -> Payment {
    Payment {
        id: PaymentId::new(of.created_at),
        kind: PaymentKind::Refund,
        amount,
        stripe_id: stripe_id.map(str::to_owned),
        refund_of: Some(of.id),
        ..of.clone()
    }
}

async fn insert_once(tx: &mut Tx, payment: &Payment) -> bool {
    payments::insert_once(tx, payment).await.expect("an answer")
}

async fn settle(tx: &mut Tx, id: PaymentId, now: DateTime<Utc>) -> Option<Payment> {
    payments::settle(tx, id, &Settled::default(), now).await.expect("an answer")
}

async fn set_refund(tx: &mut Tx, stripe_id: &str, status: PaymentStatus) -> bool {
    payments::set_refund(tx, stripe_id, status).await.expect("an answer")
}

async fn refunded(tx: &mut Tx, id: PaymentId) -> i64 {
    payments::refunded(tx, id).await.expect("a sum")
}

both_engines! {
    async fn a_payment_is_found_by_what_stripe_calls_it_and_stored_once_under_that(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (first, second) = (session(ada, "cs_1", now), session(ada, "cs_1", now));
        assert_eq!(payments::by_stripe_id(&mut tx, "cs_1").await.expect("no row"), None);
        assert!(insert_once(&mut tx, &first).await);
        for _ in 0..2 {
            assert!(!insert_once(&mut tx, &second).await);
        }
        assert_eq!(payments::by_stripe_id(&mut tx, "cs_1").await.expect("a row"), Some(first));
        assert_eq!(payments::get(&mut tx, second.id).await.expect("no row"), None);
        // What has no name there is never the same.
        for _ in 0..2 {
            assert!(insert_once(&mut tx, &payment(ada, now)).await);
        }
    }

    async fn of_many_who_store_a_payment_at_once_one_did_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tasks = JoinSet::new();
        for _ in 0..10 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mine = insert_once(&mut tx, &session(ada, "in_1", now)).await;
                tx.commit().await.expect("a commit");
                mine
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|mine| *mine).count(), 1);
    }

    async fn sessions_that_may_still_be_paid_are_those_of_the_account_that_are_not_too_old(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let since = now - TimeDelta::days(2);
        let moment = TimeDelta::microseconds(1);
        let mut tx = begin(&app).await;
        let first = Payment { status: PaymentStatus::Expired, ..session(ada, "cs_1", since + moment) };
        let second = session(ada, "cs_2", now);
        for wanted in [&second, &first] {
            payments::insert(&mut tx, wanted).await.expect("a payment");
        }
        for other in [
            session(ada, "cs_3", since),
            session(eve, "cs_4", now),
            Payment { status: PaymentStatus::Paid, ..session(ada, "cs_5", now) },
            Payment { status: PaymentStatus::Failed, ..session(ada, "cs_6", now) },
            Payment { kind: PaymentKind::Invoice, ..session(ada, "in_1", now) },
            Payment { scheme: Scheme::Upi, ..session(ada, "cs_7", now) },
            Payment { stripe_id: None, ..session(ada, "", now) },
        ] {
            payments::insert(&mut tx, &other).await.expect("a payment");
        }
        let open = payments::open_sessions(&mut tx, ada, since, 10).await.expect("payments");
        assert_eq!(open, [second.clone(), first]);
        assert_eq!(payments::open_sessions(&mut tx, ada, since, 1).await.expect("payments"), [second]);
    }

    async fn a_payment_that_stripe_tells_of_is_paid_once_and_flagged_if_it_came_late(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (end, moment) = (now + LIFETIME, TimeDelta::microseconds(1));
        let mut tx = begin(&app).await;
        for (at, is_noted, late) in [(end - moment, false, false), (end, false, true), (end, true, true)] {
            let payment = put(&mut tx, ada, now).await;
            if is_noted {
                payments::expire(&mut tx, Some(payment.id), at).await.expect("a change");
            }
            let told = Settled { payment_intent: Some("pi_1"), review: late.then_some("too much") };
            let paid = payments::settle(&mut tx, payment.id, &told, at).await.expect("an answer");
            let expected = Payment {
                status: PaymentStatus::Paid,
                paid_at: Some(at),
                payment_intent: Some("pi_1".to_owned()),
                review: late.then(|| "too much".to_owned()),
                late,
                ..payment.clone()
            };
            assert_eq!(paid.as_ref(), Some(&expected), "{at} {is_noted}");
            assert_eq!(settle(&mut tx, payment.id, at).await, None);
            assert_eq!(read(&mut tx, payment.id).await, expected);
        }
        assert_eq!(settle(&mut tx, PaymentId::new(now), now).await, None);
    }

    async fn of_many_who_settle_a_payment_at_once_while_its_time_ends_one_did_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let id = put(&mut tx, ada, now).await.id;
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for number in 0..20 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mine = if number % 4 == 0 {
                    payments::expire(&mut tx, Some(id), now + LIFETIME).await.expect("a count");
                    None
                } else {
                    settle(&mut tx, id, now + LIFETIME).await
                };
                tx.commit().await.expect("a commit");
                mine
            });
        }
        let paid: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(paid.len(), 1);
        assert_eq!(read(&mut begin(&app).await, id).await, paid[0]);
        assert!(paid[0].late && paid[0].status == PaymentStatus::Paid);
    }

    async fn only_a_payment_that_is_waited_for_can_fail(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (refused, paid, expired) =
            (put(&mut tx, ada, now).await, put(&mut tx, ada, now).await, put(&mut tx, ada, now).await);
        settle(&mut tx, paid.id, now).await.expect("a payment");
        payments::expire(&mut tx, Some(expired.id), now + LIFETIME).await.expect("a change");
        for (id, fails) in [(refused.id, true), (refused.id, false), (paid.id, false), (expired.id, false)] {
            assert_eq!(payments::fail(&mut tx, id).await.expect("an answer"), fails);
        }
        assert_eq!(read(&mut tx, refused.id).await, Payment { status: PaymentStatus::Failed, ..refused.clone() });
        assert_eq!(settle(&mut tx, refused.id, now).await, None);
    }

    async fn what_is_given_back_counts_unless_it_failed(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (bought, other) = (put(&mut tx, ada, now).await, put(&mut tx, ada, now).await);
        assert_eq!(refunded(&mut tx, bought.id).await, 0);
        for (stripe_id, amount) in [(Some("re_1"), 100), (Some("re_2"), 20), (None, 3)] {
            assert!(insert_once(&mut tx, &refund(&bought, stripe_id, amount)).await);
        }
        assert_eq!((refunded(&mut tx, bought.id).await, refunded(&mut tx, other.id).await), (123, 0));
        assert!(set_refund(&mut tx, "re_1", PaymentStatus::Paid).await);
        assert!(set_refund(&mut tx, "re_2", PaymentStatus::Failed).await);
        assert_eq!(refunded(&mut tx, bought.id).await, 103);
    }

    async fn what_becomes_of_a_refund_is_noted_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let bought = session(ada, "cs_1", now);
        payments::insert(&mut tx, &bought).await.expect("a payment");
        let back = refund(&bought, Some("re_1"), 100);
        payments::insert(&mut tx, &back).await.expect("a refund");
        for (status, is_news, paid_at) in [
            (PaymentStatus::Pending, false, None),
            (PaymentStatus::Paid, true, Some(now)),
            (PaymentStatus::Paid, false, Some(now)),
            (PaymentStatus::Pending, false, Some(now)),
            (PaymentStatus::Failed, true, Some(now)),
            (PaymentStatus::Failed, false, Some(now)),
            (PaymentStatus::Paid, false, Some(now)),
        ] {
            assert_eq!(set_refund(&mut tx, "re_1", status).await, is_news, "{status}");
            assert_eq!(read(&mut tx, back.id).await.paid_at, paid_at, "{status}");
        }
        assert_eq!(read(&mut tx, back.id).await.status, PaymentStatus::Failed);
        for other in ["cs_1", "re_unknown"] {
            assert!(!set_refund(&mut tx, other, PaymentStatus::Failed).await, "{other}");
        }
        assert_eq!(read(&mut tx, bought.id).await, bought);
    }
}
