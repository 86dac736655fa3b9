//! The id in a path: whatever is none is like one that nothing has.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use crate::App;
use crate::error::ApiError;

/// The first parameter of the path; 404 unless it is an id.
pub struct PathId(pub Uuid);

impl FromRequestParts<App> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found())?;
        let id = params.iter().next().and_then(|(_, id)| Uuid::try_parse(id).ok());
        id.map(Self).ok_or_else(ApiError::not_found)
    }
}
