//! `POST /payments/qr-code`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use shared::config::Config;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::plan::FieldError;
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::{self, Payment};
use shared::store::{Tx, credits};
use shared::upi;
use utoipa::ToSchema;

use super::QrBody;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, CurrentUser};
use crate::replay::{Answer, Key, Turns};

/// For how long a payment is waited for.
const LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// What to pay for, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QrRequest {
    /// `student`, `employee` or `professional`.
    tier: Tier,
    /// For how long.
    billing_cycle: BillingCycle,
    /// What will read the code.
    scheme: Scheme,
}

/// Asks for a payment: the code is scanned and paid with a payment app, and an admin confirms it when the money has
/// arrived. The price is that of the tier table.
#[utoipa::path(post, path = "/payments/qr-code", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = QrRequest, responses(
    (status = 201, description = "The payment with its code", body = QrBody),
    (status = 409, description = "A larger plan is running"),
    (status = 503, description = "Payments of this scheme are not configured, or the server is busy"),
))]
pub async fn create(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<QrRequest>,
) -> ApiResult<Answer> {
    let (config, now) = (&app.services.config, app.services.clock.now());
    let key = Key::of(&headers, current.user.id, "payments/qr-code", fingerprint)?;
    let payment = request.payment(current.user.id, config, now)?;
    let body = QrBody::new(&payment, config)?;
    let keys = [&key];
    let mut tx = app.services.db.begin().await?;
    let turns = Turns::take(&mut tx, &keys, now).await?;
    let mut done = Vec::new();
    if turns.is_first(0) {
        // A refusal leaves here, and the key is free again.
        refuse_smaller(&mut tx, (current.user.id, payment.tier), now).await?;
        payments::insert(&mut tx, &payment).await?;
        done.push(Answer::json(StatusCode::CREATED, &body));
    }
    let mut answers = turns.finish(&mut tx, done).await?;
    tx.commit().await?;
    answers.pop().unwrap_or_else(|| Err(ApiError::stopping()))
}

/// What is paid for begins at once, so nobody is asked to pay for less than what still runs.
async fn refuse_smaller(tx: &mut Tx, (user, tier): (UserId, Tier), now: DateTime<Utc>) -> ApiResult<()> {
    let Some(had) = credits::subscription(tx, user).await? else { return Ok(()) };
    if !had.runs(now) || had.tier <= tier {
        return Ok(());
    }
    let end = had.current_period_end.to_rfc3339_opts(SecondsFormat::Secs, true);
    let detail = format!("Your {} plan runs until {end}; pay for a smaller one after that.", had.tier);
    Err(ApiError::new(Code::WrongState, detail))
}

impl QrRequest {
    /// The payment to store.
    fn payment(&self, user: UserId, config: &Config, now: DateTime<Utc>) -> ApiResult<Payment> {
        let id = PaymentId::new(now);
        let price = self.price(config)?;
        let payload = self.payload(config, (id, price))?;
        Ok(Payment {
            id,
            user_id: Some(user),
            kind: PaymentKind::Qr,
            scheme: self.scheme,
            tier: self.tier,
            billing_cycle: self.billing_cycle,
            amount: price.minor,
            currency: price.currency,
            status: PaymentStatus::Pending,
            payload,
            created_at: now,
            expires_at: now + LIFETIME,
            paid_at: None,
            reference: None,
            confirmed_by: None,
            late: false,
        })
    }

    fn price(&self, config: &Config) -> ApiResult<Money> {
        let currency = match self.scheme {
            Scheme::Upi => Currency::Inr,
            Scheme::Stripe => Currency::Usd,
        };
        let price = config.tiers.prices(self.tier).of(self.billing_cycle, currency);
        let is_sold = !matches!(self.tier, Tier::FreeTrial | Tier::Enterprise);
        let not_sold = || ApiError::invalid(vec![FieldError::new("tier", "cannot be paid for by QR code")]);
        price.filter(|price| is_sold && price.minor > 0).ok_or_else(not_sold)
    }

    fn payload(&self, config: &Config, (id, amount): (PaymentId, Money)) -> ApiResult<String> {
        let off = |detail: &str| ApiError::new(Code::PaymentsNotConfigured, detail);
        if self.scheme == Scheme::Stripe {
            return Err(off("Payments through Stripe are not connected yet; use the scheme upi."));
        }
        let vpa = config.upi_vpa.as_deref().ok_or_else(|| off("Payments by UPI are not configured here."))?;
        Ok(upi::uri(&upi::Request {
            vpa,
            payee: &config.mail.from_name,
            amount,
            reference: &id.0.simple().to_string(),
            note: &format!("{} plan, {}", self.tier, self.billing_cycle),
        }))
    }
}
