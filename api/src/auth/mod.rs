//! Accounts: signing up and in, refreshing, verifying, the profile, the second factor.

pub mod ask_for_link;
pub mod audit;
pub mod change_password;
mod close;
pub mod me;
pub mod mfa;
pub mod refresh;
pub mod reset_password;
pub mod sessions;
pub mod signin;
pub mod signout;
pub mod signout_all;
pub mod signup;
pub mod throttle;
pub mod users;
pub mod verify_email;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::domain::tier::Tier;
use shared::ids::{SessionId, UserId};
use shared::password_rules;
use shared::store::sessions::Session;
use shared::store::users::User;
use shared::store::{StoreResult, Tx};
use shared::tokens::{ACCESS_SECONDS, Grant, Pair, SESSION_DAYS};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Client, CurrentUser};

/// A pair of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenPair {
    /// For calling the API.
    access_token: String,
    /// For getting the next pair.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds that the access token lives.
    expires_in: i64,
}

/// An account, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserBody {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    user_id: UserId,
    /// Its address.
    email: String,
    /// Its user name.
    username: String,
    /// The person's name.
    full_name: String,
    /// `student`, `employee`, `professional` or `admin`.
    role: String,
    /// What it is entitled to.
    tier: Tier,
    /// Whether the address is verified.
    email_verified: bool,
    /// Whether a second factor is asked for.
    mfa_enabled: bool,
    /// Whether an admin has shut it.
    disabled: bool,
    /// The person's organisation.
    organization: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// Tokens and the account that they are for.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedIn {
    tokens: TokenPair,
    user: UserBody,
}

impl From<Pair> for TokenPair {
    fn from(pair: Pair) -> Self {
        Self {
            access_token: pair.access,
            refresh_token: pair.refresh,
            token_type: "Bearer",
            expires_in: ACCESS_SECONDS,
        }
    }
}

impl UserBody {
    /// The account with what it is entitled to.
    pub fn new(user: User, tier: Tier) -> Self {
        Self {
            user_id: user.id,
            email: user.email,
            username: user.username,
            full_name: user.full_name,
            role: user.role,
            tier,
            email_verified: user.email_verified,
            mfa_enabled: user.mfa_enabled,
            disabled: user.disabled,
            organization: user.organization,
            created_at: user.created_at,
        }
    }
}

/// Refuses unless `password` is that of the user: for what a stolen access token alone must not do.
async fn confirm_password(app: &App, current: &CurrentUser, password: String) -> ApiResult<()> {
    let services = &app.services;
    let tries = throttle::confirmation(services, current.user.id, services.clock.now()).await?;
    let password = password_rules::claimed(password);
    let checked = services.passwords.verify(password, Some(current.user.password_hash.clone())).await;
    let (tries, right) = tries.unless_failed(checked).await?;
    if right {
        tries.forgive().await;
        return Ok(());
    }
    Err(ApiError::new(Code::InvalidCredentials, "The password is wrong."))
}

/// Starts a session for a user.
async fn open_session(tx: &mut Tx, user: &User, client: &Client, now: DateTime<Utc>) -> StoreResult<Grant> {
    let session = Session {
        id: SessionId::new(now),
        user_id: user.id,
        counter: 1,
        rotated_at: now,
        expires_at: now + TimeDelta::days(SESSION_DAYS),
        revoked_at: None,
    };
    shared::store::sessions::insert(tx, &session, &client.origin(), Some(&client.network)).await?;
    Ok(grant(&session, &user.role))
}

/// What a session's newest pair is made from.
fn grant(session: &Session, role: &str) -> Grant {
    Grant {
        user: session.user_id,
        role: role.to_owned(),
        session: session.id,
        counter: session.counter,
        at: session.rotated_at,
        session_ends: session.expires_at,
    }
}

/// What is said of a user name that is none.
const USERNAME_RULE: &str = "must be 3 to 32 letters, digits, dots, hyphens or underscores";

fn is_username(text: &str) -> bool {
    (3..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// One line of text of at most so many characters.
pub fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}
