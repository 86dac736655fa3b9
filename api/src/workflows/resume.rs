//! `POST /api/v1/workflows/{id}/resume`

use axum::Json;
use axum::extract::State;
use shared::domain::workflow::Command;

use super::get::WorkflowBody;
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::OwnWorkflow;

/// Goes on, from paused or failed; finished steps are not run again.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/resume", tag = "Workflows", security(("bearer" = [])),
    params(("id" = String, Path, description = "The workflow")), responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn resume(State(app): State<App>, own: OwnWorkflow) -> ApiResult<Json<WorkflowBody>> {
    super::command(&app, own, Command::Resume).await
}
