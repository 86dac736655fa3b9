//! What people note about payments: that money was given back, and that somebody should look at one.

use super::payments::{self, Payment};
use super::{StoreError, StoreResult, Tx};
use crate::ids::PaymentId;

/// Reads a payment and keeps it as it is until the transaction ends: of two who give back the rest of it, the second
/// sees what the first has given back. Whoever refers to an account besides has held that first (`users::hold`).
pub async fn lock(tx: &mut Tx, id: PaymentId) -> StoreResult<Option<Payment>> {
    if !tx.has_one_writer() {
        let sql = "select 1 from payments where id = $1 for update";
        on!(tx, |c| sqlx::query(sql).bind(id).execute(&mut *c).await.map(drop))?;
    }
    payments::get(tx, id).await
}

/// Stores a refund that was made outside of the program; false if its reference is another payment's, and then the
/// transaction can only be dropped.
pub async fn put_refund(tx: &mut Tx, refund: &Payment) -> StoreResult<bool> {
    match payments::insert(tx, refund).await {
        Ok(()) => Ok(true),
        Err(StoreError::Database(sqlx::Error::Database(error))) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Notes why a person should look at a payment.
pub async fn set_review(tx: &mut Tx, id: PaymentId, review: &str) -> StoreResult<()> {
    let sql = "update payments set review = $2 where id = $1";
    on!(tx, |c| sqlx::query(sql).bind(id).bind(review).execute(&mut *c).await?.rows_affected());
    Ok(())
}
