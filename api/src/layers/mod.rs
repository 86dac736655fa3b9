//! What every answer carries: a request id, rate-limit and security headers, a log line; and panics as problems.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::App;
use crate::error::{ApiError, Code, Problem};
use crate::limits::Standing;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where an extractor leaves the user's standing for the answer's headers.
#[derive(Debug, Clone, Default)]
pub struct RateNote(Arc<Mutex<Option<Standing>>>);

impl RateNote {
    /// Leaves the standing.
    pub fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    fn take(&self) -> Option<Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Wraps every request.
pub async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sane(id));
    let id = given.map_or_else(|| shared::ids::new(app.services.clock.now()).to_string(), str::to_owned);
    let note = RateNote::default();
    request.extensions_mut().insert(note.clone());
    let span = tracing::info_span!("request", request.id = %id, http.method = %request.method(),
        http.path = %request.uri().path());
    let response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(http.status = response.status().as_u16(), "answered"));
    let mut response = with_request_id(response, &id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    if let Some(standing) = note.take() {
        headers.insert("ratelimit-limit", u64::from(standing.limit).into());
        headers.insert("ratelimit-remaining", u64::from(standing.remaining).into());
        headers.insert("ratelimit-reset", standing.reset.into());
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A problem document gets the request id into its body.
fn with_request_id(mut response: Response, id: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    id.clone_into(&mut problem.request_id);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Json(problem).into_response().into_body())
}

/// Ids that may go into a header and a log: short, printable, without spaces.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
}

/// What a handler that panicked answers.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of unknown type"), "a handler panicked");
    ApiError::new(Code::Internal, "Something went wrong on our side. Try again.").into_response()
}
