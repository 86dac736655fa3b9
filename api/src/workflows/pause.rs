//! `POST /api/v1/workflows/{id}/pause`

use axum::Json;
use axum::extract::State;
use shared::domain::workflow::Command;

use super::get::WorkflowBody;
use crate::App;
use crate::error::ApiResult;
use crate::extract::OwnWorkflow;

/// Keeps anything new from starting.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/pause", tag = "Workflows", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The workflow")), responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "It is neither pending nor running"),
))]
pub async fn pause(State(app): State<App>, own: OwnWorkflow) -> ApiResult<Json<WorkflowBody>> {
    super::command(&app, own, Command::Pause).await
}
