//! What every answer carries: a request id, rate-limit and security headers, a log line; and panics, overlong addresses
//! and lost time as problems.

mod cors;
mod security;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use shared::clock::Clock;
use shared::limiter::Standing;
use shared::services::Services;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::error::{ApiError, Code, Problem};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// How many headers an answer has at most, as a rule.
const HEADERS: usize = 16;
/// The largest body, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;
/// The longest path with its query, in bytes.
const ADDRESS_LIMIT: usize = 8 * 1024;

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

/// What the layers know of the deployment.
#[derive(Debug, Clone)]
pub struct Edge {
    clock: Clock,
    https: bool,
}

impl Edge {
    /// Of this deployment.
    pub fn new(services: &Services) -> Self {
        Self { clock: services.clock.clone(), https: services.config.base_url.scheme() == "https" }
    }
}

/// Puts around the routes what all of them need. Pages of the given origins may call them.
pub fn wrap<S: Clone + Send + Sync + 'static>(routes: Router<S>, edge: Edge, origins: &[String]) -> Router<S> {
    let routes = routes.layer(CatchPanicLayer::custom(panicked)).layer(DefaultBodyLimit::max(BODY_LIMIT));
    let routes = match cors::layer(origins) {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.layer(from_fn_with_state(edge, around))
}

async fn around(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sane(id));
    let id = given.map_or_else(|| shared::ids::new(edge.clock.now()).to_string(), str::to_owned);
    let note = RateNote::default();
    request.extensions_mut().insert(note.clone());
    let span = tracing::info_span!("request", request.id = %id, http.method = %request.method(),
        http.path = %request.uri().path());
    let response = if is_overlong(request.uri()) {
        ApiError::new(Code::UriTooLong, "An address may have at most 8 KiB.").into_response()
    } else {
        next.run(request).instrument(span.clone()).await
    };
    span.in_scope(|| tracing::debug!(http.status = response.status().as_u16(), "answered"));
    let mut response = with_request_id(response, &id);
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(&REQUEST_ID, value);
    }
    if let Some(standing) = note.take() {
        headers.insert(&LIMIT, u64::from(standing.limit).into());
        headers.insert(&REMAINING, u64::from(standing.remaining).into());
        headers.insert(&RESET, standing.reset.into());
    }
    security::set(headers, edge.https);
    response
}

/// Gives a request up that has no answer in time.
pub async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!("a request had no answer in time and was given up");
        ApiError::new(Code::TimedOut, "This took too long and was given up; try again.").retry_after(1).into_response()
    })
}

fn is_overlong(address: &Uri) -> bool {
    address.path_and_query().is_some_and(|text| text.as_str().len() > ADDRESS_LIMIT)
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
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of unknown type"), "a handler panicked");
    ApiError::new(Code::Internal, "Something went wrong on our side. Try again.").into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    fn broken() -> StatusCode {
        panic!("secret of the inside")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_like_any_other_and_tells_nothing() {
        let edge = Edge { clock: Clock::manual("2026-01-15T09:00:00Z".parse().unwrap()), https: true };
        let routes: Router = wrap(Router::new().route("/", get(|| async { broken() })), edge, &[]);
        let request = Request::builder().uri("/").header("x-request-id", "mine").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("x-request-id", "mine"),
            ("x-content-type-options", "nosniff"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let body = to_bytes(response.into_body(), BODY_LIMIT).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "internal");
        assert_eq!(problem["request_id"], "mine");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}
