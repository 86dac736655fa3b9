//! `POST /api/v1/intents/batch`

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::domain::plan::FieldError;
use utoipa::ToSchema;

use super::accept::{Accepted, Intent, accept};
use super::request::IntentRequest;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Body, Submitter};
use crate::layers::RateNote;
use crate::limits::Class;
use crate::replay::{Answer, Key, Turns};

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
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = BatchRequest, responses(
    (status = 202, description = "Accepted", body = BatchAccepted),
    (status = 402, description = "The trial is over, or there is no subscription"),
    (status = 403, description = "The address is not verified, or credits, workflows or storage are used up"),
))]
pub async fn batch(
    State(app): State<App>,
    Submitter(current): Submitter,
    Extension(note): Extension<RateNote>,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<BatchRequest>,
) -> ApiResult<Answer> {
    let services = &app.services;
    let count = request.intents.len();
    if !(1..=100).contains(&count) {
        return Err(ApiError::invalid(vec![FieldError::new("intents", "must have 1 to 100 items")]));
    }
    let now = services.clock.now();
    let mut intents = Vec::with_capacity(count);
    for (i, intent) in request.intents.into_iter().enumerate() {
        // Ids sort by their milliseconds, so that lists show a batch in its order.
        let at = now + TimeDelta::milliseconds(i as i64);
        intents.push(Intent::check(intent, &format!("intents[{i}]."), (&app, &current), at)?);
    }
    // The request itself has counted as one.
    let standing = current.count(&app, Class::Intents, count as u32 - 1, now).await;
    crate::extract::admit(Some(&note), standing)?;
    let key = Key::of(&headers, current.user.id, "intents/batch", fingerprint)?;
    let keys = [&key];
    let mut tx = services.db.begin().await?;
    let turns = Turns::take(&mut tx, &keys, now).await?;
    let mut done = Vec::new();
    let mut wake = false;
    if turns.is_first(0) {
        let (results, soon) = accept(&mut tx, services, &intents.iter().collect::<Vec<_>>(), now).await?;
        wake = soon;
        // The first refusal leaves here, and the transaction is undone.
        let results = results.into_iter().collect::<ApiResult<_>>()?;
        done.push(Answer::json(StatusCode::ACCEPTED, &BatchAccepted { results }));
    }
    let mut answers = turns.finish(&mut tx, done).await?;
    tx.commit().await?;
    if wake {
        services.queue.wake().await;
    }
    answers.pop().unwrap_or_else(|| Err(ApiError::stopping()))
}
