//! The second factor: codes of an authenticator app, each good once, and backup codes for the day the app is lost.
//!
//! Guessing is throttled. Codes are only asked for after the right password or with an access token. To let one more
//! route ask for a code: [`check`].

pub mod backup_codes;
pub mod disable;
pub mod setup;
pub mod verify;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use shared::ids::UserId;
use shared::services::Services;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::users::User;
use shared::store::{Tx, mfa};
use shared::{backup_codes as codes, totp};
use utoipa::ToSchema;

use super::throttle;
use crate::error::{ApiError, ApiResult, Code};

/// Confirms that it is the account's owner who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The account's password.
    #[schema(example = "Correct-Horse7-Battery")]
    pub password: String,
}

/// Whether `code` is good for `user` now, as a code of the app or as a backup code; if so it is spent, whatever becomes
/// of the request. 429 after too many wrong ones.
pub async fn check(
    services: &Services,
    (user, code): (&User, &str),
    (network, known): (&str, bool),
    now: DateTime<Utc>,
) -> ApiResult<bool> {
    let tries = throttle::second_factor(services, (user.id, network, known), now).await?;
    let mut tx = services.db.begin().await?;
    let right = match codes::stored_hash(code) {
        Some(hash) => spend_backup_code(&mut tx, user, &hash, now).await?,
        None => spend_totp(&mut tx, services, user.id, code, now).await?,
    };
    tx.commit().await?;
    if right {
        tries.forgive().await;
    }
    Ok(right)
}

async fn spend_totp(tx: &mut Tx, services: &Services, user: UserId, code: &str, now: DateTime<Utc>) -> ApiResult<bool> {
    let Some(sealed) = mfa::secret(tx, user).await? else { return Ok(false) };
    let secret = services.seal.open(&purpose(user), &sealed)?;
    match totp::matching_step(&secret, code, now) {
        Some(step) => Ok(mfa::spend_step(tx, user, step).await?),
        None => Ok(false),
    }
}

async fn spend_backup_code(tx: &mut Tx, user: &User, hash: &str, now: DateTime<Utc>) -> ApiResult<bool> {
    if !mfa::spend_backup_code(tx, user.id, hash, now).await? {
        return Ok(false);
    }
    let left = mfa::unused_backup_codes(tx, user.id).await?;
    // Where from is told by the event of signing in.
    let event = Event::new(EventKind::BackupCodeUsed, user.actor(), user.id, now);
    account_events::record(tx, &Event { detail: json!({ "left": left }), ..event }).await?;
    Ok(true)
}

/// What a secret is sealed for.
fn purpose(user: UserId) -> String {
    format!("totp:{user}")
}

/// New backup codes in place of the old ones, as they are shown once.
async fn renew_backup_codes(tx: &mut Tx, user: UserId) -> ApiResult<Vec<String>> {
    let fresh = codes::fresh()?;
    let hashes: Vec<String> = fresh.iter().filter_map(|code| codes::stored_hash(code)).collect();
    if mfa::replace_backup_codes(tx, user, &hashes).await? { Ok(fresh) } else { Err(off()) }
}

fn off() -> ApiError {
    ApiError::new(Code::WrongState, "The second factor is not on.")
}

fn on_already() -> ApiError {
    ApiError::new(Code::WrongState, "The second factor is on already; turn it off first.")
}
