//! Giving back what was paid through Stripe. Stripe itself gives back no more than was paid, however many ask at once.

use axum::http::StatusCode;
use shared::domain::payment::PaymentKind;
use shared::ids::PaymentId;
use shared::store::payments::{self, Payment};
use shared::store::{Tx, users};
use shared::stripe::objects::Refund;
use shared::stripe::{NewRefund, StripeError, mapping};

use super::body::PaymentBody;
use super::operation::{Operation, Stop, Work};
use super::refunds::Wish;
use crate::error::{ApiError, Code};
use crate::replay::Answer;

/// A refund to make.
pub(super) struct ByStripe(pub Wish);

impl Work for ByStripe {
    type Found = (Payment, Refund);

    async fn ask(&self, operation: &Operation) -> Result<Self::Found, Stop> {
        let payment = self.payment(operation).await?;
        let intent = payment_intent(operation, &payment).await?;
        // It is known there by the id that it has here.
        let refund = PaymentId(operation.id.0);
        let new = NewRefund { payment_intent: &intent, amount: self.0.amount, refund };
        Ok((payment, make(operation, &new).await?))
    }

    /// A webhook may have told of it before.
    async fn store(&self, operation: &Operation, tx: &mut Tx, found: Self::Found) -> Result<Answer, Stop> {
        let (payment, made) = found;
        if let Some(payer) = payment.user_id {
            users::lock(tx, payer).await?;
        }
        let told = payments::by_stripe_id(tx, &made.id).await?;
        let is_news = told.is_none();
        let refund = told.unwrap_or_else(|| self.refund(operation, &payment, &made));
        if is_news {
            payments::insert(tx, &refund).await?;
        }
        self.0.record(tx, &refund).await?;
        Ok(Answer::json(StatusCode::CREATED, &PaymentBody::new(&refund))?)
    }
}

impl ByStripe {
    /// The payment, if there is something left of it to give back. Of what was begun before, Stripe knows better.
    async fn payment(&self, operation: &Operation) -> Result<Payment, Stop> {
        let mut tx = operation.services.db.begin().await?;
        if operation.is_resumed() {
            let payment = payments::get(&mut tx, self.0.payment).await?;
            return payment.ok_or_else(|| ApiError::not_found().into());
        }
        Ok(self.0.granted(&mut tx).await?.0)
    }

    fn refund(&self, operation: &Operation, payment: &Payment, made: &Refund) -> Payment {
        let given = (made.amount, mapping::refunded(made));
        let refund = self.0.refund(PaymentId(operation.id.0), payment, given, operation.now);
        Payment { stripe_id: Some(made.id.clone()), ..refund }
    }
}

/// What Stripe calls the payment that paid; an invoice or a page names it.
async fn payment_intent(operation: &Operation, payment: &Payment) -> Result<String, Stop> {
    let stripe = &operation.stripe;
    let named = match (&payment.payment_intent, &payment.stripe_id) {
        (Some(intent), _) => Some(intent.clone()),
        (None, Some(invoice)) if payment.kind == PaymentKind::Invoice => {
            stripe.invoice(invoice).await?.payment_intent().map(str::to_owned)
        }
        (None, Some(session)) => stripe.checkout(session).await?.payment_intent.map(|named| named.0),
        (None, None) => None,
    };
    let missing = || ApiError::new(Code::WrongState, "Stripe names no payment of money for this; refund it there.");
    Ok(named.ok_or_else(missing)?)
}

/// Makes it, or finds it made. Where Stripe fails it does not say whether it has made it, and another operation would
/// make another one.
async fn make(operation: &Operation, new: &NewRefund<'_>) -> Result<Refund, Stop> {
    let error = match operation.stripe.create_refund(new, &operation.key("refund")).await {
        Err(
            error @ (StripeError::Unavailable { saved: true, .. }
            | StripeError::KeyReused(_)
            | StripeError::Unreadable(_)),
        ) => error,
        done => return done.map_err(refused),
    };
    let all = operation.stripe.refunds(new.payment_intent).await.map_err(|error| Stop::Paused(error.into()))?;
    let id = new.refund.to_string();
    let made = all.into_iter().find(|refund| refund.metadata.get("refund_id") == Some(&id));
    made.ok_or_else(|| error.into())
}

/// Admins may read why Stripe refuses, such as that all of it was given back in the Dashboard.
fn refused(error: StripeError) -> Stop {
    match error {
        StripeError::Invalid { message, .. } => {
            ApiError::new(Code::WrongState, format!("Stripe refuses this refund: {message}")).into()
        }
        error => error.into(),
    }
}
