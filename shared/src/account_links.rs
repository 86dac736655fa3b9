//! Links that an account gets by mail: to verify its address, and to choose another password.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::email::{Mail, ResetPassword, VerifyEmail};
use crate::job::LinkPurpose;
use crate::store::users::{self, User};
use crate::store::{StoreError, Tx, mails};
use crate::tokens;

/// How long a link that verifies an address is good.
const VERIFY_FOR: TimeDelta = TimeDelta::hours(24);
/// How long a link that resets a password is good.
const RESET_FOR: TimeDelta = TimeDelta::hours(1);

/// Why a link was not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers.
    #[error("random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl LinkPurpose {
    /// What tokens of this purpose are stored under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }

    /// Whether `user` has a use for such a link.
    pub const fn suits(self, user: &User) -> bool {
        match self {
            Self::VerifyEmail => !user.disabled && !user.email_verified,
            Self::ResetPassword => !user.disabled,
        }
    }
}

/// Makes a single-use token and decides on the mail that carries it, in the caller's transaction.
pub async fn send(
    tx: &mut Tx,
    config: &Config,
    (user, purpose): (&User, LinkPurpose),
    now: DateTime<Utc>,
) -> Result<(), LinkError> {
    let (token, hash) = tokens::random()?;
    let name = user.full_name.clone();
    let (expires_at, mail) = match purpose {
        LinkPurpose::VerifyEmail => {
            let (expires_at, link) = (now + VERIFY_FOR, config.link(&format!("/auth/verify-email?token={token}")));
            (expires_at, Mail::VerifyEmail(VerifyEmail { name, link, expires_at }))
        }
        LinkPurpose::ResetPassword => {
            let (expires_at, link) = (now + RESET_FOR, config.link(&format!("/auth/reset-password?token={token}")));
            (expires_at, Mail::ResetPassword(ResetPassword { name, link, expires_at }))
        }
    };
    users::insert_token(tx, user.id, (purpose.name(), &hash), now, expires_at).await?;
    mails::put(tx, (user.id, &user.email), &mail, &hash, now).await?;
    Ok(())
}
