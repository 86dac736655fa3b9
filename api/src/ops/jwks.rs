//! `GET /.well-known/jwks.json`

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use shared::tokens::keyring::PublicKey;
use utoipa::ToSchema;

use crate::App;

/// Keys change rarely and are published a day before they sign, so five minutes are no delay.
const CACHING: &str = "public, max-age=300";

/// A public key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
pub struct Jwk {
    /// Always `OKP`.
    kty: &'static str,
    /// Always `Ed25519`.
    crv: &'static str,
    /// The key, base64url.
    x: String,
    /// What the header of tokens calls it.
    kid: String,
    /// Always `EdDSA`.
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    purpose: &'static str,
}

/// Public keys (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl From<PublicKey> for Jwk {
    fn from(key: PublicKey) -> Self {
        Self { kty: "OKP", crv: "Ed25519", x: key.x, kid: key.id, alg: "EdDSA", purpose: "sig" }
    }
}

/// The keys that anybody can check access tokens with; none if tokens are signed with a secret (HS256).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Operations", responses(
    (status = 200, description = "The keys that sign now, soon, or did until lately", body = JwkSet),
))]
pub async fn jwks(State(app): State<App>) -> impl IntoResponse {
    let keys = app.services.tokens.published().into_iter().map(Jwk::from).collect();
    ([(header::CACHE_CONTROL, CACHING)], Json(JwkSet { keys }))
}
