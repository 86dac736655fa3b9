//! `POST /api/v1/intents`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::status::{Charged, WorkflowStatus};
use shared::engine;
use shared::ids::WorkflowId;
use shared::store::Tx;
use utoipa::ToSchema;

use super::gate;
use super::replay::Key;
use super::request::{Estimate, IntentRequest};
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Body, CurrentUser, Submitter};

/// An intent that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Where to look: `GET /api/v1/workflows/{workflow_id}`.
    #[schema(value_type = uuid::Uuid)]
    workflow_id: WorkflowId,
    /// `pending`.
    status: WorkflowStatus,
    #[serde(flatten)]
    estimate: Estimate,
    /// One sentence for people.
    message: String,
    /// Trial credits left; missing with a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_remaining: Option<i64>,
}

/// Accepts an intent: charge, workflow, first job and audit entry are one transaction.
#[utoipa::path(post, path = "/api/v1/intents", tag = "Intents", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h")),
    request_body = IntentRequest, responses(
    (status = 202, description = "Accepted", body = Accepted),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(app): State<App>,
    Submitter(current): Submitter,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<IntentRequest>,
) -> ApiResult<Response> {
    let services = &app.services;
    let planned = request.check(services, "")?;
    let estimate = Estimate::of(&planned.plan, services);
    let key = Key::of(&headers, current.user.id, "intents")?;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    if let Some(replay) = key.take(&mut tx, &fingerprint, now).await? {
        return Ok(replay);
    }
    let accepted = accept(&mut tx, &app, &current, (WorkflowId::new(now), request, estimate), now).await?;
    let answer = key.answer(&mut tx, StatusCode::ACCEPTED, serde_json::to_string(&accepted)?).await?;
    tx.commit().await?;
    services.queue.wake().await;
    Ok(answer)
}

/// Charges and stores one intent in the caller's transaction.
pub async fn accept(
    tx: &mut Tx,
    app: &App,
    current: &CurrentUser,
    (workflow_id, request, estimate): (WorkflowId, IntentRequest, Estimate),
    now: DateTime<Utc>,
) -> ApiResult<Accepted> {
    let charge = gate::charge(tx, app, current, workflow_id, now).await?;
    let new = request.into_new(current.user.id, charge.charged, workflow_id);
    engine::accept(tx, &new, &app.services.circumstances(current.actor(), now)).await?;
    let message = match (charge.charged, charge.credits_remaining) {
        (Charged::Trial, Some(left)) => format!("Intent submitted successfully. Trial credits remaining: {left}"),
        _ => "Intent submitted successfully.".to_owned(),
    };
    let credits_remaining = charge.credits_remaining;
    Ok(Accepted { workflow_id, status: WorkflowStatus::Pending, estimate, message, credits_remaining })
}
