//! `POST /auth/signout`

use axum::extract::State;
use axum::http::StatusCode;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::{sessions, users};
use shared::tokens::Kind;

use super::refresh::RefreshRequest;
use crate::App;
use crate::error::ApiResult;
use crate::extract::{Body, Client, claims};

/// Ends the session of a refresh token; one that has ended is no error.
#[utoipa::path(post, path = "/auth/signout", tag = "Accounts", request_body = RefreshRequest, responses(
    (status = 204, description = "The session is over"),
    (status = 401, description = "The token is not a refresh token, or has ended"),
))]
pub async fn signout(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<RefreshRequest>,
) -> ApiResult<StatusCode> {
    let now = app.services.clock.now();
    let claims = claims(&app.services, &request.refresh_token, Kind::Refresh, now).await?;
    let mut tx = app.services.db.begin().await?;
    users::hold(&mut tx, [claims.sub].into_iter()).await?;
    if sessions::revoke(&mut tx, claims.sid, "signed out", now).await? {
        let event = Event::new(EventKind::SignedOut, format!("user:{}", claims.sub), claims.sub, now);
        let event = Event { session: Some(claims.sid), origin: client.origin(), ..event };
        account_events::record(&mut tx, &event).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
