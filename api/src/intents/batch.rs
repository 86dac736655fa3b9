//! `POST /api/v1/intents/batch`

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::domain::plan::FieldError;
use shared::ids::WorkflowId;
use utoipa::ToSchema;

use super::create::{Accepted, accept};
use super::replay::Key;
use super::request::{Estimate, IntentRequest};
use crate::App;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Body, Submitter};
use crate::layers::RateNote;
use crate::limits::Class;

/// Several intents.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// 1 to 100 of them.
    #[schema(min_items = 1, max_items = 100)]
    intents: Vec<IntentRequest>,
}

/// What became of them, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAccepted {
    results: Vec<Accepted>,
}

/// Accepts several intents: all are charged and stored together, or none.
#[utoipa::path(post, path = "/api/v1/intents/batch", tag = "Intents", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h")),
    request_body = BatchRequest, responses(
    (status = 202, description = "Accepted", body = BatchAccepted),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn batch(
    State(app): State<App>,
    Submitter(current): Submitter,
    Extension(note): Extension<RateNote>,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<BatchRequest>,
) -> ApiResult<Response> {
    let services = &app.services;
    let count = request.intents.len();
    if !(1..=100).contains(&count) {
        return Err(ApiError::invalid(vec![FieldError::new("intents", "must have 1 to 100 items")]));
    }
    let mut checked = Vec::with_capacity(count);
    for (i, intent) in request.intents.into_iter().enumerate() {
        let planned = intent.check(services, &format!("intents[{i}]."))?;
        let estimate = Estimate::of(&planned.plan, services);
        checked.push((intent, estimate));
    }
    let now = services.clock.now();
    // The request itself has counted as one.
    let standing = app.limiter.admit_many(current.user.id, Class::Intents, (current.limits(&app), count - 1), now);
    crate::extract::admit(Some(&note), standing)?;
    let key = Key::of(&headers, current.user.id, "intents/batch")?;
    let mut tx = services.db.begin().await?;
    if let Some(replay) = key.take(&mut tx, &fingerprint, now).await? {
        return Ok(replay);
    }
    let mut results = Vec::with_capacity(count);
    for (i, (intent, estimate)) in checked.into_iter().enumerate() {
        // Ids sort by their milliseconds, so that lists show a batch in its order.
        let id = WorkflowId::new(now + TimeDelta::milliseconds(i as i64));
        results.push(accept(&mut tx, &app, &current, (id, intent, estimate), now).await?);
    }
    let body = serde_json::to_string(&BatchAccepted { results })?;
    let answer = key.answer(&mut tx, StatusCode::ACCEPTED, body).await?;
    tx.commit().await?;
    services.queue.wake().await;
    Ok(answer)
}
