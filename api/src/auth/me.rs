//! `GET /auth/me`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::store::credits;
use utoipa::ToSchema;

use super::UserBody;
use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::CurrentUser;
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
}

/// The signed-in user's profile.
#[utoipa::path(get, path = "/auth/me", tag = "Accounts", security(("bearer" = [])), responses(
    (status = 200, description = "The profile", body = Profile),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn me(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<Profile>> {
    let mut reader = app.services.db.read().await?;
    let trial = credits::trial(&mut reader, current.user.id).await?;
    let now = app.services.clock.now();
    let credits = trial.as_ref().map_or(0, |trial| trial.credits);
    let trial = trial.map(|trial| TrialBody::new(&trial, now));
    Ok(Json(Profile { user: UserBody::new(current.user, current.tier), trial, credits }))
}
