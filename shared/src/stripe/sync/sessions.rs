//! Payments by QR code that lead to a page of Stripe. Being led back from there proves nothing: what counts is what the
//! session says, and that it is about the money that was asked for.

use super::super::objects::CheckoutSession;
use super::{Writing, money};
use crate::domain::entitlement::Subscribed;
use crate::domain::payment::PaymentKind;
use crate::email::{Mail, QrReceived};
use crate::store::payments::{self, Payment, Settled};
use crate::store::{StoreResult, Tx, subscriptions};

/// Writes what has become of each session; `after` is the account's subscription as it has just been written.
pub(super) async fn write(tx: &mut Tx, writing: &Writing<'_>, after: Option<&Subscribed>) -> StoreResult<()> {
    for session in &writing.state.sessions {
        let payment = payments::by_stripe_id(tx, &session.id).await?;
        let is_ours = |payment: &Payment| payment.kind == PaymentKind::Qr && payment.user_id == Some(writing.user.id);
        let Some(payment) = payment.filter(is_ours) else { continue };
        match (session.status.as_deref(), session.payment_status.as_deref()) {
            (_, Some("paid")) => settle(tx, writing, (session, &payment), after).await?,
            (Some("expired"), _) => {
                payments::expire(tx, Some(payment.id), writing.now).await?;
            }
            _ if writing.state.failed_sessions.contains(&session.id) => {
                payments::fail(tx, payment.id).await?;
            }
            // Not paid yet: the page is open, or a bank is at work.
            _ => {}
        }
    }
    Ok(())
}

/// Takes the money, once, and begins what it buys unless a person has to look at it first.
async fn settle(
    tx: &mut Tx,
    writing: &Writing<'_>,
    (session, payment): (&CheckoutSession, &Payment),
    after: Option<&Subscribed>,
) -> StoreResult<()> {
    let intent = session.payment_intent.as_ref().map(|named| named.0.as_str());
    let review = review(writing, (session, payment), after);
    let settled = Settled { payment_intent: intent, review: review.as_deref() };
    let Some(paid) = payments::settle(tx, payment.id, &settled, writing.now).await? else { return Ok(()) };
    if let Some(review) = review {
        tracing::error!(payment.id = %paid.id, %review, "a payment needs a person");
        return Ok(());
    }
    let (tier, cycle) = (paid.tier, paid.billing_cycle);
    let mail = Mail::QrReceived(QrReceived {
        name: writing.user.full_name.clone(),
        plan: tier.to_string(),
        cycle,
        amount: paid.money().to_string(),
        reference: intent.unwrap_or(&session.id).to_owned(),
        paid_at: writing.now,
        period_end: subscriptions::activate(tx, writing.user.id, tier, cycle, writing.now).await?,
    });
    writing.tell(tx, &mail, &paid.id.to_string()).await
}

/// Why nothing may be granted for a payment that was made, if so: in the words that admins see.
fn review(
    writing: &Writing<'_>,
    (session, payment): (&CheckoutSession, &Payment),
    after: Option<&Subscribed>,
) -> Option<String> {
    let paid = session.amount_total.zip(session.currency.as_deref());
    let paid = paid.and_then(|(minor, currency)| money(minor, currency));
    if paid != Some(payment.money()) {
        let paid = paid.map_or_else(|| "an unknown amount".to_owned(), |paid| paid.to_string());
        return Some(format!("{paid} was paid, and {} was asked for: nothing was granted.", payment.money()));
    }
    if writing.is_closed() {
        return Some("The account was closed before the payment was made: give the money back.".to_owned());
    }
    let is_live = |after: &Subscribed| after.is_billed() && after.subscription.status != "incomplete";
    after.is_some_and(is_live).then(|| {
        "Stripe bills a subscription of this account: nothing was granted, give the money back or cancel the \
         subscription and adjust it."
            .to_owned()
    })
}
