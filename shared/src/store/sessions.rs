//! Signed-in devices. A session's refresh tokens are numbered by a counter; only the newest is good.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};
use crate::ids::{SessionId, UserId};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The number of its newest refresh token.
    pub counter: i64,
    /// When that one was made.
    pub rotated_at: DateTime<Utc>,
    /// When the session ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it was ended, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Stores a new session.
pub async fn insert(tx: &mut Tx, session: &Session, address: Option<&str>, agent: Option<&str>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into sessions (id, user_id, counter, rotated_at, created_at, expires_at, address, user_agent)
             values ($1, $2, $3, $4, $4, $5, $6, $7)",
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.counter)
        .bind(session.rotated_at)
        .bind(session.expires_at)
        .bind(address)
        .bind(agent)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// Reads a session.
pub async fn get(tx: &mut Tx, id: SessionId) -> StoreResult<Option<Session>> {
    Ok(on!(tx, |c| {
        sqlx::query_as("select id, user_id, counter, rotated_at, expires_at, revoked_at from sessions where id = $1")
            .bind(id)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// Spends refresh token number `counter`; false if it is not the newest of a session that still runs.
pub async fn rotate(tx: &mut Tx, id: SessionId, counter: i64, now: DateTime<Utc>) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update sessions set counter = counter + 1, rotated_at = $3 where id = $1 and counter = $2
             and revoked_at is null and expires_at > $3",
        )
        .bind(id)
        .bind(counter)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// Ends a session; one that has ended stays as it is.
pub async fn revoke(tx: &mut Tx, id: SessionId, why: &str, now: DateTime<Utc>) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query("update sessions set revoked_at = $3, revoke_reason = $2 where id = $1 and revoked_at is null")
            .bind(id)
            .bind(why)
            .bind(now)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// Deletes sessions that were over before `before`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from sessions where expires_at < $1").bind(before).execute(&mut *c).await?.rows_affected()
    }))
}
