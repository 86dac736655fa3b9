//! `GET /auth/sessions` and `DELETE /auth/sessions/{id}`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use shared::ids::SessionId;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::sessions::{self, Listed};
use shared::store::users;
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Client, CurrentUser, Page, PageQuery, Paged, PathId};

/// A signed-in device.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBody {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// What the client says it is.
    device: Option<String>,
    /// The address that it signed in from.
    address: Option<String>,
    /// When it signed in.
    created_at: DateTime<Utc>,
    /// When it last got a pair of tokens.
    last_used_at: DateTime<Utc>,
    /// When it is signed out at the latest.
    expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionBody {
    fn new(listed: Listed, current: SessionId) -> Self {
        Self {
            session_id: listed.id,
            device: listed.user_agent,
            address: listed.address,
            created_at: listed.created_at,
            last_used_at: listed.rotated_at,
            expires_at: listed.expires_at,
            current: listed.id == current,
        }
    }
}

/// The signed-in user's sessions, the newest first.
#[utoipa::path(get, path = "/auth/sessions", tag = "Accounts", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, description = "A page of sessions", body = Paged<SessionBody>),
))]
pub async fn sessions(State(app): State<App>, current: CurrentUser, page: Page) -> ApiResult<Json<Paged<SessionBody>>> {
    let before = page.after_id()?.map(SessionId);
    let now = app.services.clock.now();
    let mut reader = app.services.db.read().await?;
    let listed = sessions::list(&mut reader, (current.user.id, before), now, page.rows()).await?;
    let page = page.of(listed, |session| session.id.to_string());
    let items = page.items.into_iter().map(|session| SessionBody::new(session, current.session)).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

/// Ends one of the signed-in user's sessions.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "Accounts", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session")), responses(
    (status = 204, description = "The session is over"),
))]
pub async fn revoke(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    PathId(id): PathId,
) -> ApiResult<StatusCode> {
    let id = SessionId(id);
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    users::hold(&mut tx, [current.user.id].into_iter()).await?;
    if !sessions::revoke_own(&mut tx, (current.user.id, id), "revoked", now).await? {
        return Err(ApiError::not_found());
    }
    let event = current.event(EventKind::SessionRevoked, &client, now);
    account_events::record(&mut tx, &Event { detail: json!({ "revoked": id }), ..event }).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
