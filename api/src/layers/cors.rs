//! Which pages of other origins may call the API: none, unless the configuration names them.
//!
//! Credentials of browsers are never allowed, since the API knows bearer tokens only.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What answers the questions of browsers before their requests, if any origin is allowed.
pub fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let named = HeaderName::from_static;
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                named("idempotency-key"),
                named("x-request-id"),
                named("last-event-id"),
            ])
            .expose_headers([
                named("ratelimit-limit"),
                named("ratelimit-remaining"),
                named("ratelimit-reset"),
                header::RETRY_AFTER,
                named("idempotent-replayed"),
                named("x-request-id"),
            ])
            .max_age(REMEMBERED),
    )
}
