//! Notes that payments were not made in time. Readers see it without this, and money that comes later is taken all the
//! same.
//!
//! A page of Stripe stays open for longer than we wait, so it is closed first; if it turns out to be paid, there is
//! nothing to note, and the customer is read instead.

use chrono::{DateTime, Utc};
use shared::services::Services;
use shared::store::payments::{self, Payment};
use shared::stripe::objects::CheckoutSession;
use shared::stripe::{Stripe, StripeError, StripeResult};

use super::DutyError;
use super::reconcile_stripe::wake;

/// The most pages that are closed in one run.
const BATCH: i64 = 100;

/// Ends what nobody waits for any more.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let mut tx = services.db.begin().await?;
    let mut expired = payments::expire(&mut tx, None, now).await?;
    tx.commit().await?;
    let mut reader = services.db.read().await?;
    let overdue = payments::overdue_sessions(&mut reader, now, BATCH).await?;
    drop(reader);
    for payment in overdue {
        expired += end(services, &payment, now).await?;
    }
    Ok(format!("{expired} payments"))
}

/// Closes the page of a payment and notes its end; gives how many were noted.
async fn end(services: &Services, payment: &Payment, now: DateTime<Utc>) -> Result<u64, DutyError> {
    if let (Some(stripe), Some(session)) = (services.stripe.as_deref(), &payment.stripe_id)
        && let Some(paid) = close(stripe, session, now).await?
    {
        if let Some(customer) = &paid.customer {
            wake(services, &customer.0, false, now).await?;
            services.queue.wake().await;
        } else {
            tracing::error!(payment.id = %payment.id, "it is paid, and Stripe does not say by whom");
        }
        return Ok(0);
    }
    let mut tx = services.db.begin().await?;
    let expired = payments::expire(&mut tx, Some(payment.id), now).await?;
    tx.commit().await?;
    Ok(expired)
}

/// Closes a page; gives it if it was paid before. One that is completed and not paid has a bank at work: nobody waits for
/// that, and word of the money comes by itself. Each run has a key of its own, since Stripe would repeat a failure.
async fn close(stripe: &Stripe, session: &str, now: DateTime<Utc>) -> StripeResult<Option<CheckoutSession>> {
    match stripe.expire_checkout(session, &format!("autoos:expire:{session}:{}", now.timestamp())).await {
        Ok(_) | Err(StripeError::NotFound(_)) => Ok(None),
        Err(StripeError::Invalid { .. }) => {
            let session = stripe.checkout(session).await?;
            Ok(Some(session).filter(|session| session.payment_status.as_deref() == Some("paid")))
        }
        Err(error) => Err(error),
    }
}
