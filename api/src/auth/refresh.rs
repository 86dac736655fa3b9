//! `POST /auth/refresh`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shared::email::{Mail, SessionEnded};
use shared::ids::SessionId;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::users::{self, User};
use shared::store::{StoreResult, Tx, mails, sessions};
use shared::tokens::Kind;
use utoipa::ToSchema;

use super::{TokenPair, grant};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client, claims};

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
    (status = 401, description = "The token is not a refresh token, has ended, or was used before"),
))]
pub async fn refresh(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<RefreshRequest>,
) -> ApiResult<Json<Refreshed>> {
    let services = &app.services;
    let now = services.clock.now();
    let claims = claims(services, &request.refresh_token, Kind::Refresh, now).await?;
    let mut tx = services.db.begin().await?;
    users::hold(&mut tx, [claims.sub].into_iter()).await?;
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
        end(&mut tx, (&user, session.id), &client, now).await?;
        tx.commit().await?;
        services.queue.wake().await;
        tracing::warn!(session.id = %session.id, "a refresh token was used twice; the session is ended");
        return Err(ApiError::new(Code::TokenReused, "This refresh token was used before; sign in again."));
    }
    tx.commit().await?;
    Ok(Json(Refreshed { tokens: services.tokens.pair(&grant(&session, &user.role))?.into() }))
}

/// Ends a session whose token somebody else has, and tells its user.
async fn end(tx: &mut Tx, (user, session): (&User, SessionId), client: &Client, now: DateTime<Utc>) -> StoreResult<()> {
    sessions::revoke(tx, session, "refresh token reused", now).await?;
    let event = Event::new(EventKind::TokenReused, "anonymous".to_owned(), user.id, now);
    let event = Event { session: Some(session), origin: client.origin(), ..event };
    account_events::record(tx, &event).await?;
    let mail = Mail::SessionEnded(SessionEnded {
        name: user.full_name.clone(),
        at: now,
        address: event.origin.shown_address(),
        device: event.origin.shown_device(),
    });
    mails::put(tx, (user.id, &user.email), &mail, &session.to_string(), now).await?;
    Ok(())
}
