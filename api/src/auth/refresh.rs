//! `POST /auth/refresh`

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::store::{sessions, users};
use shared::tokens::Kind;
use utoipa::ToSchema;

use super::{TokenPair, grant};
use crate::App;
use crate::error::{ApiError, ApiResult, Code, Problem};
use crate::extract::Body;

/// For how long a spent token still gives the current pair, so that a lost answer is no lost session.
const LOST_ANSWER: TimeDelta = TimeDelta::seconds(60);

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The newest refresh token of the session.
    pub refresh_token: String,
}

/// A new pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refreshed {
    tokens: TokenPair,
}

/// Gives a new pair of tokens and spends the old one. A token that was spent long ago ends its session: somebody else
/// has it.
#[utoipa::path(post, path = "/auth/refresh", tag = "Accounts", request_body = RefreshRequest, responses(
    (status = 200, description = "A new pair", body = Refreshed),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn refresh(
    State(app): State<App>,
    Body { value: request, .. }: Body<RefreshRequest>,
) -> ApiResult<Json<Refreshed>> {
    let services = &app.services;
    let now = services.clock.now();
    let claims = services.tokens.read(&request.refresh_token, Kind::Refresh, now)?;
    let mut tx = services.db.begin().await?;
    let rotated = sessions::rotate(&mut tx, claims.sid, claims.ctr, now).await?;
    let session = sessions::get(&mut tx, claims.sid).await?.ok_or_else(ApiError::unauthorized)?;
    let user = users::by_id(&mut tx, session.user_id).await?.filter(|user| !user.disabled);
    let user = user.ok_or_else(ApiError::unauthorized)?;
    if session.revoked_at.is_some() || session.expires_at <= now {
        return Err(ApiError::unauthorized());
    }
    // Once the successor is used the counter has moved on by two, and this is no lost answer any more.
    let lost = claims.ctr + 1 == session.counter && now - session.rotated_at < LOST_ANSWER;
    if !rotated && !lost {
        sessions::revoke(&mut tx, session.id, "refresh token reused", now).await?;
        tx.commit().await?;
        tracing::warn!(session.id = %session.id, "a refresh token was used twice; the session is ended");
        return Err(ApiError::new(Code::TokenReused, "This refresh token was used before; sign in again."));
    }
    tx.commit().await?;
    Ok(Json(Refreshed { tokens: services.tokens.pair(&grant(&session, &user.role))?.into() }))
}
