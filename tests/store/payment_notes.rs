//! What people note about payments: money that was given back, and what somebody should look at.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::money::Currency;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::{self, Payment};
use shared::store::{payment_notes, users};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::both_engines;

/// A payment that was made.
fn paid(user: UserId, reference: &str, at: DateTime<Utc>) -> Payment {
    Payment {
        id: PaymentId::new(at),
        user_id: Some(user),
        kind: PaymentKind::Qr,
        scheme: Scheme::Upi,
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 79_900,
        currency: Currency::INR,
        status: PaymentStatus::Paid,
        payload: "upi://pay?pa=autoos@bank".to_owned(),
        created_at: at,
        expires_at: at + TimeDelta::minutes(15),
        paid_at: Some(at),
        reference: Some(reference.to_owned()),
        confirmed_by: Some(user),
        late: false,
        stripe_id: None,
        payment_intent: None,
        refund_of: None,
        review: None,
    }
}

/// Some of a payment, given back.
fn refund(of: &Payment, amount: i64, reference: &str) -> Payment {
    Payment {
        id: PaymentId::new(of.created_at),
        kind: PaymentKind::Refund,
        amount,
        payload: String::new(),
        reference: Some(reference.to_owned()),
        refund_of: Some(of.id),
        ..of.clone()
    }
}

both_engines! {
    async fn a_refund_is_stored_unless_its_reference_is_another_payments(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let payment = paid(ada, "R-0001", now);
        let stored = refund(&payment, 30_000, "R-0002");
        let mut tx = begin(&app).await;
        payments::insert(&mut tx, &payment).await.expect("a payment");
        assert!(payment_notes::put_refund(&mut tx, &stored).await.expect("an answer"));
        assert_eq!(payments::get(&mut tx, stored.id).await.expect("a row"), Some(stored));
        assert_eq!(payments::refunded(&mut tx, payment.id).await.expect("a sum"), 30_000);
        tx.commit().await.expect("a commit");

        let mut tx = begin(&app).await;
        assert!(!payment_notes::put_refund(&mut tx, &refund(&payment, 1, "R-0001")).await.expect("an answer"));
        drop(tx);
        let mut tx = begin(&app).await;
        assert_eq!(payments::refunded(&mut tx, payment.id).await.expect("a sum"), 30_000);
    }

    async fn of_many_who_give_back_the_rest_one_does(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let payment = paid(ada, "R-0001", now);
        let mut tx = begin(&app).await;
        assert_eq!(payment_notes::lock(&mut tx, payment.id).await.expect("no row"), None);
        payments::insert(&mut tx, &payment).await.expect("a payment");
        tx.commit().await.expect("a commit");
        let mut all = JoinSet::new();
        for n in 0..8 {
            let (db, payment) = (app.services.db.clone(), payment.clone());
            all.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                users::hold(&mut tx, payment.user_id.into_iter()).await.expect("the account");
                let locked = payment_notes::lock(&mut tx, payment.id).await.expect("a row").expect("a payment");
                let left = locked.amount - payments::refunded(&mut tx, locked.id).await.expect("a sum");
                if left > 0 {
                    let refund = refund(&payment, left, &format!("R-100{n}"));
                    assert!(payment_notes::put_refund(&mut tx, &refund).await.expect("an answer"));
                }
                tx.commit().await.expect("a commit");
                left
            });
        }
        let mut left = all.join_all().await;
        left.sort_unstable();
        assert_eq!(left, [0, 0, 0, 0, 0, 0, 0, 79_900]);
    }

    async fn why_somebody_should_look_at_a_payment_is_noted(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (payment, other) = (paid(ada, "R-0001", now), paid(ada, "R-0002", now));
        let mut tx = begin(&app).await;
        for payment in [&payment, &other] {
            payments::insert(&mut tx, payment).await.expect("a payment");
        }
        payment_notes::set_review(&mut tx, payment.id, "Twice the amount").await.expect("a note");
        let noted = payments::get(&mut tx, payment.id).await.expect("a row").expect("a payment");
        assert_eq!(noted, Payment { review: Some("Twice the amount".to_owned()), ..payment });
        assert_eq!(payments::get(&mut tx, other.id).await.expect("a row"), Some(other));
    }
}
