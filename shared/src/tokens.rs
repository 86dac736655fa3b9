//! Tokens: signed ones for access and refresh (JWT, RFC 7519, HS256 or EdDSA), random ones for mails.
//!
//! A token is good only with the algorithm of the keyring at hand and a key of that keyring, which its `kid` names;
//! what else its header says about keys is not looked at. So no token can choose how it is checked.

mod ed25519;
pub mod keyring;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::keyring::{Keyring, KeyringError, PublicKey};
use crate::ids::{SessionId, UserId};
use crate::seal::Seal;
use crate::store::Db;

/// How long an access token lives, in seconds.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// How long a session lives, in days.
pub const SESSION_DAYS: i64 = 30;
/// Strangers can name keys as they like: so long after a search for one there is no other.
const SEARCH_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// Who the tokens are for.
const AUDIENCE: &str = "autoos";

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Calling the API.
    Access,
    /// Getting the next pair.
    Refresh,
}

/// The claims of our tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The account.
    pub sub: UserId,
    /// What the token is good for.
    pub typ: Kind,
    /// The account's role when the token was made; the database decides, this is for readers.
    pub role: String,
    /// The session.
    pub sid: SessionId,
    /// The number of the pair within the session.
    pub ctr: i64,
    /// Made at, in seconds since 1970.
    pub iat: i64,
    /// Good until, in seconds since 1970.
    pub exp: i64,
    /// Unique for session, number and kind.
    pub jti: String,
    /// Who made it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not ours, changed, over, or for somebody else.
    #[error("the token is not valid")]
    Invalid,
    /// Good for something else.
    #[error("the token is of the wrong type")]
    WrongType,
}

/// Signs tokens with one of its keys, and accepts those of all of them.
pub struct Tokens {
    issuer: String,
    trusted: RwLock<Arc<Trusted>>,
    /// When a key that was not known was last searched for.
    searched: Mutex<Option<DateTime<Utc>>>,
}

/// What tokens are checked with.
struct Trusted {
    keyring: Keyring,
    rules: Validation,
}

impl Trusted {
    fn new(issuer: &str, keyring: Keyring) -> Self {
        let mut rules = Validation::new(keyring.algorithm);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[issuer]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // The library reads the machine's clock; ours is compared afterwards.
        rules.validate_exp = false;
        Self { keyring, rules }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// An access token and the refresh token that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// For calling the API.
    pub access: String,
    /// For getting the next pair.
    pub refresh: String,
}

/// What a pair is made for. The same grant gives the same bytes.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The account.
    pub user: UserId,
    /// Its role.
    pub role: String,
    /// The session.
    pub session: SessionId,
    /// The number of the pair.
    pub counter: i64,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// When the session ends.
    pub session_ends: DateTime<Utc>,
}

impl Tokens {
    /// Signs with `secret`, by HS256; accepts `previous` as well.
    pub fn new(issuer: &str, secret: &SecretString, previous: Option<&SecretString>) -> Self {
        Self::with(issuer, Keyring::hs256(secret, previous))
    }

    /// Signs with the keys of a keyring.
    pub fn with(issuer: &str, keyring: Keyring) -> Self {
        let trusted = RwLock::new(Arc::new(Trusted::new(issuer, keyring)));
        Self { issuer: issuer.to_owned(), trusted, searched: Mutex::new(None) }
    }

    /// Goes on with other keys.
    pub fn replace(&self, keyring: Keyring) {
        let trusted = Arc::new(Trusted::new(&self.issuer, keyring));
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
    }

    fn trusted(&self) -> Arc<Trusted> {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys that others can check tokens with: none if tokens are signed with a secret.
    pub fn published(&self) -> Vec<PublicKey> {
        self.trusted().keyring.published()
    }

    /// Reads the keys anew if a token names one that is not known, since another process may have made it. This happens
    /// at most once a second; who comes while it happens waits for it.
    pub async fn find_key(&self, token: &str, db: &Db, seal: &Seal, now: DateTime<Utc>) -> Result<(), KeyringError> {
        if !self.names_unknown_key(token) {
            return Ok(());
        }
        let mut searched = self.searched.lock().await;
        if searched.is_none_or(|at| (now - at).abs() >= SEARCH_PAUSE) {
            *searched = Some(now);
            self.replace(keyring::load(db, seal, now).await?);
        }
        Ok(())
    }

    fn names_unknown_key(&self, token: &str) -> bool {
        let keyring = &self.trusted().keyring;
        // Secrets are not kept in the database, so there would be none to find.
        keyring.algorithm == Algorithm::EdDSA
            && decode_header(token).is_ok_and(|header| {
                header.alg == keyring.algorithm && header.kid.is_some_and(|id| keyring.get(&id).is_none())
            })
    }

    /// Makes a pair.
    pub fn pair(&self, grant: &Grant) -> Result<Pair, TokenError> {
        let access_ends = grant.at + TimeDelta::seconds(ACCESS_SECONDS);
        Ok(Pair {
            access: self.sign(grant, Kind::Access, access_ends.min(grant.session_ends))?,
            refresh: self.sign(grant, Kind::Refresh, grant.session_ends)?,
        })
    }

    fn sign(&self, grant: &Grant, typ: Kind, ends: DateTime<Utc>) -> Result<String, TokenError> {
        let name = if typ == Kind::Access { "a" } else { "r" };
        let claims = Claims {
            sub: grant.user,
            typ,
            role: grant.role.clone(),
            sid: grant.session,
            ctr: grant.counter,
            iat: grant.at.timestamp(),
            exp: ends.timestamp(),
            jti: format!("{}.{}.{name}", grant.session, grant.counter),
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
        };
        let keyring = &self.trusted().keyring;
        let key = keyring.signer(grant.at).ok_or(TokenError::Invalid)?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(keyring.algorithm) };
        encode(&header, &claims, &key.signing).map_err(|_| TokenError::Invalid)
    }

    /// The claims of a token of the wanted kind that is ours and not over at `now`.
    pub fn read(&self, token: &str, kind: Kind, now: DateTime<Utc>) -> Result<Claims, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        let trusted = self.trusted();
        let key = header.kid.and_then(|id| trusted.keyring.get(&id)).ok_or(TokenError::Invalid)?;
        let claims = decode::<Claims>(token, &key.decoding, &trusted.rules).map_err(|_| TokenError::Invalid)?.claims;
        if claims.exp <= now.timestamp() {
            return Err(TokenError::Invalid);
        }
        if claims.typ == kind { Ok(claims) } else { Err(TokenError::WrongType) }
    }
}

/// A random token for a mail, and the hash under which it is stored.
pub fn random() -> Result<(String, String), getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = stored_hash(&token);
    Ok((token, hash))
}

/// SHA-256 of a random token, hexadecimal; enough for 256 random bits.
pub fn stored_hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// SHA-256, hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A random factor from 0.5 to 1.0, which spreads retries.
pub fn jitter() -> f64 {
    let mut bytes = [0_u8; 2];
    // Without randomness retries are merely not spread.
    if getrandom::fill(&mut bytes).is_err() {
        return 1.0;
    }
    0.5 + f64::from(u16::from_le_bytes(bytes)) / 131_070.0
}
