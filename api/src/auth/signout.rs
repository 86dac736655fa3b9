//! `POST /auth/signout`

use axum::extract::State;
use axum::http::StatusCode;
use shared::store::sessions;
use shared::tokens::Kind;

use super::refresh::RefreshRequest;
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::Body;

/// Ends the session of a refresh token; one that has ended is no error.
#[utoipa::path(post, path = "/auth/signout", tag = "Accounts", request_body = RefreshRequest, responses(
    (status = 204, description = "The session is over"),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn signout(
    State(app): State<App>,
    Body { value: request, .. }: Body<RefreshRequest>,
) -> ApiResult<StatusCode> {
    let now = app.services.clock.now();
    let claims = app.services.tokens.read(&request.refresh_token, Kind::Refresh, now)?;
    let mut tx = app.services.db.begin().await?;
    sessions::revoke(&mut tx, claims.sid, "signed out", now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
