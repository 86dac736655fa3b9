//! `POST /auth/change-password`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use shared::job::LinkPurpose;
use shared::store::account_events::{self, EventKind};
use shared::store::{sessions, users};
use utoipa::ToSchema;

use super::confirm_password;
use super::reset_password::{Done, tell};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Body, Client, CurrentUser};

/// The password that is and the one that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The password until now.
    #[schema(example = "Correct-Horse7-Battery")]
    old_password: String,
    /// 12 to 256 characters with upper and lower case, a digit and a symbol, not guessable.
    #[schema(example = "Another-Horse8-Battery", min_length = 12, max_length = 256)]
    new_password: String,
}

/// Changes the password, and ends every other session.
#[utoipa::path(post, path = "/auth/change-password", tag = "Accounts", security(("bearer" = [])),
    request_body = ChangeRequest, responses(
    (status = 200, description = "The password is changed", body = Done),
))]
pub async fn change_password(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<ChangeRequest>,
) -> ApiResult<Json<Done>> {
    let services = &app.services;
    let about = current.user.about().map(str::to_owned);
    let faults = services.passwords.faults("new_password", request.new_password.clone(), about).await?;
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    confirm_password(&app, &current, request.old_password).await?;
    let password_hash = services.passwords.hash(request.new_password).await?;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    // Whoever has reset the password or shut the account meanwhile has ended this session.
    users::lock(&mut tx, current.user.id).await?;
    let session = sessions::get(&mut tx, current.session).await?;
    if session.is_none_or(|session| session.revoked_at.is_some()) {
        return Err(ApiError::unauthorized());
    }
    users::set_password(&mut tx, current.user.id, &password_hash).await?;
    users::spend_tokens(&mut tx, current.user.id, LinkPurpose::ResetPassword.name(), now).await?;
    sessions::revoke_all(&mut tx, current.user.id, Some(current.session), "password changed", now).await?;
    let event = current.event(EventKind::PasswordChanged, &client, now);
    account_events::record(&mut tx, &event).await?;
    tell(&mut tx, &app, &current.user, &event).await?;
    tx.commit().await?;
    services.queue.wake().await;
    Ok(Json(Done { message: "The password is changed. Every other session is signed out." }))
}
