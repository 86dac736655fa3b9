//! A workflow named in the path: 404 if there is none, 403 if it is somebody else's.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use shared::ids::WorkflowId;
use shared::store::workflows::{self, WorkflowView};

use super::{CurrentUser, PathId};
use crate::App;
use crate::error::{ApiError, Code};

/// A workflow that the user may act on: their own.
pub struct OwnWorkflow {
    /// Who acts.
    pub current: CurrentUser,
    /// The workflow.
    pub id: WorkflowId,
}

/// A workflow that the user may read: their own, or any for an admin.
pub struct ReadableWorkflow(pub WorkflowView);

impl FromRequestParts<App> for OwnWorkflow {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = CurrentUser::from_request_parts(parts, app).await?;
        let view = load(parts, app).await?;
        if view.user_id != current.user.id {
            return Err(not_owner());
        }
        Ok(Self { current, id: view.id })
    }
}

impl FromRequestParts<App> for ReadableWorkflow {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = CurrentUser::from_request_parts(parts, app).await?;
        let view = load(parts, app).await?;
        if view.user_id != current.user.id && !current.user.is_admin() {
            return Err(not_owner());
        }
        Ok(Self(view))
    }
}

async fn load(parts: &mut Parts, app: &App) -> Result<WorkflowView, ApiError> {
    let PathId(id) = PathId::from_request_parts(parts, app).await?;
    let mut reader = app.services.db.read().await?;
    workflows::view(&mut reader, WorkflowId(id)).await?.ok_or_else(ApiError::not_found)
}

fn not_owner() -> ApiError {
    ApiError::new(Code::NotOwner, "This workflow belongs to somebody else.")
}
