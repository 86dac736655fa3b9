//! The keys of tokens: which one signs, which are accepted, and how one follows the other.
//!
//! With HS256 they are the configured secrets, and stay as they are. With EdDSA they are rows of `signing_keys` that
//! all processes share: [`load`] reads them, and makes the first one; [`rotate`] is the scheduler's. A key goes through
//! three ages: published, signing, retired but accepted.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{SESSION_DAYS, ed25519};
use crate::seal::{Seal, SealError};
use crate::store::signing_keys::{self, SigningKey};
use crate::store::{Db, StoreError};

/// How old the newest key gets before the next one is made.
pub const NEXT_AFTER: TimeDelta = TimeDelta::days(30);
/// How long a key is published before it signs; by then every process and every other verifier has read it.
pub const NOTICE: TimeDelta = TimeDelta::hours(24);
/// How long a key is accepted after it was retired: as long as the refresh tokens that it signed may live, and a day
/// more for clocks that differ.
pub const ACCEPTED_FOR: TimeDelta = TimeDelta::days(SESSION_DAYS + 1);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A private key could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The system gave no key.
    #[error("an Ed25519 key could not be made")]
    NotMade,
    /// A row is not as the program wrote it.
    #[error("the private key does not belong to the public key and the id of its row")]
    Mismatch,
}

/// The keys of one algorithm.
pub struct Keyring {
    pub(super) algorithm: Algorithm,
    /// In the order in which they begin to sign.
    keys: Vec<Key>,
}

/// One key.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) signing: EncodingKey,
    pub(super) decoding: DecodingKey,
    active_from: DateTime<Utc>,
    /// The public part, base64url; a secret has none.
    public: Option<String>,
}

/// What others need to know of a key to check its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// What the header of tokens calls it (`kid`).
    pub id: String,
    /// The 32 bytes of an Ed25519 public key, base64url.
    pub x: String,
}

/// What a rotation did, in numbers of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Made, to sign at once or later.
    pub made: u64,
    /// Seen to have a successor.
    pub retired: u64,
    /// Deleted, since all that they signed is over.
    pub deleted: u64,
}

impl Keyring {
    /// Signs with `secret`; accepts `previous` as well.
    pub fn hs256(secret: &SecretString, previous: Option<&SecretString>) -> Self {
        let key = |secret: &SecretString| {
            let bytes = secret.expose_secret().as_bytes();
            Key {
                // The id says which secret signed, without telling anything about it.
                id: hex::encode(&Sha256::digest([b"kid:", bytes].concat())[..8]),
                signing: EncodingKey::from_secret(bytes),
                decoding: DecodingKey::from_secret(bytes),
                active_from: DateTime::<Utc>::MIN_UTC,
                public: None,
            }
        };
        // The last one signs.
        Self { algorithm: Algorithm::HS256, keys: previous.into_iter().chain([secret]).map(key).collect() }
    }

    /// The keys of these rows; those that cannot be opened are left out.
    pub(super) fn ed25519(rows: &[SigningKey], seal: &Seal) -> Self {
        let mut keys: Vec<Key> = rows.iter().filter_map(|row| opened(row, seal)).collect();
        keys.sort_by(|a, b| (a.active_from, &a.id).cmp(&(b.active_from, &b.id)));
        Self { algorithm: Algorithm::EdDSA, keys }
    }

    /// The key of an id.
    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key that signs what is made at `at`, which may have been a while ago: the same grant gives the same bytes,
    /// also across a change of keys.
    pub(super) fn signer(&self, at: DateTime<Utc>) -> Option<&Key> {
        self.keys.iter().rev().find(|key| key.active_from <= at).or(self.keys.first())
    }

    /// All public keys.
    pub(super) fn published(&self) -> Vec<PublicKey> {
        let public = |key: &Key| Some(PublicKey { id: key.id.clone(), x: key.public.clone()? });
        self.keys.iter().filter_map(public).collect()
    }
}

/// A key that was sealed under a secret that has been changed since is like a token signed with such a secret: not good
/// any more. So a changed secret ends all sessions with either algorithm, and never keeps a process from starting.
fn opened(row: &SigningKey, seal: &Seal) -> Option<Key> {
    match ed25519::open(row, seal) {
        Ok((signing, decoding)) => {
            let (id, public) = (row.id.clone(), Some(row.public_key.clone()));
            Some(Key { id, signing, decoding, active_from: row.active_from, public })
        }
        Err(error) => {
            // Of a retired key this has been told before.
            if row.retired_at.is_none() {
                tracing::warn!(key.id = %row.id, %error, "a signing key cannot be opened and is not used; was the \
                    secret that seals it changed?");
            }
            None
        }
    }
}

/// Reads the keys; makes one that signs at once if there is none.
pub async fn load(db: &Db, seal: &Seal, now: DateTime<Utc>) -> Result<Keyring, KeyringError> {
    let mut reader = db.read().await?;
    let rows = signing_keys::usable(&mut reader, now - ACCEPTED_FOR).await?;
    drop(reader);
    let keyring = Keyring::ed25519(&rows, seal);
    if may_sign(&keyring, &rows, now) { Ok(keyring) } else { with_first(db, seal, now).await }
}

/// Of several processes that start together, one makes the key and the others read it.
async fn with_first(db: &Db, seal: &Seal, now: DateTime<Utc>) -> Result<Keyring, KeyringError> {
    let mut tx = db.begin().await?;
    signing_keys::lock(&mut tx).await?;
    let mut rows = signing_keys::usable(&mut tx, now - ACCEPTED_FOR).await?;
    if !may_sign(&Keyring::ed25519(&rows, seal), &rows, now) {
        let first = ed25519::make(seal, now, now)?;
        signing_keys::insert(&mut tx, &first).await?;
        rows.push(first);
    }
    tx.commit().await?;
    Ok(Keyring::ed25519(&rows, seal))
}

fn may_sign(keyring: &Keyring, rows: &[SigningKey], now: DateTime<Utc>) -> bool {
    rows.iter().any(|row| row.may_sign(now) && keyring.get(&row.id).is_some())
}

/// Makes the next key when it is time, retires those that have been replaced, deletes those whose tokens are all over.
/// Doing it again changes nothing.
pub async fn rotate(db: &Db, seal: &Seal, now: DateTime<Utc>) -> Result<Rotation, KeyringError> {
    let mut tx = db.begin().await?;
    signing_keys::lock(&mut tx).await?;
    let deleted = signing_keys::prune(&mut tx, now - ACCEPTED_FOR).await?;
    let rows = signing_keys::usable(&mut tx, now - ACCEPTED_FOR).await?;
    let signing = rows.iter().filter(|row| row.may_sign(now)).map(|row| row.active_from).max();
    let retired = match signing {
        Some(since) => signing_keys::retire(&mut tx, since, now).await?,
        None => 0,
    };
    let next = next_begins(&rows, now);
    if let Some(active_from) = next {
        signing_keys::insert(&mut tx, &ed25519::make(seal, now, active_from)?).await?;
    }
    tx.commit().await?;
    Ok(Rotation { made: u64::from(next.is_some()), retired, deleted })
}

/// When the next key begins to sign, if it is time to make one.
pub(super) fn next_begins(rows: &[SigningKey], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !rows.iter().any(|row| row.may_sign(now)) {
        return Some(now);
    }
    let newest = rows.iter().map(|row| row.created_at).max()?;
    (now - newest >= NEXT_AFTER).then_some(now + NOTICE)
}
