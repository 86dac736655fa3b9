//! Accounts: signing up and in, refreshing, verifying, the profile.

pub mod me;
pub mod password_rules;
pub mod refresh;
pub mod signin;
pub mod signout;
pub mod signup;
pub mod verify_email;

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::domain::tier::Tier;
use shared::ids::{SessionId, UserId};
use shared::store::sessions::{self, Session};
use shared::store::users::User;
use shared::store::{StoreResult, Tx};
use shared::tokens::{ACCESS_SECONDS, Grant, Pair, SESSION_DAYS};
use utoipa::ToSchema;

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

/// Starts a session for a user.
async fn open_session(tx: &mut Tx, user: &User, headers: &HeaderMap, now: DateTime<Utc>) -> StoreResult<Grant> {
    let session = Session {
        id: SessionId::new(now),
        user_id: user.id,
        counter: 1,
        rotated_at: now,
        expires_at: now + TimeDelta::days(SESSION_DAYS),
        revoked_at: None,
    };
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.map(|agent| agent.chars().take(200).collect::<String>());
    sessions::insert(tx, &session, None, agent.as_deref()).await?;
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
fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}
