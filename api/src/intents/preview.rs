//! `POST /api/v1/intents/preview`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::domain::entitlement::{Entitlement, entitlement};
use shared::domain::plan::Plan;
use shared::domain::status::Charged;
use shared::store::credits;
use utoipa::ToSchema;

use super::request::{Estimate, IntentRequest};
use crate::App;
use crate::error::ApiResult;
use crate::extract::{Body, CurrentUser};

/// What would happen.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// What would run.
    plan: Plan,
    /// What made the plan: `plan`, `recipe:<name>` or `human`.
    planner: String,
    #[serde(flatten)]
    estimate: Estimate,
    /// Whether the intent would be accepted.
    entitled: Entitled,
}

/// Whether an intent would be accepted now.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Entitled {
    /// Whether it would.
    allowed: bool,
    /// Trial credits that would be left.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_remaining: Option<i64>,
    /// Workflows of this month that would be left; missing if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflows_remaining: Option<i64>,
    /// Why not, if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Shows what an intent would do and cost; charges and stores nothing.
#[utoipa::path(post, path = "/api/v1/intents/preview", tag = "Intents", security(("bearer" = [])),
    request_body = IntentRequest, responses(
    (status = 200, description = "What would happen", body = Preview),
))]
pub async fn preview(
    State(app): State<App>,
    current: CurrentUser,
    Body { value: request, .. }: Body<IntentRequest>,
) -> ApiResult<Json<Preview>> {
    let services = &app.services;
    let planned = request.check(services, "")?;
    let estimate = Estimate::of(&planned.plan, services);
    let entitled = match current.require_verified() {
        Ok(()) => {
            let mut reader = services.db.read().await?;
            let facts = credits::facts(&mut reader, current.user.id).await?;
            Entitled::from(&entitlement(&facts, &services.config.tiers, services.clock.now()))
        }
        Err(refused) => Entitled { reason: Some(refused.refusal()?), ..Entitled::default() },
    };
    Ok(Json(Preview { plan: planned.plan.into_owned(), planner: planned.by.to_string(), estimate, entitled }))
}

impl From<&Entitlement> for Entitled {
    fn from(entitlement: &Entitlement) -> Self {
        let left = entitlement.left().map(|left| left - 1);
        match entitlement.charge {
            Ok(Charged::Trial) => Self { allowed: true, credits_remaining: left, ..Self::default() },
            Ok(Charged::Subscription) => Self { allowed: true, workflows_remaining: left, ..Self::default() },
            Err(refusal) => Self { reason: Some(refusal.to_string()), ..Self::default() },
        }
    }
}
