//! The accounts that submit and sign in. They are put into the database, all with the hash of one password, so that only
//! one has to be made.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use shared::domain::tier::Tier;
use shared::ids::{SessionId, UserId};
use shared::store::account_events::Origin;
use shared::store::credits::{self, Subscription};
use shared::store::sessions::{self, Session};
use shared::store::users::{self, User};
use shared::store::{Db, StoreResult, Tx};
use shared::tokens::{Grant, TokenError, Tokens};

/// How many there are: one for each connection, so that no two wait for the same row.
pub const USERS: usize = 64;
/// The issuer that roles expect by default.
const ISSUER: &str = "autoos";
const ROLE: &str = "professional";
/// How long subscriptions and sessions run.
const FAR: TimeDelta = TimeDelta::days(30);

/// Accounts with a session each.
pub struct Users {
    tokens: Tokens,
    all: Vec<(UserId, SessionId)>,
    sessions_end: DateTime<Utc>,
}

impl Users {
    /// Stores the accounts. Their tokens are signed with `secret`, which the roles must have too.
    pub async fn create(db: &Db, secret: &str, password_hash: &str, now: DateTime<Utc>) -> StoreResult<Self> {
        let mut all = Vec::with_capacity(USERS);
        let mut tx = db.begin().await?;
        for number in 0..USERS {
            all.push(create(&mut tx, account(number, password_hash, now)).await?);
        }
        tx.commit().await?;
        let tokens = Tokens::new(ISSUER, &SecretString::from(secret), None);
        Ok(Self { tokens, all, sessions_end: now + FAR })
    }

    /// A fresh access token of each account; they are good for some minutes.
    pub fn access(&self, now: DateTime<Utc>) -> Result<Vec<String>, TokenError> {
        let one = |(user, session): &(UserId, SessionId)| {
            let role = ROLE.to_owned();
            let session_ends = self.sessions_end;
            let grant = Grant { user: *user, role, session: *session, counter: 0, at: now, session_ends };
            self.tokens.pair(&grant).map(|pair| pair.access)
        };
        self.all.iter().map(one).collect()
    }
}

/// The address of an account.
pub fn email(number: usize) -> String {
    format!("bench-{number}@bench.invalid")
}

async fn create(tx: &mut Tx, user: User) -> StoreResult<(UserId, SessionId)> {
    let now = user.created_at;
    users::insert(tx, &user).await?;
    let current_period_end = now + FAR;
    let subscription = Subscription::new(Tier::Enterprise, "active", current_period_end);
    credits::put_subscription(tx, user.id, &subscription, now).await?;
    let session = Session {
        id: SessionId::new(now),
        user_id: user.id,
        counter: 0,
        rotated_at: now,
        expires_at: now + FAR,
        revoked_at: None,
    };
    sessions::insert(tx, &session, &Origin::default(), None).await?;
    Ok((user.id, session.id))
}

fn account(number: usize, password_hash: &str, now: DateTime<Utc>) -> User {
    User {
        id: UserId::new(now),
        email: email(number),
        username: format!("bench-{number}"),
        password_hash: password_hash.to_owned(),
        full_name: "Benchmark".to_owned(),
        role: ROLE.to_owned(),
        organization: None,
        student_id: None,
        employee_id: None,
        email_verified: true,
        mfa_enabled: false,
        disabled: false,
        mail_on_finish: false,
        mail_on_failure: false,
        mail_on_signin: true,
        created_at: now,
        deleted_at: None,
    }
}
