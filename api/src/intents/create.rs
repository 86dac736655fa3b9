//! `POST /api/v1/intents`

use axum::extract::State;
use axum::http::HeaderMap;

use super::accept::{Accepted, Intent, Submission};
use super::request::IntentRequest;
use crate::App;
use crate::error::ApiResult;
use crate::extract::{Body, Submitter};
use crate::replay::{Answer, Key};

/// Accepts an intent: charge, workflow, first job and audit entry are one transaction.
#[utoipa::path(post, path = "/api/v1/intents", tag = "Intents", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = IntentRequest, responses(
    (status = 202, description = "Accepted", body = Accepted),
    (status = 402, description = "The trial is over, or there is no subscription"),
    (status = 403, description = "The address is not verified, or credits, workflows or storage are used up"),
))]
pub async fn create(
    State(app): State<App>,
    Submitter(current): Submitter,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<IntentRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "intents", fingerprint)?;
    let intent = Intent::check(request, "", (&app, &current), app.services.clock.now())?;
    app.submit(Submission { intent, key }).await
}
