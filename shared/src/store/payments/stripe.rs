//! Payments as Stripe tells of them: Checkout sessions behind QR codes, paid invoices, refunds.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Payment, columns};
use crate::domain::payment::PaymentStatus;
use crate::ids::{PaymentId, UserId};
use crate::store::{StoreResult, Tx};

/// For how long after it was made a Checkout session may be paid.
pub const PAYABLE: TimeDelta = TimeDelta::days(2);

/// Reads a payment by what Stripe calls it: its Checkout session, invoice or refund.
pub async fn by_stripe_id(tx: &mut Tx, id: &str) -> StoreResult<Option<Payment>> {
    let sql = concat!("select ", columns!(), " from payments where stripe_id = $1");
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// An account's payments by QR code that have a Checkout session which may still be paid: up to `limit` of those asked
/// for after `since`, the newest first.
pub async fn open_sessions(tx: &mut Tx, user: UserId, since: DateTime<Utc>, limit: i64) -> StoreResult<Vec<Payment>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from payments where user_id = $1 and created_at > $2 and kind = 'qr' and scheme = 'stripe'
         and status in ('pending', 'expired') and stripe_id is not null order by id desc limit $3"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(user).bind(since).bind(limit).fetch_all(&mut *c).await?))
}

/// What Stripe tells of a payment that was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled<'a> {
    /// The payment at Stripe that a refund would be made of.
    pub payment_intent: Option<&'a str>,
    /// Why a person should look at it, if nothing is granted for it.
    pub review: Option<&'a str>,
}

/// Notes that Stripe has the money of a payment, also when it came late; `None` if it is paid or has failed, or there
/// is none.
pub async fn settle(
    tx: &mut Tx,
    id: PaymentId,
    settled: &Settled<'_>,
    now: DateTime<Utc>,
) -> StoreResult<Option<Payment>> {
    let sql = concat!(
        "update payments set status = 'paid', paid_at = $2, payment_intent = $3, review = $4,
         late = (status = 'expired' or expires_at <= $2) where id = $1 and status in ('pending', 'expired') returning ",
        columns!()
    );
    Ok(on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(id)
            .bind(now)
            .bind(settled.payment_intent)
            .bind(settled.review)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// Notes that a payment was refused; false if nobody waits for it.
pub async fn fail(tx: &mut Tx, id: PaymentId) -> StoreResult<bool> {
    let sql = "update payments set status = 'failed' where id = $1 and status = 'pending'";
    let done = on!(tx, |c| sqlx::query(sql).bind(id).execute(&mut *c).await?.rows_affected());
    Ok(done == 1)
}

/// How much of a payment is given back or is about to be, in minor units of its currency. Two who want to give back the
/// rest have locked the account first.
pub async fn refunded(tx: &mut Tx, id: PaymentId) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "select cast(coalesce(sum(amount), 0) as bigint) from payments where refund_of = $1 and status <> 'failed'",
        )
        .bind(id)
        .fetch_one(&mut *c)
        .await?
    }))
}

/// Notes what has become of a refund, by what Stripe calls it; false if that is no news. Even one that was paid may
/// fail, when the payer's bank sends it back. When it was paid Stripe does not tell, so it counts from when it was
/// made.
pub async fn set_refund(tx: &mut Tx, stripe_id: &str, status: PaymentStatus) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update payments set status = $2,
             paid_at = case when $2 = 'paid' then coalesce(paid_at, created_at) else paid_at end
             where stripe_id = $1 and kind = 'refund'
             and ((status = 'pending' and $2 <> 'pending') or (status = 'paid' and $2 = 'failed'))",
        )
        .bind(stripe_id)
        .bind(status.as_str())
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}
