//! `POST /auth/mfa/backup-codes`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::store::account_events::{self, EventKind};
use utoipa::ToSchema;

use super::{PasswordRequest, renew_backup_codes};
use crate::App;
use crate::auth::confirm_password;
use crate::error::ApiResult;
use crate::extract::{Body, Client, CurrentUser};

/// New backup codes.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupCodes {
    /// Each signs in once without the app. They are never shown again.
    #[schema(example = json!(["abcd-efgh-jkmn-2345"]))]
    backup_codes: Vec<String>,
}

/// Makes new backup codes; the old ones, used or not, are void.
#[utoipa::path(post, path = "/auth/mfa/backup-codes", tag = "Accounts", security(("bearer" = [])),
    request_body = PasswordRequest, responses(
    (status = 200, description = "The new codes", body = BackupCodes),
    (status = 409, description = "The second factor is not on"),
))]
pub async fn backup_codes(
    State(app): State<App>,
    current: CurrentUser,
    client: Client,
    Body { value: request, .. }: Body<PasswordRequest>,
) -> ApiResult<Json<BackupCodes>> {
    confirm_password(&app, &current, request.password).await?;
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    let backup_codes = renew_backup_codes(&mut tx, current.user.id).await?;
    account_events::record(&mut tx, &current.event(EventKind::BackupCodesReplaced, &client, now)).await?;
    tx.commit().await?;
    Ok(Json(BackupCodes { backup_codes }))
}
