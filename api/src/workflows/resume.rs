//! `POST /api/v1/workflows/{id}/resume`

use axum::Json;
use axum::extract::State;
use shared::domain::workflow::Command;

use super::get::WorkflowBody;
use crate::App;
use crate::error::ApiResult;
use crate::extract::OwnWorkflow;

/// Goes on, from paused or failed; finished steps are not run again.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/resume", tag = "Workflows", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The workflow")), responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "It is neither paused nor failed"),
))]
pub async fn resume(State(app): State<App>, own: OwnWorkflow) -> ApiResult<Json<WorkflowBody>> {
    super::command(&app, own, Command::Resume).await
}
