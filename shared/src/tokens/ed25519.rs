//! Ed25519 keys (RFC 8032) as rows: made here, their private part sealed, named by their thumbprint.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

use super::keyring::KeyringError;
use crate::seal::Seal;
use crate::store::signing_keys::SigningKey;

/// Makes a key that signs from `active_from` on.
pub(super) fn make(seal: &Seal, now: DateTime<Utc>, active_from: DateTime<Utc>) -> Result<SigningKey, KeyringError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyringError::NotMade)?;
    let private = pair.to_pkcs8v1().map_err(|_| KeyringError::NotMade)?;
    let public_key = URL_SAFE_NO_PAD.encode(pair.public_key());
    let id = thumbprint(&public_key);
    let private_key = seal.seal(&purpose(&id), private.as_ref())?;
    Ok(SigningKey { id, public_key, private_key, created_at: now, active_from, retired_at: None })
}

/// Opens a key. Only one that this deployment has sealed itself, under its own name, is ever used: whoever could merely
/// write into the table could not put a key of their own there.
pub(super) fn open(key: &SigningKey, seal: &Seal) -> Result<(EncodingKey, DecodingKey), KeyringError> {
    let private = seal.open(&purpose(&key.id), &key.private_key)?;
    let pair = Ed25519KeyPair::from_pkcs8(&private).map_err(|_| KeyringError::Mismatch)?;
    let public: &[u8] = pair.public_key().as_ref();
    if URL_SAFE_NO_PAD.encode(public) != key.public_key || thumbprint(&key.public_key) != key.id {
        return Err(KeyringError::Mismatch);
    }
    Ok((EncodingKey::from_ed_der(&private), DecodingKey::from_ed_der(public)))
}

/// The thumbprint of a public key (RFC 7638, RFC 8037 appendix A.3).
pub(super) fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

fn purpose(id: &str) -> String {
    format!("signing_key:{id}")
}
