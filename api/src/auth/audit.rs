//! `GET /auth/audit`: what was done to accounts, for admins.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::{SessionId, UserId};
use shared::store::account_events::{self, Filter, Stored};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Page, PageQuery, Paged};

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only those of this account.
    user_id: Option<Uuid>,
    /// Only those of this kind, such as `signed_in`.
    kind: Option<String>,
    /// Only those by this actor, such as `admin:ID`.
    actor: Option<String>,
}

/// Something that was done to an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBody {
    /// Its id.
    event_id: Uuid,
    /// When.
    at: DateTime<Utc>,
    /// What.
    kind: String,
    /// By whom: `user:ID`, `admin:ID`, `operator`, or `anonymous`.
    actor: String,
    /// To which account, if it is known.
    #[schema(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// In which session.
    #[schema(value_type = Option<Uuid>)]
    session_id: Option<SessionId>,
    /// From which address.
    address: Option<String>,
    /// With what.
    device: Option<String>,
    /// What else there is to say.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<Stored> for EventBody {
    fn from(stored: Stored) -> Self {
        Self {
            event_id: stored.id,
            at: stored.at,
            kind: stored.kind,
            actor: stored.actor,
            user_id: stored.user_id,
            session_id: stored.session_id,
            address: stored.address,
            device: stored.user_agent,
            detail: stored.detail,
        }
    }
}

/// Account events, the newest first.
#[utoipa::path(get, path = "/auth/audit", tag = "Admin", security(("bearer" = [])), params(AuditQuery, PageQuery),
    responses(
    (status = 200, description = "A page of events", body = Paged<EventBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn audit(
    State(app): State<App>,
    _: Admin,
    page: Page,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<EventBody>>> {
    let bad = |_| ApiError::new(Code::BadRequest, "user_id must be an id.");
    let Query(query) = query.map_err(bad)?;
    let plain = |text: Option<String>| text.filter(|text| !text.contains('\0'));
    let (kind, actor) = (plain(query.kind), plain(query.actor));
    let filter = Filter { user: query.user_id.map(UserId), kind, actor, before: page.after_id()? };
    let mut reader = app.services.db.read().await?;
    let events = account_events::list(&mut reader, &filter, page.rows()).await?;
    let page = page.of(events, |event| event.id.to_string());
    let items = page.items.into_iter().map(EventBody::from).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}
