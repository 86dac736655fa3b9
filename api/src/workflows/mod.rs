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

use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::OwnWorkflow;
use get::WorkflowBody;

/// Gives a command on behalf of the owner, and shows the workflow as it is then.
async fn command(app: &App, own: OwnWorkflow, command: Command) -> ApiResult<Json<WorkflowBody>> {
    app.services.order(own.id, command, own.current.actor()).await??;
    let mut reader = app.services.db.read().await?;
    let view = shared::store::workflows::view(&mut reader, own.id).await?.ok_or_else(ApiError::not_found)?;
    let steps = shared::store::workflows::step_views(&mut reader, &[own.id]).await?;
    Ok(Json(WorkflowBody::new(view, steps)))
}
