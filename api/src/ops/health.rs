//! `GET /health/live` and `GET /health/ready`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;

/// How the process stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// `ok` or `failing`; missing where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'static str>,
    /// `ok` or `failing`; missing where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'static str>,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/health/live", tag = "Operations", responses(
    (status = 200, description = "It does", body = Health),
))]
pub async fn live() -> Json<Health> {
    Json(Health { status: "ok", database: None, queue: None })
}

/// Whether database and queue answer; both are asked.
#[utoipa::path(get, path = "/health/ready", tag = "Operations", responses(
    (status = 200, description = "Both do", body = Health),
    (status = 503, description = "One does not", body = Health),
))]
pub async fn ready(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let database =
        app.services.db.ping().await.inspect_err(|error| tracing::warn!(%error, "the database fails")).is_ok();
    let queue = app.services.queue.ping().await.inspect_err(|error| tracing::warn!(%error, "the queue fails")).is_ok();
    let word = |fine: bool| if fine { "ok" } else { "failing" };
    let fine = database && queue;
    let status = if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { status: word(fine), database: Some(word(database)), queue: Some(word(queue)) }))
}
