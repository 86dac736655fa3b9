//! `GET /payments/usage` and `GET /payments/usage/{user_id}`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::entitlement::{Entitlement, Facts, entitlement};
use shared::domain::tier::{Limits, Tier};
use shared::ids::UserId;
use shared::store::usage::{self, InUse};
use shared::store::{credits, users};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{CurrentUser, PathId};
use crate::intents::dollars;

/// Micro-dollars in a cent.
const CENT: i64 = 10_000;

/// What an account uses, and its limits.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// Whose limits hold.
    tier: Tier,
    /// When the month or the trial began that workflows and cost are of; null before the trial begins.
    period_start: Option<DateTime<Utc>>,
    /// When it ends, or has ended.
    period_end: Option<DateTime<Utc>>,
    workflows: Workflows,
    /// Credits of the trial; null where a subscription pays, and before the trial begins.
    credits: Option<Credits>,
    agents: Agents,
    storage: Storage,
    cost: Cost,
}

/// Workflows of the period.
#[derive(Debug, Serialize, ToSchema)]
pub struct Workflows {
    used: i64,
    /// Null: unlimited.
    limit: Option<i64>,
}

/// Credits of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct Credits {
    /// Given in all.
    total: i64,
    /// Left; worth nothing once the trial is over.
    remaining: i64,
}

/// Steps that run at once.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agents {
    /// Steps that run now. Further ones wait, and say so.
    busy: i64,
    /// Null: unlimited.
    limit: Option<i64>,
}

/// Outputs of steps that are stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Storage {
    /// Bytes of JSON without spaces. No intent is accepted while they are as many as the limit; what runs goes on.
    bytes: i64,
    /// Null: unlimited.
    limit_bytes: Option<i64>,
}

/// What the workflows of the period have cost so far.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cost {
    /// Whole cents, half a cent rounded up.
    amount_minor: i64,
    /// ISO 4217.
    currency: &'static str,
    /// The same to the millionth of a dollar.
    dollars: f64,
}

/// What the signed-in user uses, and how much of it there is.
#[utoipa::path(get, path = "/payments/usage", tag = "Payments", security(("bearer" = [])), responses(
    (status = 200, description = "What is used", body = Usage),
))]
pub async fn own(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<Usage>> {
    Ok(Json(read(&app, current.user.id).await?))
}

/// What somebody uses: for that user and for admins.
#[utoipa::path(get, path = "/payments/usage/{user_id}", tag = "Payments", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), responses(
    (status = 200, description = "What is used", body = Usage),
    (status = 403, description = "It is somebody else's, and only admins may look at that"),
))]
pub async fn of(State(app): State<App>, current: CurrentUser, PathId(id): PathId) -> ApiResult<Json<Usage>> {
    let id = UserId(id);
    if id != current.user.id {
        if !current.user.is_admin() {
            return Err(ApiError::new(Code::Forbidden, "Only admins may see what others use."));
        }
        let mut reader = app.services.db.read().await?;
        users::by_id(&mut reader, id).await?.ok_or_else(ApiError::not_found)?;
    }
    Ok(Json(read(&app, id).await?))
}

async fn read(app: &App, user: UserId) -> ApiResult<Usage> {
    let (tiers, now) = (&app.services.config.tiers, app.services.clock.now());
    // All of it as of one moment.
    let mut reader = app.services.db.snapshot().await?;
    let facts = credits::facts(&mut reader, user).await?;
    let entitlement = entitlement(&facts, tiers, now);
    let since = entitlement.period.map_or(DateTime::<Utc>::UNIX_EPOCH, |(start, _)| start);
    let cost = usage::cost(&mut reader, user, since).await?;
    let in_use = usage::in_use(&mut reader, user).await?;
    Ok(Usage::new(&facts, &entitlement, (in_use, cost), tiers.limits(entitlement.tier)))
}

impl Usage {
    fn new(facts: &Facts, entitlement: &Entitlement, (in_use, cost): (InUse, i64), limits: &Limits) -> Self {
        let trial = facts.trial.as_ref().filter(|_| entitlement.tier == Tier::FreeTrial);
        Self {
            tier: entitlement.tier,
            period_start: entitlement.period.map(|(start, _)| start),
            period_end: entitlement.period.map(|(_, end)| end),
            workflows: Workflows { used: entitlement.used, limit: entitlement.limit },
            credits: trial.map(|trial| Credits { total: trial.credits_total, remaining: trial.credits }),
            agents: Agents { busy: in_use.agents, limit: limits.agents },
            storage: Storage { bytes: in_use.storage, limit_bytes: limits.storage() },
            cost: Cost::of(cost),
        }
    }
}

impl Cost {
    fn of(micros: i64) -> Self {
        Self { amount_minor: (micros + CENT / 2).div_euclid(CENT), currency: "USD", dollars: dollars(micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::Cost;

    #[test]
    fn a_cost_is_rounded_to_whole_cents() {
        for (micros, cents) in [(0, 0), (4_999, 0), (5_000, 1), (10_000, 1), (14_999, 1), (15_000, 2), (1_000_000, 100)]
        {
            assert_eq!(Cost::of(micros).amount_minor, cents, "{micros}");
        }
    }
}
