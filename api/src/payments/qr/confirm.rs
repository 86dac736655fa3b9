//! `POST /payments/qr-code/{payment_id}/confirm`: for admins.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::domain::plan::FieldError;
use shared::email::{Mail, PaymentConfirmed};
use shared::ids::PaymentId;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::payments::{self, NotConfirmed, Payment};
use shared::store::{StoreResult, Tx, mails, subscriptions, users};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client, PathId};
use crate::payments::body::PaymentBody;

/// What an admin has found at the bank.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// What the bank calls the payment: 4 to 64 letters, digits and `.`, `_`, `/`, `-`, in any case. Each is good for
    /// one payment.
    #[schema(min_length = 4, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]*$", example = "426112345678")]
    reference: String,
}

/// A payment that was confirmed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Confirmed {
    #[serde(flatten)]
    payment: PaymentBody,
    /// Until when the plan is paid for; null if the account is closed.
    paid_until: Option<DateTime<Utc>>,
}

/// Confirms that the money of a payment has arrived, also after the payment has expired. What was paid for begins at
/// once, or after the running period of the same plan, and the user gets a mail.
#[utoipa::path(post, path = "/payments/qr-code/{payment_id}/confirm", tag = "Admin", security(("bearer" = [])),
    params(("payment_id" = uuid::Uuid, Path, description = "The payment")), request_body = Confirmation, responses(
    (status = 200, description = "The payment, paid", body = Confirmed),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "It is paid already or has failed, or the reference is another payment's"),
))]
pub async fn confirm(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
    Body { value: confirmation, .. }: Body<Confirmation>,
) -> ApiResult<Json<Confirmed>> {
    let reference = confirmation.checked()?;
    let (id, now) = (PaymentId(id), app.services.clock.now());
    let mut tx = app.services.db.begin().await?;
    let payment = match payments::confirm(&mut tx, id, (&reference, admin.user.id), now).await? {
        Ok(payment) => payment,
        Err(why) => return Err(refusal(&mut tx, id, why).await?),
    };
    let paid_until = begin(&mut tx, &payment, (&reference, now)).await?;
    let detail = json!({
        "payment_id": id, "reference": reference, "tier": payment.tier, "billing_cycle": payment.billing_cycle,
        "amount_minor": payment.amount, "currency": payment.currency, "late": payment.late,
    });
    let event = admin.event(EventKind::PaymentConfirmed, &client, now);
    account_events::record(&mut tx, &Event { user: payment.user_id, detail, ..event }).await?;
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(Json(Confirmed { payment: PaymentBody::new(&payment), paid_until }))
}

/// Begins what was paid for and tells the user; nothing of it if the account is closed.
async fn begin(
    tx: &mut Tx,
    payment: &Payment,
    (reference, now): (&str, DateTime<Utc>),
) -> StoreResult<Option<DateTime<Utc>>> {
    let Some(owner) = payment.user_id else { return Ok(None) };
    let owner = users::lock(tx, owner).await?.filter(|owner| owner.deleted_at.is_none());
    let Some(owner) = owner else { return Ok(None) };
    let end = subscriptions::activate(tx, owner.id, payment.tier, payment.billing_cycle, now).await?;
    let mail = Mail::PaymentConfirmed(PaymentConfirmed {
        name: owner.full_name,
        plan: payment.tier.to_string(),
        cycle: payment.billing_cycle,
        amount: payment.money().to_string(),
        reference: reference.to_owned(),
        paid_at: now,
        period_end: end,
    });
    mails::put(tx, (owner.id, &owner.email), &mail, &payment.id.to_string(), now).await?;
    Ok(Some(end))
}

/// Why a payment cannot be confirmed.
async fn refusal(tx: &mut Tx, id: PaymentId, why: NotConfirmed) -> StoreResult<ApiError> {
    if why == NotConfirmed::ReferenceUsed {
        return Ok(ApiError::new(Code::AlreadyExists, "This reference was given for another payment."));
    }
    Ok(match payments::get(tx, id).await? {
        None => ApiError::not_found(),
        Some(payment) => ApiError::new(Code::WrongState, format!("This payment is {} already.", payment.status)),
    })
}

impl Confirmation {
    /// The reference in one spelling.
    fn checked(&self) -> ApiResult<String> {
        let reference = self.reference.trim().to_ascii_uppercase();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        let is_one = (4..=64).contains(&reference.len())
            && reference.starts_with(|c: char| c.is_ascii_alphanumeric())
            && reference.chars().all(allowed);
        if is_one {
            return Ok(reference);
        }
        let fault =
            FieldError::new("reference", "must be 4 to 64 letters, digits and . _ / -, a letter or digit first");
        Err(ApiError::invalid(vec![fault]))
    }
}
