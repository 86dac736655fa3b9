//! `POST /api/v1/workflows/{id}/steps/{step_id}/complete`, `/approve` and `/reject`

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::plan::FieldError;
use shared::domain::workflow::{Command, Decision};
use utoipa::ToSchema;

use super::get::WorkflowBody;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Body, OwnWorkflow};

/// What came of a human task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// What later steps see as the step's output.
    #[schema(value_type = Option<Object>)]
    output: Option<Value>,
}

/// A word about a decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideRequest {
    /// At most 1000 characters.
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// A person has done what a waiting step asked for.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/steps/{step_id}/complete", tag = "Workflows",
    security(("bearer" = [])), request_body = CompleteRequest,
    params(("id" = uuid::Uuid, Path, description = "The workflow"), ("step_id" = String, Path, description = "The step")),
    responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "The step does not wait for this"),
))]
pub async fn complete(
    State(app): State<App>,
    own: OwnWorkflow,
    Path(path): Path<(String, String)>,
    Body { value: request, .. }: Body<CompleteRequest>,
) -> ApiResult<Json<WorkflowBody>> {
    let output = request.output.unwrap_or_else(|| json!({}));
    if !output.is_object() {
        return Err(ApiError::invalid(vec![FieldError::new("output", "must be an object")]));
    }
    super::command(&app, own, Command::Decide { step: path.1, decision: Decision::Done, output }).await
}

/// Approves what a waiting approval asks about.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/steps/{step_id}/approve", tag = "Workflows",
    security(("bearer" = [])), request_body = DecideRequest,
    params(("id" = uuid::Uuid, Path, description = "The workflow"), ("step_id" = String, Path, description = "The step")),
    responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "The step does not wait for this"),
))]
pub async fn approve(
    State(app): State<App>,
    own: OwnWorkflow,
    Path(path): Path<(String, String)>,
    Body { value: request, .. }: Body<DecideRequest>,
) -> ApiResult<Json<WorkflowBody>> {
    let output = request.output(true)?;
    super::command(&app, own, Command::Decide { step: path.1, decision: Decision::Approved, output }).await
}

/// Refuses what a waiting approval asks about; the step fails.
#[utoipa::path(post, path = "/api/v1/workflows/{id}/steps/{step_id}/reject", tag = "Workflows",
    security(("bearer" = [])), request_body = DecideRequest,
    params(("id" = uuid::Uuid, Path, description = "The workflow"), ("step_id" = String, Path, description = "The step")),
    responses(
    (status = 200, description = "The workflow as it is now", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
    (status = 409, description = "The step does not wait for this"),
))]
pub async fn reject(
    State(app): State<App>,
    own: OwnWorkflow,
    Path(path): Path<(String, String)>,
    Body { value: request, .. }: Body<DecideRequest>,
) -> ApiResult<Json<WorkflowBody>> {
    let output = request.output(false)?;
    super::command(&app, own, Command::Decide { step: path.1, decision: Decision::Rejected, output }).await
}

impl DecideRequest {
    fn output(self, approved: bool) -> ApiResult<Value> {
        if self.note.as_ref().is_some_and(|note| note.chars().count() > 1_000) {
            return Err(ApiError::invalid(vec![FieldError::new("note", "must have at most 1000 characters")]));
        }
        Ok(json!({"approved": approved, "note": self.note}))
    }
}
