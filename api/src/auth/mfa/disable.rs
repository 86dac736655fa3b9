//! `POST /auth/mfa/disable`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::store::account_events::{self, EventKind};
use shared::store::mfa;
use utoipa::ToSchema;

use super::PasswordRequest;
use crate::App;
use crate::auth::confirm_password;
use crate::error::ApiResult;
use crate::extract::{Body, Client, CurrentUser};

/// The second factor is off.
#[derive(Debug, Serialize, ToSchema)]
pub struct MfaOff {
    /// Always false.
    mfa_enabled: bool,
}

/// Turns the second factor off and forgets its secret and backup codes; one that is off is no error.
#[utoipa::path(post, path = "/auth/mfa/disable", tag = "Accounts", security(("bearer" = [])),
    request_body = PasswordRequest, responses(
    (status = 200, description = "The second factor is off", body = MfaOff),
))]
pub async fn disable(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<PasswordRequest>,
) -> ApiResult<Json<MfaOff>> {
    confirm_password(&app, &current, request.password).await?;
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    if mfa::disable(&mut tx, current.user.id).await? {
        account_events::record(&mut tx, &current.event(EventKind::MfaDisabled, &client, now)).await?;
    }
    tx.commit().await?;
    Ok(Json(MfaOff { mfa_enabled: false }))
}
