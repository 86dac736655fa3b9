//! Money that was given back, whoever did so: here, or on Stripe's own pages.

use uuid::Uuid;

use super::super::mapping;
use super::super::objects::{Refund, time};
use super::{Writing, money};
use crate::ids::PaymentId;
use crate::store::payments::{self, Payment};
use crate::store::{StoreResult, Tx};

/// Writes refunds of payments that are known.
pub(super) async fn write(tx: &mut Tx, writing: &Writing<'_>) -> StoreResult<()> {
    for refund in &writing.state.refunds {
        if payments::by_stripe_id(tx, &refund.id).await?.is_some() {
            payments::set_refund(tx, &refund.id, mapping::refunded(refund)).await?;
            continue;
        }
        let Some(intent) = &refund.payment_intent else { continue };
        let Some(of) = payments::by_intent(tx, &intent.0).await? else { continue };
        // One that is there already is just being made, by whoever gave it this id.
        if let Some(row) = row(writing, refund, &of)
            && payments::get(tx, row.id).await?.is_none()
        {
            payments::insert_once(tx, &row).await?;
        }
    }
    Ok(())
}

/// A refund as we keep it, under the id that we gave it if it was made here.
fn row(writing: &Writing<'_>, refund: &Refund, of: &Payment) -> Option<Payment> {
    let amount = money(refund.amount, &refund.currency).filter(|amount| amount.minor > 0)?;
    let created_at = time(refund.created).unwrap_or(writing.now);
    let given = refund.metadata.get("refund_id").and_then(|id| Uuid::try_parse(id).ok()).map(PaymentId);
    let id = given.unwrap_or_else(|| PaymentId::new(created_at));
    Some(Payment {
        currency: amount.currency,
        stripe_id: Some(refund.id.clone()),
        ..of.refund(id, (amount.minor, mapping::refunded(refund)), created_at)
    })
}
