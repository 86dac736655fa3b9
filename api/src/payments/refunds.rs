//! `POST /payments/refunds`: for admins.
//!
//! What was paid through Stripe is given back there. What was paid by UPI an admin gives back at the bank, and notes
//! here.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use shared::domain::payment::{PaymentKind, PaymentStatus, Scheme};
use shared::domain::plan::FieldError;
use shared::ids::{PaymentId, UserId};
use shared::store::account_events::{self, Event, EventKind};
use shared::store::payments::{self, Payment};
use shared::store::{StoreResult, Tx, payment_notes, users};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::PaymentBody;
use super::operation::{self, Begun};
use super::refund_by_stripe::ByStripe;
use super::{bank_reference, check_reason};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client};
use crate::replay::{Answer, Key};

/// What to give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// The payment.
    payment_id: Uuid,
    /// How much of it, in minor units of its currency; left out: all that is left.
    #[schema(minimum = 1, example = 100)]
    amount_minor: Option<i64>,
    /// Why, for the audit.
    #[schema(min_length = 1, max_length = 500, example = "Paid twice by mistake")]
    reason: String,
    /// What the bank calls the transfer that has given it back; for payments by UPI, and only for those.
    #[schema(min_length = 4, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]*$", example = "426198765432")]
    reference: Option<String>,
}

/// Gives a payment back, all of it or a part: through Stripe if it was paid there; by UPI it has been given back at the
/// bank, and that is noted. Never more than was paid.
#[utoipa::path(post, path = "/payments/refunds", tag = "Admin", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = RefundRequest, responses(
    (status = 201, description = "The refund", body = PaymentBody),
    (status = 403, description = "Only admins may do this"),
    (status = 404, description = "There is no such payment"),
    (status = 409, description = "It was not paid, or all of it has been given back, or Stripe refuses, or the \
        reference is another payment's; or a request like this one is being worked on"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn refund(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<RefundRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, admin.user.id, "payments/refunds", fingerprint)?;
    request.check()?;
    let mut reader = app.services.db.read().await?;
    let payment = payments::get(&mut reader, PaymentId(request.payment_id)).await?.ok_or_else(ApiError::not_found)?;
    drop(reader);
    let reference = request.reference_for(payment.scheme)?;
    let now = app.services.clock.now();
    let wish = Wish {
        payment: payment.id,
        amount: request.amount_minor,
        reason: request.reason.trim().to_owned(),
        reference,
        event: admin.event(EventKind::PaymentRefunded, &client, now),
        by: admin.user.id,
    };
    match payment.scheme {
        Scheme::Upi => note(&app, &key, &wish, now).await,
        Scheme::Stripe => operation::run(&app, key, ByStripe(wish)).await,
    }
}

/// Notes what was given back at the bank.
async fn note(app: &App, key: &Key, wish: &Wish, now: DateTime<Utc>) -> ApiResult<Answer> {
    let mut tx = app.services.db.begin().await?;
    let id = match operation::begin(&mut tx, key, now).await? {
        Begun::Kept(answer) => return Ok(answer),
        Begun::Do(id) => id,
    };
    let (payment, amount) = wish.granted(&mut tx).await?;
    let refund = wish.refund(PaymentId(id.0), &payment, (amount, PaymentStatus::Paid), now);
    if !payment_notes::put_refund(&mut tx, &refund).await? {
        return Err(ApiError::new(Code::AlreadyExists, "This reference was given for another payment."));
    }
    wish.record(&mut tx, &refund).await?;
    let answer = Answer::json(StatusCode::CREATED, &PaymentBody::new(&refund))?;
    operation::finish(&mut tx, id, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A refund that an admin wants.
pub(super) struct Wish {
    /// What to give back.
    pub payment: PaymentId,
    /// How much of it; none: all that is left.
    pub amount: Option<i64>,
    /// Why.
    pub reason: String,
    /// What the bank calls the transfer.
    pub reference: Option<String>,
    /// The entry for the audit, without detail.
    pub event: Event,
    /// Who wants it.
    pub by: UserId,
}

impl Wish {
    /// The payment, locked, and how much of it is given back; refuses if that is not there.
    pub async fn granted(&self, tx: &mut Tx) -> ApiResult<(Payment, i64)> {
        let payer = payments::get(tx, self.payment).await?.and_then(|payment| payment.user_id);
        users::hold(tx, payer.into_iter()).await?;
        let payment = payment_notes::lock(tx, self.payment).await?.ok_or_else(ApiError::not_found)?;
        let wrong = |detail: &str| Err(ApiError::new(Code::WrongState, detail));
        if payment.kind == PaymentKind::Refund {
            return wrong("This is a refund itself.");
        }
        if payment.status != PaymentStatus::Paid {
            return wrong("This payment was not made, so there is nothing to give back.");
        }
        let left = payment.amount - payments::refunded(tx, payment.id).await?;
        let amount = self.amount.unwrap_or(left);
        if left <= 0 {
            return wrong("All of this payment has been given back.");
        }
        if amount > left {
            let fault = FieldError::new("amount_minor", format!("must be at most {left}, which is what is left"));
            return Err(ApiError::invalid(vec![fault]));
        }
        Ok((payment, amount))
    }

    /// The refund to store.
    pub fn refund(&self, id: PaymentId, payment: &Payment, given: (i64, PaymentStatus), now: DateTime<Utc>) -> Payment {
        let (reference, confirmed_by) = (self.reference.clone(), Some(self.by));
        Payment { reference, confirmed_by, ..payment.refund(id, given, now) }
    }

    /// Records it for the audit.
    pub async fn record(&self, tx: &mut Tx, refund: &Payment) -> StoreResult<()> {
        let mut detail = json!({
            "payment_id": self.payment, "refund_id": refund.id, "amount_minor": refund.amount,
            "currency": refund.currency, "reason": self.reason,
        });
        if let Some(reference) = &refund.reference {
            detail["reference"] = json!(reference);
        }
        account_events::record(tx, &Event { user: refund.user_id, detail, ..self.event.clone() }).await
    }
}

impl RefundRequest {
    fn check(&self) -> ApiResult<()> {
        let mut faults = Vec::new();
        if self.amount_minor.is_some_and(|amount| amount < 1) {
            faults.push(FieldError::new("amount_minor", "must be at least 1"));
        }
        faults.extend(check_reason(&self.reason));
        if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
    }

    /// The bank's reference, which belongs to refunds by UPI.
    fn reference_for(&self, scheme: Scheme) -> ApiResult<Option<String>> {
        let fault = match (scheme, &self.reference) {
            (Scheme::Upi, Some(reference)) => return bank_reference(reference).map(Some),
            (Scheme::Stripe, None) => return Ok(None),
            (Scheme::Upi, None) => "is required: what the bank calls the transfer that has given it back",
            (Scheme::Stripe, Some(_)) => "must be left out: this payment is given back through Stripe",
        };
        Err(ApiError::invalid(vec![FieldError::new("reference", fault)]))
    }
}
