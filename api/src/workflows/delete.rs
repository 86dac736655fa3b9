//! `DELETE /api/v1/workflows/{id}`

use axum::Json;
use axum::extract::State;
use shared::domain::workflow::Command;

use super::get::WorkflowBody;
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::OwnWorkflow;

/// Cancels a workflow; its credit comes back if no step had started.
#[utoipa::path(delete, path = "/api/v1/workflows/{id}", tag = "Workflows", security(("bearer" = [])),
    params(("id" = String, Path, description = "The workflow")), responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(State(app): State<App>, own: OwnWorkflow) -> ApiResult<Json<WorkflowBody>> {
    super::command(&app, own, Command::Cancel).await
}
