//! Signed-in devices. A session's refresh tokens are numbered by a counter; only the newest is good.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::account_events::Origin;
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

/// Stores a new session, with where it was begun; `network` is what is throttled together with the address.
pub async fn insert(tx: &mut Tx, session: &Session, origin: &Origin, network: Option<&str>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into sessions (id, user_id, counter, rotated_at, created_at, expires_at, address, user_agent, network)
             values ($1, $2, $3, $4, $4, $5, $6, $7, $8)",
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(session.counter)
        .bind(session.rotated_at)
        .bind(session.expires_at)
        .bind(&origin.address)
        .bind(&origin.agent)
        .bind(network)
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

/// Ends a session of this user; false if it is not theirs or has ended.
pub async fn revoke_own(
    tx: &mut Tx,
    (user, id): (UserId, SessionId),
    why: &str,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update sessions set revoked_at = $4, revoke_reason = $3
             where id = $1 and user_id = $2 and revoked_at is null and expires_at > $4",
        )
        .bind(id)
        .bind(user)
        .bind(why)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// Ends every session of a user but `except`; gives how many there were.
pub async fn revoke_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<SessionId>,
    why: &str,
    now: DateTime<Utc>,
) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query(
            "update sessions set revoked_at = $3, revoke_reason = $2
             where user_id = $1 and revoked_at is null and (cast($4 as uuid) is null or id <> $4)",
        )
        .bind(user)
        .bind(why)
        .bind(now)
        .bind(except)
        .execute(&mut *c)
        .await?
        .rows_affected()
    }))
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Listed {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When a pair of tokens was last made for it.
    pub rotated_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// The address that it was begun from.
    pub address: Option<String>,
    /// What the client that began it says it is.
    pub user_agent: Option<String>,
}

/// The sessions of a user that run, the newest first.
pub async fn list(
    tx: &mut Tx,
    (user, before): (UserId, Option<SessionId>),
    now: DateTime<Utc>,
    limit: i64,
) -> StoreResult<Vec<Listed>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, created_at, rotated_at, expires_at, address, user_agent from sessions
             where user_id = $1 and revoked_at is null and expires_at > $2 and (cast($3 as uuid) is null or id < $3)
             order by id desc limit $4",
        )
        .bind(user)
        .bind(now)
        .bind(before)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// What earlier sessions tell of whoever signs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Familiar {
    /// Whether one was begun from this network.
    pub network: bool,
    /// Whether one was begun with this client.
    pub agent: bool,
}

/// Compares a client with a user's earlier sessions, also those that have ended.
pub async fn familiar(tx: &mut Tx, user: UserId, network: &str, agent: Option<&str>) -> StoreResult<Familiar> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select exists (select 1 from sessions where user_id = $1 and network = $2) as network,
             exists (select 1 from sessions where user_id = $1 and coalesce(user_agent, '') = $3) as agent",
        )
        .bind(user)
        .bind(network)
        .bind(agent.unwrap_or_default())
        .fetch_one(&mut *c)
        .await?
    }))
}

/// Forgets where a user's sessions were begun.
pub async fn anonymise(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update sessions set address = null, user_agent = null, network = null where user_id = $1")
            .bind(user)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// Deletes sessions that were over before `before`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from sessions where expires_at < $1").bind(before).execute(&mut *c).await?.rows_affected()
    }))
}
