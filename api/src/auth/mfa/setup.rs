//! `POST /auth/mfa/setup`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::store::mfa;
use shared::{qr, totp};
use utoipa::ToSchema;

use super::{on_already, purpose};
use crate::App;
use crate::error::ApiResult;
use crate::extract::CurrentUser;

/// A secret for an authenticator app, three times: to scan, to open, to type.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setup {
    /// The secret, base32, for apps that cannot scan.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// The secret with all that the app needs to know.
    otpauth_uri: String,
    /// The same as a QR code, SVG.
    qr_svg: String,
}

/// Makes a secret for the user's authenticator app. Nothing is asked for until `/auth/mfa/verify` was given a code;
/// until then, each call makes a new secret in place of the one before.
#[utoipa::path(post, path = "/auth/mfa/setup", tag = "Accounts", security(("bearer" = [])), responses(
    (status = 200, description = "The secret", body = Setup),
    (status = 409, description = "The second factor is on already"),
))]
pub async fn setup(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<Setup>> {
    let (services, user) = (&app.services, current.user);
    let secret = totp::secret()?;
    let sealed = services.seal.seal(&purpose(user.id), &secret)?;
    let mut tx = services.db.begin().await?;
    if !mfa::set_secret(&mut tx, user.id, &sealed).await? {
        return Err(on_already());
    }
    tx.commit().await?;
    let otpauth_uri = totp::uri(&secret, &user.email);
    Ok(Json(Setup { secret: totp::shown(&secret), qr_svg: qr::svg(&otpauth_uri)?, otpauth_uri }))
}
