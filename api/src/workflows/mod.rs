//! Workflows: reading them, and what their owner may do to them.

pub mod audit;
pub mod decide;
pub mod delete;
pub mod get;
pub mod list;
pub mod pause;
pub mod resume;

use axum::Json;
use shared::domain::workflow::Command;
use shared::ids::WorkflowId;
use shared::store::workflows;

use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::OwnWorkflow;
use get::WorkflowBody;

/// Gives a command on behalf of the owner, and shows the workflow as it is then.
async fn command(app: &App, own: OwnWorkflow, command: Command) -> ApiResult<Json<WorkflowBody>> {
    app.services.order(own.id, command, own.current.user.actor()).await??;
    show(app, own.id).await
}

/// The workflow with its steps, as they were at one moment.
async fn show(app: &App, id: WorkflowId) -> ApiResult<Json<WorkflowBody>> {
    let mut reader = app.services.db.snapshot().await?;
    let view = workflows::view(&mut reader, id).await?.ok_or_else(ApiError::not_found)?;
    let steps = workflows::step_views(&mut reader, &[id]).await?;
    Ok(Json(WorkflowBody::new(view, steps)))
}
