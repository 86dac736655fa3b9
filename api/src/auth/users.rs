//! `GET /auth/users`, `GET /auth/users/{user_id}`, `PATCH /auth/users/{user_id}`, `DELETE /auth/users/{user_id}`: for
//! admins.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use shared::domain::plan::FieldError;
use shared::ids::UserId;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::accounts::{self, Filter, STATES};
use shared::store::users::{self, Account, ProfileChange};
use shared::store::{Tx, sessions};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::close::close;
use super::{UserBody, is_line};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client, Page, PageQuery, Paged, PathId};

/// The roles that there are.
const ROLES: [&str; 4] = ["student", "employee", "professional", "admin"];

/// Which accounts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Only those whose address, user name or full name contains this, in any case.
    q: Option<String>,
    /// Only those of this role: student, employee, professional or admin.
    #[param(pattern = "^(student|employee|professional|admin)$")]
    role: Option<String>,
    /// Only those in this state: active, unverified, disabled or deleted.
    #[param(pattern = "^(active|unverified|disabled|deleted)$")]
    status: Option<String>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// `student`, `employee`, `professional` or `admin`.
    #[schema(pattern = "^(student|employee|professional|admin)$")]
    role: Option<String>,
    /// The person's name.
    #[schema(min_length = 1, max_length = 200)]
    full_name: Option<String>,
    /// Whether the account is shut.
    disabled: Option<bool>,
}

/// Accounts, the newest first.
#[utoipa::path(get, path = "/auth/users", tag = "Admin", security(("bearer" = [])), params(UsersQuery, PageQuery),
    responses(
    (status = 200, description = "A page of accounts", body = Paged<UserBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    page: Page,
    query: Result<Query<UsersQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<UserBody>>> {
    let bad = |text: String| ApiError::new(Code::BadRequest, text);
    let Query(query) = query.map_err(|_| bad("The query string cannot be read.".to_owned()))?;
    for (name, value, known) in [("role", &query.role, &ROLES), ("status", &query.status, &STATES)] {
        if value.as_ref().is_some_and(|value| !known.contains(&value.as_str())) {
            return Err(bad(format!("{name} must be one of {}.", known.join(", "))));
        }
    }
    let before = page.after_id()?.map(UserId);
    let text = query.q.filter(|text| !text.contains('\0'));
    let filter = Filter { text, role: query.role, status: query.status, before };
    let now = app.services.clock.now();
    let mut reader = app.services.db.read().await?;
    let accounts = accounts::list(&mut reader, &filter, page.rows()).await?;
    let page = page.of(accounts, |account| account.user.id.to_string());
    let items = page.items.into_iter().map(|account| body(account, now)).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

/// One account.
#[utoipa::path(get, path = "/auth/users/{user_id}", tag = "Admin", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), responses(
    (status = 200, description = "The account", body = UserBody),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn get(State(app): State<App>, _: Admin, PathId(id): PathId) -> ApiResult<Json<UserBody>> {
    let mut reader = app.services.db.read().await?;
    let account = read(&mut reader, id).await?;
    Ok(Json(body(account, app.services.clock.now())))
}

/// Changes an account. The last admin stays one.
#[utoipa::path(patch, path = "/auth/users/{user_id}", tag = "Admin", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), request_body = UserChange, responses(
    (status = 200, description = "The account as it is now", body = UserBody),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "It is the last admin's, or deleted"),
))]
pub async fn change(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
    Body { value: change, .. }: Body<UserChange>,
) -> ApiResult<Json<UserBody>> {
    let change = change.checked()?;
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    accounts::lock_admins(&mut tx).await?;
    let before = read(&mut tx, id).await?.user;
    if before.deleted_at.is_some() {
        return Err(ApiError::new(Code::WrongState, "This account is deleted."));
    }
    let event = |kind| Event { user: Some(before.id), ..admin.event(kind, &client, now) };
    if let Some(full_name) = change.full_name.filter(|name| *name != before.full_name) {
        let profile = ProfileChange { full_name: Some(full_name), ..ProfileChange::default() };
        users::update_profile(&mut tx, before.id, &profile).await?;
        let detail = json!({"changed": ["full_name"]});
        account_events::record(&mut tx, &Event { detail, ..event(EventKind::ChangedByAdmin) }).await?;
    }
    if let Some(role) = change.role.filter(|role| *role != before.role) {
        if !accounts::set_role(&mut tx, before.id, &role).await? {
            return Err(last_admin());
        }
        let detail = json!({"from": before.role, "to": role});
        account_events::record(&mut tx, &Event { detail, ..event(EventKind::RoleChanged) }).await?;
    }
    if let Some(disabled) = change.disabled.filter(|disabled| *disabled != before.disabled) {
        if !accounts::set_disabled(&mut tx, before.id, disabled).await? {
            return Err(last_admin());
        }
        if disabled {
            sessions::revoke_all(&mut tx, before.id, None, "account disabled", now).await?;
        }
        let kind = if disabled { EventKind::Disabled } else { EventKind::Enabled };
        account_events::record(&mut tx, &event(kind)).await?;
    }
    let account = read(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Json(body(account, now)))
}

/// Closes an account: what tells whose it was is erased, its workflows are cancelled. The last admin stays one.
#[utoipa::path(delete, path = "/auth/users/{user_id}", tag = "Admin", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), responses(
    (status = 204, description = "The account is closed"),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "It is the last admin's, or deleted"),
))]
pub async fn delete(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
) -> ApiResult<StatusCode> {
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    let user = read(&mut tx, id).await?.user;
    if user.deleted_at.is_some() {
        return Err(ApiError::new(Code::WrongState, "This account is deleted."));
    }
    let event = Event { user: Some(user.id), ..admin.event(EventKind::Deleted, &client, now) };
    if !close(&mut tx, &user, &event).await? {
        return Err(last_admin());
    }
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(tx: &mut Tx, id: Uuid) -> ApiResult<Account> {
    accounts::get(tx, UserId(id)).await?.ok_or_else(ApiError::not_found)
}

fn body(account: Account, now: chrono::DateTime<chrono::Utc>) -> UserBody {
    let tier = account.entitled(now);
    UserBody::new(account.user, tier)
}

/// What the last admin is told.
pub fn last_admin() -> ApiError {
    ApiError::new(Code::LastAdmin, "This is the last admin; make somebody else one first.")
}

impl UserChange {
    fn checked(self) -> ApiResult<Self> {
        let full_name = self.full_name.map(|name| name.trim().to_owned());
        let mut faults = Vec::new();
        if full_name.as_ref().is_some_and(|name| name.is_empty() || !is_line(name, 200)) {
            faults.push(FieldError::new("full_name", "must be one line of 1 to 200 characters"));
        }
        if self.role.as_ref().is_some_and(|role| !ROLES.contains(&role.as_str())) {
            faults.push(FieldError::new("role", "must be student, employee, professional or admin"));
        }
        if faults.is_empty() { Ok(Self { full_name, ..self }) } else { Err(ApiError::invalid(faults)) }
    }
}
