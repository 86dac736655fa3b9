//! `GET /auth/me` and `PATCH /auth/me`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::domain::plan::FieldError;
use shared::store::users::{self, ProfileChange};
use shared::store::{Tx, credits};
use utoipa::ToSchema;

use super::{UserBody, is_line, is_username};
use crate::App;
use crate::error::{ApiError, ApiResult, Code, Problem};
use crate::extract::{Body, CurrentUser};
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
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    /// 3 to 32 letters, digits, dots, hyphens and underscores.
    username: Option<String>,
    /// The person's name.
    full_name: Option<String>,
    /// The person's organisation.
    organization: Option<String>,
    /// Whether a mail tells when a workflow completes.
    mail_on_finish: Option<bool>,
    /// Whether a mail tells when a workflow fails.
    mail_on_failure: Option<bool>,
}

/// The signed-in user's profile.
#[utoipa::path(get, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), responses(
    (status = 200, description = "The profile", body = Profile),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn me(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<Profile>> {
    let mut reader = app.services.db.read().await?;
    Ok(Json(profile(&mut reader, &app, current).await?))
}

/// Changes the signed-in user's profile.
#[utoipa::path(patch, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), request_body = ProfileRequest,
    responses(
    (status = 200, description = "The profile as it is now", body = Profile),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(app): State<App>,
    mut current: CurrentUser,
    Body { value: request, .. }: Body<ProfileRequest>,
) -> ApiResult<Json<Profile>> {
    let change = request.checked()?;
    let mut tx = app.services.db.begin().await?;
    if !users::update_profile(&mut tx, current.user.id, &change).await? {
        return Err(ApiError::new(Code::AlreadyExists, "This user name is already in use."));
    }
    current.user = users::by_id(&mut tx, current.user.id).await?.ok_or_else(ApiError::unauthorized)?;
    let profile = profile(&mut tx, &app, current).await?;
    tx.commit().await?;
    Ok(Json(profile))
}

async fn profile(tx: &mut Tx, app: &App, current: CurrentUser) -> ApiResult<Profile> {
    let trial = credits::trial(tx, current.user.id).await?;
    let now = app.services.clock.now();
    let (mail_on_finish, mail_on_failure) = (current.user.mail_on_finish, current.user.mail_on_failure);
    Ok(Profile {
        credits: trial.as_ref().map_or(0, |trial| trial.credits),
        trial: trial.map(|trial| TrialBody::new(&trial, now)),
        user: UserBody::new(current.user, current.tier),
        mail_on_finish,
        mail_on_failure,
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
