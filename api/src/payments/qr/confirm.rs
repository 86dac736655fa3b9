//! `POST /payments/qr-code/{payment_id}/confirm`: for admins.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::domain::entitlement::Subscribed;
use shared::domain::payment::{PaymentKind, Scheme};
use shared::email::{Mail, QrReceived};
use shared::ids::PaymentId;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::payments::{self, NotConfirmed, Payment};
use shared::store::users::{self, User};
use shared::store::{StoreResult, Tx, credits, mails, payment_notes, subscriptions};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client, PathId};
use crate::payments::bank_reference;
use crate::payments::body::PaymentBody;

/// Why a person has to look at money that came while Stripe bills.
const BILLED: &str = "Stripe bills the subscription of this account, so nothing was begun for this payment.";

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
    /// Until when the plan is paid for; null if the account is closed, or if Stripe bills it and `review` says so.
    paid_until: Option<DateTime<Utc>>,
}

/// Confirms that the money of a payment has arrived, also after the payment has expired. What was paid for begins at
/// once, or after the running period of the same plan, and the user gets a mail. Where Stripe bills the account by now,
/// nothing begins, and `review` says why.
#[utoipa::path(post, path = "/payments/qr-code/{payment_id}/confirm", tag = "Admin", security(("bearer" = [])),
    params(("payment_id" = uuid::Uuid, Path, description = "The payment")), request_body = Confirmation, responses(
    (status = 200, description = "The payment, paid", body = Confirmed),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "It is paid already or has failed, or Stripe tells of it, or the reference is another \
        payment's"),
))]
pub async fn confirm(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
    Body { value: confirmation, .. }: Body<Confirmation>,
) -> ApiResult<Json<Confirmed>> {
    let reference = bank_reference(&confirmation.reference)?;
    let (id, now) = (PaymentId(id), app.services.clock.now());
    let mut tx = app.services.db.begin().await?;
    let payer = payer(&mut tx, id).await?;
    let mut payment = match payments::confirm(&mut tx, id, (&reference, admin.user.id), now).await? {
        Ok(payment) => payment,
        Err(why) => return Err(refusal(&mut tx, id, why).await?),
    };
    let paid_until = begin(&mut tx, &mut payment, payer, (&reference, now)).await?;
    let mut detail = json!({
        "payment_id": id, "reference": reference, "tier": payment.tier, "billing_cycle": payment.billing_cycle,
        "amount_minor": payment.amount, "currency": payment.currency, "late": payment.late,
    });
    if let Some(review) = &payment.review {
        detail["review"] = json!(review);
    }
    let event = admin.event(EventKind::PaymentConfirmed, &client, now);
    account_events::record(&mut tx, &Event { user: payment.user_id, detail, ..event }).await?;
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(Json(Confirmed { payment: PaymentBody::new(&payment), paid_until }))
}

/// Who pays, locked; none if the account is closed.
async fn payer(tx: &mut Tx, id: PaymentId) -> ApiResult<Option<User>> {
    let payment = payments::get(tx, id).await?.filter(|payment| payment.kind == PaymentKind::Qr);
    let payment = payment.ok_or_else(ApiError::not_found)?;
    if payment.scheme == Scheme::Stripe {
        return Err(ApiError::new(Code::WrongState, "Stripe tells of this payment; nobody else can confirm it."));
    }
    let Some(user) = payment.user_id else { return Ok(None) };
    Ok(users::lock(tx, user).await?.filter(|user| user.deleted_at.is_none()))
}

/// Begins what was paid for and tells the user; nothing of it if the account is closed, or if Stripe bills it.
async fn begin(
    tx: &mut Tx,
    payment: &mut Payment,
    payer: Option<User>,
    (reference, now): (&str, DateTime<Utc>),
) -> StoreResult<Option<DateTime<Utc>>> {
    let Some(owner) = payer else { return Ok(None) };
    if credits::facts(tx, owner.id).await?.subscribed.as_ref().is_some_and(Subscribed::is_billed) {
        payment_notes::set_review(tx, payment.id, BILLED).await?;
        payment.review = Some(BILLED.to_owned());
        return Ok(None);
    }
    let end = subscriptions::activate(tx, owner.id, payment.tier, payment.billing_cycle, now).await?;
    let mail = Mail::QrReceived(QrReceived {
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
