//! `POST /auth/mfa/verify`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::store::account_events::{self, EventKind};
use shared::store::mfa;
use shared::totp;
use utoipa::ToSchema;

use super::{on_already, purpose, renew_backup_codes};
use crate::App;
use crate::auth::throttle;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client, CurrentUser};

/// A code that shows that the app has the secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    /// The six digits that the app shows.
    #[schema(example = "287082")]
    code: String,
}

/// The second factor is on.
#[derive(Debug, Serialize, ToSchema)]
pub struct MfaOn {
    /// Always true.
    mfa_enabled: bool,
    /// Each signs in once without the app. They are never shown again.
    #[schema(example = json!(["abcd-efgh-jkmn-2345"]))]
    backup_codes: Vec<String>,
}

/// Turns the second factor on, if the code is one of the secret from `/auth/mfa/setup`; from now on signing in asks for
/// a code.
#[utoipa::path(post, path = "/auth/mfa/verify", tag = "Accounts", security(("bearer" = [])),
    request_body = CodeRequest, responses(
    (status = 200, description = "The second factor is on", body = MfaOn),
    (status = 400, description = "The code is wrong or too old, or the body is not JSON"),
    (status = 409, description = "The second factor is on already, or not set up"),
))]
pub async fn verify(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<CodeRequest>,
) -> ApiResult<Json<MfaOn>> {
    let (services, user) = (&app.services, current.user.id);
    if current.user.mfa_enabled {
        return Err(on_already());
    }
    let now = services.clock.now();
    let tries = throttle::second_factor(services, (user, &client.network, true), now).await?;
    let mut tx = services.db.begin().await?;
    let sealed = mfa::secret(&mut tx, user).await?.ok_or_else(not_set_up)?;
    let secret = services.seal.open(&purpose(user), &sealed)?;
    let step = totp::matching_step(&secret, &request.code, now).ok_or_else(wrong_code)?;
    if !mfa::enable(&mut tx, user, (&sealed, step)).await? {
        return Err(on_already());
    }
    let backup_codes = renew_backup_codes(&mut tx, user).await?;
    account_events::record(&mut tx, &current.event(EventKind::MfaEnabled, &client, now)).await?;
    tx.commit().await?;
    tries.forgive().await;
    Ok(Json(MfaOn { mfa_enabled: true, backup_codes }))
}

fn not_set_up() -> ApiError {
    ApiError::new(Code::WrongState, "There is no secret yet; set the second factor up first.")
}

/// Not 401, which would tell clients that the access token is bad.
fn wrong_code() -> ApiError {
    let detail = "The code is wrong or too old; enter the one that the app shows now.";
    ApiError::new(Code::InvalidMfaCode, detail).with_status(StatusCode::BAD_REQUEST)
}
