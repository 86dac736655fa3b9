//! `DELETE /api/v1/workflows/{id}`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::domain::status::WorkflowStatus;
use shared::domain::workflow::Command;
use shared::ids::WorkflowId;
use shared::store::credits;
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiResult;
use crate::extract::OwnWorkflow;

/// A workflow that was cancelled.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cancelled {
    #[schema(value_type = uuid::Uuid)]
    workflow_id: WorkflowId,
    /// `cancelled`.
    status: WorkflowStatus,
    /// Whether what it was charged came back, because no step had started.
    credit_refunded: bool,
}

/// Cancels a workflow; its credit comes back if no step had started.
#[utoipa::path(delete, path = "/api/v1/workflows/{id}", tag = "Workflows", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The workflow")), responses(
    (status = 200, description = "Cancelled", body = Cancelled),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "It has ended"),
))]
pub async fn delete(State(app): State<App>, own: OwnWorkflow) -> ApiResult<Json<Cancelled>> {
    app.services.order(own.id, Command::Cancel, own.current.user.actor()).await??;
    let mut reader = app.services.db.read().await?;
    let credit_refunded = credits::refunded(&mut reader, own.id).await?;
    Ok(Json(Cancelled { workflow_id: own.id, status: WorkflowStatus::Cancelled, credit_refunded }))
}
