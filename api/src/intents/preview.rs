//! `POST /api/v1/intents/preview`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::domain::plan::Plan;
use shared::ids::WorkflowId;
use utoipa::ToSchema;

use super::gate::{self, Payer};
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
#[derive(Debug, Serialize, ToSchema)]
pub struct Entitled {
    /// Whether it would.
    allowed: bool,
    /// Trial credits that would be left.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_remaining: Option<i64>,
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
    let now = services.clock.now();
    // The same gate as for real, in a transaction that is never committed.
    let mut tx = services.db.begin().await?;
    let charge = match current.require_verified() {
        Ok(()) => gate::charge(&mut tx, &[(Payer::of(&current, &app), WorkflowId::new(now))], now).await?.pop(),
        Err(refused) => Some(Err(refused)),
    };
    drop(tx);
    let entitled = match charge {
        Some(Err(error)) => Entitled { allowed: false, credits_remaining: None, reason: Some(error.refusal()?) },
        charge => Entitled { allowed: true, credits_remaining: charge.and_then(Result::ok).flatten(), reason: None },
    };
    Ok(Json(Preview { plan: planned.plan, planner: planned.by.to_string(), estimate, entitled }))
}
