//! `GET /auth/me` and `PATCH /auth/me`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::domain::plan::FieldError;
use shared::store::account_events::{self, EventKind};
use shared::store::users::{self, ProfileChange};
use shared::store::{Tx, credits};
use utoipa::ToSchema;

use super::close::close;
use super::mfa::PasswordRequest;
use super::{UserBody, confirm_password, is_line, is_username};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client, CurrentUser};
use crate::payments::trial::TrialBody;

/// The account with its trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct Profile {
    #[serde(flatten)]
    user: UserBody,
    /// The trial; null before the address is verified.
    trial: Option<TrialBody>,
    /// Trial credits left.
    credits: i64,
    /// Whether a mail tells when a workflow completes.
    mail_on_finish: bool,
    /// Whether a mail tells when a workflow fails.
    mail_on_failure: bool,
    /// Whether a mail tells when somebody signs in from an unknown device.
    mail_on_signin: bool,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    /// 3 to 32 letters, digits, dots, hyphens and underscores.
    #[schema(pattern = "^[A-Za-z0-9._-]{3,32}$")]
    username: Option<String>,
    /// The person's name.
    #[schema(min_length = 1, max_length = 200)]
    full_name: Option<String>,
    /// The person's organisation.
    #[schema(max_length = 200)]
    organization: Option<String>,
    /// Whether a mail tells when a workflow completes.
    mail_on_finish: Option<bool>,
    /// Whether a mail tells when a workflow fails.
    mail_on_failure: Option<bool>,
    /// Whether a mail tells when somebody signs in from an unknown device.
    mail_on_signin: Option<bool>,
}

/// The signed-in user's profile.
#[utoipa::path(get, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), responses(
    (status = 200, description = "The profile", body = Profile),
))]
pub async fn me(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<Profile>> {
    let mut reader = app.services.db.read().await?;
    Ok(Json(profile(&mut reader, &app, current).await?))
}

/// Changes the signed-in user's profile.
#[utoipa::path(patch, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), request_body = ProfileRequest,
    responses(
    (status = 200, description = "The profile as it is now", body = Profile),
    (status = 409, description = "The user name is in use"),
))]
pub async fn change(
    State(app): State<App>,
    mut current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<ProfileRequest>,
) -> ApiResult<Json<Profile>> {
    let change = request.checked()?;
    let mut tx = app.services.db.begin().await?;
    if !users::update_profile(&mut tx, current.user.id, &change).await? {
        return Err(ApiError::new(Code::AlreadyExists, "This user name is already in use."));
    }
    current.user = users::by_id(&mut tx, current.user.id).await?.ok_or_else(ApiError::unauthorized)?;
    let now = app.services.clock.now();
    account_events::record(&mut tx, &current.event(EventKind::ProfileChanged, &client, now)).await?;
    let profile = profile(&mut tx, &app, current).await?;
    tx.commit().await?;
    Ok(Json(profile))
}

/// Closes the signed-in user's account: sessions end, the subscription and running workflows are cancelled, and
/// everything that tells whose it was is erased.
#[utoipa::path(delete, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), request_body = PasswordRequest,
    responses(
    (status = 204, description = "The account is closed"),
    (status = 409, description = "It is the last admin's"),
))]
pub async fn delete(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<PasswordRequest>,
) -> ApiResult<StatusCode> {
    confirm_password(&app, &current, request.password).await?;
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    if !close(&mut tx, &current.user, &current.event(EventKind::Deleted, &client, now)).await? {
        // Everybody else is refused only if the account was closed a moment ago.
        return Err(if current.user.is_admin() { super::users::last_admin() } else { ApiError::unauthorized() });
    }
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(StatusCode::NO_CONTENT)
}

async fn profile(tx: &mut Tx, app: &App, current: CurrentUser) -> ApiResult<Profile> {
    let trial = credits::trial(tx, current.user.id).await?;
    let now = app.services.clock.now();
    let user = &current.user;
    let (mail_on_finish, mail_on_failure, mail_on_signin) =
        (user.mail_on_finish, user.mail_on_failure, user.mail_on_signin);
    Ok(Profile {
        credits: trial.as_ref().map_or(0, |trial| trial.credits),
        trial: trial.map(|trial| TrialBody::new(&trial, now)),
        user: UserBody::new(current.user, current.tier),
        mail_on_finish,
        mail_on_failure,
        mail_on_signin,
    })
}

impl ProfileRequest {
    fn checked(self) -> ApiResult<ProfileChange> {
        let trimmed = |text: Option<String>| text.map(|text| text.trim().to_owned());
        let change = ProfileChange {
            username: trimmed(self.username),
            full_name: trimmed(self.full_name),
            organization: trimmed(self.organization),
            mail_on_finish: self.mail_on_finish,
            mail_on_failure: self.mail_on_failure,
            mail_on_signin: self.mail_on_signin,
        };
        let mut faults = Vec::new();
        if change.username.as_ref().is_some_and(|name| !is_username(name)) {
            faults.push(FieldError::new("username", super::USERNAME_RULE));
        }
        if change.full_name.as_ref().is_some_and(|name| name.is_empty() || !is_line(name, 200)) {
            faults.push(FieldError::new("full_name", "must be one line of 1 to 200 characters"));
        }
        if change.organization.as_ref().is_some_and(|name| !is_line(name, 200)) {
            faults.push(FieldError::new("organization", "must be one line of at most 200 characters"));
        }
        if faults.is_empty() { Ok(change) } else { Err(ApiError::invalid(faults)) }
    }
}
