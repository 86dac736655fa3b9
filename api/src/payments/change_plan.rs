//! `POST /payments/change-plan` and `POST /payments/change-plan/preview`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::domain::money::{Currency, Money, NotACurrency};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::store::Tx;
use shared::stripe::objects::Invoice;
use shared::stripe::sync;
use utoipa::ToSchema;

use super::at_stripe::{customer_of, settle};
use super::operation::{self, Operation, Stop, Work};
use super::plan::{Plan, When};
use super::subscription::SubscriptionBody;
use super::turn::Turn;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Body, CurrentUser};
use crate::replay::{Answer, Key};

/// What is said of a tier that has no price.
pub(super) const NOT_SOLD: &str = "cannot be changed to";

/// The plan to change to.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// `student`, `employee` or `professional`.
    tier: Tier,
    /// For how long at a time; left out: as it is.
    billing_cycle: Option<BillingCycle>,
}

/// A change that was made or is to come.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanChanged {
    /// Whether it takes effect now or when the period ends.
    effective: When,
    /// When that is.
    effective_at: DateTime<Utc>,
    /// The subscription as it is now.
    subscription: SubscriptionBody,
}

/// What a change would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangePreview {
    /// Whether it would take effect now or when the period ends.
    effective: When,
    /// When that is.
    effective_at: DateTime<Utc>,
    /// What would be paid at once, with the rest of what was paid before counted in; null if nothing is due before the
    /// period ends.
    amount_due: Option<Money>,
    /// What each period costs from then on.
    price: Money,
}

/// Changes the plan that Stripe bills. A larger tier, or a year instead of a month, begins at once, and the rest of
/// what was paid counts towards it; anything less begins when the period ends. The last change asked for is the one
/// that counts: the present plan, asked for, drops what was to come.
#[utoipa::path(post, path = "/payments/change-plan", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = PlanRequest, responses(
    (status = 200, description = "The subscription, and when the change takes effect", body = PlanChanged),
    (status = 402, description = "The payment was declined, or the bank wants the payer to confirm it"),
    (status = 409, description = "Stripe bills no subscription, or it is this plan already, or it is to end, or what \
        was had is not paid for; or a request like this one is being worked on"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn change_plan(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<PlanRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/change-plan", fingerprint)?;
    request.check(&app.services.config)?;
    operation::run(&app, key, Change { user: current.user.id, request }).await
}

/// Tells what a change would cost and when it would take effect; changes nothing.
#[utoipa::path(post, path = "/payments/change-plan/preview", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = PlanRequest, responses(
    (status = 200, description = "What the change would be", body = ChangePreview),
    (status = 409, description = "Stripe bills no subscription, or it is this plan already, or it is to end, or what \
        was had is not paid for; or a request like this one is being worked on"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn preview(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<PlanRequest>,
) -> ApiResult<Answer> {
    // A price that is missing at Stripe is made, so it is an operation too.
    let key = Key::of(&headers, current.user.id, "payments/change-plan/preview", fingerprint)?;
    request.check(&app.services.config)?;
    operation::run(&app, key, Preview { user: current.user.id, request }).await
}

/// A change to make.
struct Change {
    user: UserId,
    request: PlanRequest,
}

impl Work for Change {
    type Found = (Box<sync::State>, When, DateTime<Utc>);

    async fn ask(&self, operation: &Operation) -> Result<Self::Found, Stop> {
        let turn = Turn::find(operation, self.user, self.request.plan()).await?;
        turn.make(operation).await?;
        let state = sync::read(&operation.services, customer_of(&turn.subscription)?, false).await?;
        let (effective, effective_at) = turn.effective(operation.now);
        Ok((Box::new(state), effective, effective_at))
    }

    async fn store(&self, operation: &Operation, tx: &mut Tx, found: Self::Found) -> Result<Answer, Stop> {
        let (state, effective, effective_at) = found;
        let subscription = settle(operation, tx, self.user, &state).await?;
        Ok(Answer::json(StatusCode::OK, &PlanChanged { effective, effective_at, subscription })?)
    }
}

/// A change to tell of.
struct Preview {
    user: UserId,
    request: PlanRequest,
}

impl Work for Preview {
    type Found = ChangePreview;

    async fn ask(&self, operation: &Operation) -> Result<ChangePreview, Stop> {
        let turn = Turn::find(operation, self.user, self.request.plan()).await?;
        let (effective, effective_at) = turn.effective(operation.now);
        let mut amount_due = None;
        if turn.when == Some(When::Now) {
            let (customer, change) = (customer_of(&turn.subscription)?, (turn.item.as_str(), turn.to.as_str()));
            let invoice = operation.stripe.preview_change(customer, &turn.subscription.id, change).await?;
            amount_due = Some(due(&invoice)?);
        }
        Ok(ChangePreview { effective, effective_at, amount_due, price: turn.amount })
    }

    async fn store(&self, _: &Operation, _: &mut Tx, found: ChangePreview) -> Result<Answer, Stop> {
        Ok(Answer::json(StatusCode::OK, &found)?)
    }
}

fn due(invoice: &Invoice) -> ApiResult<Money> {
    let currency = invoice.currency.parse().map_err(|error: NotACurrency| ApiError::odd(&error))?;
    Ok(Money { minor: invoice.amount_due, currency })
}

impl PlanRequest {
    const fn plan(self) -> (Tier, Option<BillingCycle>) {
        (self.tier, self.billing_cycle)
    }

    /// 422 where the tier has no price.
    fn check(self, config: &Config) -> ApiResult<()> {
        let cycle = self.billing_cycle.unwrap_or(BillingCycle::Monthly);
        Plan { tier: self.tier, cycle }.price(&config.tiers, Currency::USD, NOT_SOLD).map(drop)
    }
}
