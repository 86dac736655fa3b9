//! Accounts, and the single-use tokens that they get by mail.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, QueryBuilder};

use super::{StoreResult, Tx, batch, pieces};
use crate::domain::tier::Tier;
use crate::domain::workflow::InUse;
use crate::ids::{SessionId, UserId};

/// An account.
#[derive(Debug, Clone, FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table, not a state machine")]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its address, as typed.
    pub email: String,
    /// Its user name, as typed.
    pub username: String,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// The person's name.
    pub full_name: String,
    /// `student`, `employee`, `professional` or `admin`.
    pub role: String,
    /// The person's organisation.
    pub organization: Option<String>,
    /// A student's number.
    pub student_id: Option<String>,
    /// An employee's number.
    pub employee_id: Option<String>,
    /// Whether the address has been shown to be theirs.
    pub email_verified: bool,
    /// Whether a second factor is asked for.
    pub mfa_enabled: bool,
    /// Whether an admin has shut the account.
    pub disabled: bool,
    /// Whether to mail when a workflow completes.
    pub mail_on_finish: bool,
    /// Whether to mail when a workflow fails.
    pub mail_on_failure: bool,
    /// Whether to mail when somebody signs in from an unknown device.
    pub mail_on_signin: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was closed, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl User {
    /// What the person is known by, which no password may be made of.
    pub fn about(&self) -> [&str; 3] {
        [&self.email, &self.username, &self.full_name]
    }

    /// Whether this is an admin.
    pub fn is_admin(&self) -> bool {
        self.role == "admin"
    }

    /// What audits call this user.
    pub fn actor(&self) -> String {
        let kind = if self.is_admin() { "admin" } else { "user" };
        format!("{kind}:{}", self.id)
    }
}

/// The columns of [`User`], of the table `u`.
macro_rules! columns {
    () => {
        "u.id, u.email, u.username, u.password_hash, u.full_name, u.role, u.organization, u.student_id, u.employee_id,
         u.email_verified, u.mfa_enabled, u.disabled, u.mail_on_finish, u.mail_on_failure, u.mail_on_signin,
         u.created_at, u.deleted_at"
    };
}
pub(super) use columns;

/// The form of an address or user name that is compared: two that differ only in case are the same.
pub fn key(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Stores a new account, which uses nothing yet; false if the address or the user name is taken.
pub async fn insert(tx: &mut Tx, user: &User) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into users (id, email, email_key, username, username_key, password_hash, full_name, role,
             organization, student_id, employee_id, email_verified, mfa_enabled, disabled, mail_on_finish,
             mail_on_failure, mail_on_signin, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             on conflict do nothing",
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(key(&user.email))
        .bind(&user.username)
        .bind(key(&user.username))
        .bind(&user.password_hash)
        .bind(&user.full_name)
        .bind(&user.role)
        .bind(&user.organization)
        .bind(&user.student_id)
        .bind(&user.employee_id)
        .bind(user.email_verified)
        .bind(user.mfa_enabled)
        .bind(user.disabled)
        .bind(user.mail_on_finish)
        .bind(user.mail_on_failure)
        .bind(user.mail_on_signin)
        .bind(user.created_at)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    if done == 1 {
        super::agents::count(tx, &[(user.id, InUse::default())]).await?;
    }
    Ok(done == 1)
}

/// Reads an account.
pub async fn by_id(tx: &mut Tx, id: UserId) -> StoreResult<Option<User>> {
    let sql = concat!("select ", columns!(), " from users u where u.id = $1");
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// Reads accounts, each once, in any order.
pub async fn by_ids(tx: &mut Tx, ids: impl Iterator<Item = UserId>) -> StoreResult<Vec<User>> {
    let ids: Vec<_> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = Vec::with_capacity(ids.len());
    for piece in pieces(&ids) {
        found.extend(on!(tx, |c| {
            let mut q = QueryBuilder::new(concat!("select ", columns!(), " from users u where u.id in ("));
            piece.push_list(&mut q);
            q.push(")");
            q.build_query_as::<User>().fetch_all(&mut *c).await?
        }));
    }
    Ok(found)
}

/// Reads the account of an address.
pub async fn by_email(tx: &mut Tx, email: &str) -> StoreResult<Option<User>> {
    let sql = concat!("select ", columns!(), " from users u where u.email_key = $1");
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(key(email)).fetch_optional(&mut *c).await?))
}

/// Reads an account and keeps it from being changed until the transaction ends. What only refers to it can still be
/// stored.
pub async fn lock(tx: &mut Tx, id: UserId) -> StoreResult<Option<User>> {
    let sql = tx.either(
        concat!("select ", columns!(), " from users u where u.id = $1"),
        concat!("select ", columns!(), " from users u where u.id = $1 for no key update"),
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// Keeps accounts from being closed until the transaction ends, in the order of their ids so that no two wait for each
/// other. Closing locks the account before what belongs to it, so whoever changes that and refers to the account does
/// this first.
pub async fn hold(tx: &mut Tx, users: impl Iterator<Item = UserId>) -> StoreResult<()> {
    if tx.has_one_writer() {
        return Ok(());
    }
    let users: Vec<_> = users.collect::<BTreeSet<_>>().into_iter().collect();
    for piece in pieces(&users) {
        batch!(tx, |q| {
            q.push("select 1 from users where id in (");
            piece.push_list(&mut q);
            q.push(") order by id for key share");
        });
    }
    Ok(())
}

/// An account with its subscription.
#[derive(Debug, Clone, FromRow)]
pub struct Account {
    /// The account.
    #[sqlx(flatten)]
    pub user: User,
    /// What its subscription entitles it to, whether it runs or not.
    pub tier: Option<Tier>,
    /// The subscription's status.
    pub subscription_status: Option<String>,
    /// The end of the subscription's period.
    pub current_period_end: Option<DateTime<Utc>>,
    /// Until when the subscription entitles, where status and period alone do not say it.
    pub entitles_until: Option<DateTime<Utc>>,
}

impl Account {
    /// What the account is entitled to at `now`.
    pub fn entitled(&self, now: DateTime<Utc>) -> Tier {
        let subscription = self.subscription_status.as_ref().zip(self.current_period_end);
        let until = subscription.and_then(|(status, end)| super::credits::until(status, end, self.entitles_until));
        self.tier.filter(|_| until.is_some_and(|until| until > now)).unwrap_or(Tier::FreeTrial)
    }
}

/// An account with what every request asks about it.
#[derive(Debug, Clone, FromRow)]
pub struct SignedIn {
    /// The session.
    pub session_id: SessionId,
    /// The account.
    #[sqlx(flatten)]
    pub account: Account,
}

/// The accounts of those of the sessions that still run, in any order.
pub async fn signed_in(tx: &mut Tx, sessions: &[SessionId], now: DateTime<Utc>) -> StoreResult<Vec<SignedIn>> {
    let mut found = Vec::with_capacity(sessions.len());
    for piece in pieces(sessions) {
        found.extend(on!(tx, |c| {
            let mut q = QueryBuilder::new(concat!(
                "select s.id as session_id, ",
                columns!(),
                ", p.tier, p.status as subscription_status, p.current_period_end, p.entitles_until
                 from sessions s join users u on u.id = s.user_id left join subscriptions p on p.user_id = u.id
                 where s.revoked_at is null and not u.disabled and s.expires_at > ",
            ));
            q.push_bind(now).push(" and s.id in (");
            piece.push_list(&mut q);
            q.push(")");
            q.build_query_as::<SignedIn>().fetch_all(&mut *c).await?
        }));
    }
    Ok(found)
}

/// Notes that the account's address is theirs.
pub async fn set_verified(tx: &mut Tx, id: UserId) -> StoreResult<()> {
    on!(tx, |c| sqlx::query("update users set email_verified = true where id = $1")
        .bind(id)
        .execute(&mut *c)
        .await?
        .rows_affected());
    Ok(())
}

/// What an owner changes about an account; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// Another user name.
    pub username: Option<String>,
    /// Another name of the person.
    pub full_name: Option<String>,
    /// Another organisation.
    pub organization: Option<String>,
    /// Whether to mail when a workflow completes.
    pub mail_on_finish: Option<bool>,
    /// Whether to mail when a workflow fails.
    pub mail_on_failure: Option<bool>,
    /// Whether to mail when somebody signs in from an unknown device.
    pub mail_on_signin: Option<bool>,
}

/// Changes an account's profile; false if the user name is somebody else's.
pub async fn update_profile(tx: &mut Tx, id: UserId, change: &ProfileChange) -> StoreResult<bool> {
    let result = on!(tx, |c| {
        sqlx::query(
            "update users set username = coalesce($2, username), username_key = coalesce($3, username_key),
             full_name = coalesce($4, full_name), organization = coalesce($5, organization),
             mail_on_finish = coalesce($6, mail_on_finish), mail_on_failure = coalesce($7, mail_on_failure),
             mail_on_signin = coalesce($8, mail_on_signin) where id = $1 and deleted_at is null",
        )
        .bind(id)
        .bind(&change.username)
        .bind(change.username.as_deref().map(key))
        .bind(&change.full_name)
        .bind(&change.organization)
        .bind(change.mail_on_finish)
        .bind(change.mail_on_failure)
        .bind(change.mail_on_signin)
        .execute(&mut *c)
        .await
        .map(|done| done.rows_affected())
    });
    match result {
        Ok(done) => Ok(done == 1),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Stores the hash of a token that is sent by mail.
pub async fn insert_token(
    tx: &mut Tx,
    user: UserId,
    (purpose, hash): (&str, &str),
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into mail_tokens (hash, user_id, purpose, created_at, expires_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(hash)
        .bind(user)
        .bind(purpose)
        .bind(now)
        .bind(expires_at)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// Whose token this is, without spending it; `None` if it is unknown, spent or over.
pub async fn token_owner(tx: &mut Tx, (purpose, hash): (&str, &str), now: DateTime<Utc>) -> StoreResult<Option<User>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from mail_tokens t join users u on u.id = t.user_id where t.hash = $1 and t.purpose = $2
         and t.used_at is null and t.expires_at > $3 and not u.disabled"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(hash).bind(purpose).bind(now).fetch_optional(&mut *c).await?))
}

/// Spends a token; `None` if it is unknown, spent or over.
pub async fn spend_token(
    tx: &mut Tx,
    (purpose, hash): (&str, &str),
    now: DateTime<Utc>,
) -> StoreResult<Option<UserId>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "update mail_tokens set used_at = $3 where hash = $1 and purpose = $2 and used_at is null
             and expires_at > $3 returning user_id",
        )
        .bind(hash)
        .bind(purpose)
        .bind(now)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// Spends every token of a user for one purpose.
pub async fn spend_tokens(tx: &mut Tx, user: UserId, purpose: &str, now: DateTime<Utc>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update mail_tokens set used_at = $3 where user_id = $1 and purpose = $2 and used_at is null")
            .bind(user)
            .bind(purpose)
            .bind(now)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// Gives an account another password hash.
pub async fn set_password(tx: &mut Tx, id: UserId, hash: &str) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update users set password_hash = $2 where id = $1")
            .bind(id)
            .bind(hash)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// Deletes tokens that were over before `before`.
pub async fn prune_tokens(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from mail_tokens where expires_at < $1")
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}
