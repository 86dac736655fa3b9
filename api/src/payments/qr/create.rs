//! `POST /payments/qr-code`
//!
//! With the scheme upi all of it is one transaction; with the scheme stripe it is an operation, since the code leads to
//! a page that Stripe makes. Both have their keys in one table, so that one key is good for one of them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use shared::config::Config;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::{self, Payment};
use shared::store::{Tx, credits};
use shared::upi;
use utoipa::ToSchema;

use super::QrBody;
use super::by_stripe::ByStripe;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, CurrentUser};
use crate::payments::operation::{self, Begun};
use crate::payments::plan::Plan;
use crate::replay::{Answer, Key};

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

/// Asks for a payment: the code is scanned, and paid with a payment app or on a page of Stripe. An admin confirms what
/// was paid by UPI when the money has arrived; Stripe tells by itself. The price is that of the tier table.
#[utoipa::path(post, path = "/payments/qr-code", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = QrRequest, responses(
    (status = 201, description = "The payment with its code", body = QrBody),
    (status = 409, description = "A larger plan is running, or Stripe bills a subscription; or a request like this one \
        is being worked on"),
    (status = 503, description = "Payments of this scheme are not configured or not available, or the server is busy"),
))]
pub async fn create(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<QrRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/qr-code", fingerprint)?;
    let amount = request.price(&app.services.config)?;
    match request.scheme {
        Scheme::Upi => by_upi(&app, current.user.id, &key, (&request, amount)).await,
        Scheme::Stripe => {
            let plan = request.plan();
            operation::run(&app, key, ByStripe { user: current.user, plan, amount }).await
        }
    }
}

async fn by_upi(app: &App, user: UserId, key: &Key, (request, amount): (&QrRequest, Money)) -> ApiResult<Answer> {
    let (config, now) = (&app.services.config, app.services.clock.now());
    let id = PaymentId::new(now);
    let payload = upi_link(config, request.plan(), (id, amount))?;
    let payment = payment((id, user), (request.plan(), Scheme::Upi, amount), payload, now);
    let body = QrBody::new(&payment, config)?;
    let mut tx = app.services.db.begin().await?;
    let operation = match operation::begin(&mut tx, key, now).await? {
        Begun::Kept(answer) => return Ok(answer),
        Begun::Do(operation) => operation,
    };
    // A refusal leaves here, and the key is free again.
    refuse(&mut tx, (user, payment.tier), now).await?;
    payments::insert(&mut tx, &payment).await?;
    let answer = Answer::json(StatusCode::CREATED, &body)?;
    operation::finish(&mut tx, operation, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What is paid for begins at once, so nobody is asked to pay for less than what still runs, nor beside what Stripe
/// bills.
pub(super) async fn refuse(tx: &mut Tx, (user, tier): (UserId, Tier), now: DateTime<Utc>) -> ApiResult<()> {
    let Some(had) = credits::facts(tx, user).await?.subscribed else { return Ok(()) };
    if had.is_billed() {
        let detail =
            "Stripe bills a subscription of yours; change it with POST /payments/change-plan, or cancel it first.";
        return Err(ApiError::new(Code::WrongState, detail));
    }
    let had = had.subscription;
    if !had.runs(now) || had.tier <= tier {
        return Ok(());
    }
    let end = had.current_period_end.to_rfc3339_opts(SecondsFormat::Secs, true);
    let detail = format!("Your {} plan runs until {end}; pay for a smaller one after that.", had.tier);
    Err(ApiError::new(Code::WrongState, detail))
}

/// A payment that is asked for at `now`.
pub(super) fn payment(
    (id, user): (PaymentId, UserId),
    (plan, scheme, amount): (Plan, Scheme, Money),
    payload: String,
    now: DateTime<Utc>,
) -> Payment {
    Payment {
        id,
        user_id: Some(user),
        kind: PaymentKind::Qr,
        scheme,
        tier: plan.tier,
        billing_cycle: plan.cycle,
        amount: amount.minor,
        currency: amount.currency,
        status: PaymentStatus::Pending,
        payload,
        created_at: now,
        expires_at: now + LIFETIME,
        paid_at: None,
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: None,
        payment_intent: None,
        refund_of: None,
        review: None,
    }
}

fn upi_link(config: &Config, plan: Plan, (id, amount): (PaymentId, Money)) -> ApiResult<String> {
    let off = || ApiError::new(Code::PaymentsNotConfigured, "Payments by UPI are not configured here.");
    let vpa = config.upi_vpa.as_deref().ok_or_else(off)?;
    Ok(upi::uri(&upi::Request {
        vpa,
        payee: &config.mail.from_name,
        amount,
        reference: &id.0.simple().to_string(),
        note: &plan.to_string(),
    }))
}

impl QrRequest {
    const fn plan(&self) -> Plan {
        Plan { tier: self.tier, cycle: self.billing_cycle }
    }

    fn price(&self, config: &Config) -> ApiResult<Money> {
        let currency = match self.scheme {
            Scheme::Upi => Currency::INR,
            Scheme::Stripe => Currency::USD,
        };
        self.plan().price(&config.tiers, currency, "cannot be paid for by QR code")
    }
}
