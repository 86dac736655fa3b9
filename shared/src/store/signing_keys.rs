//! Keys that sign tokens, as rows that all processes share. The private part is sealed before it comes here.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SigningKey {
    /// What the header of tokens calls it (`kid`).
    pub id: String,
    /// The public part, base64url.
    pub public_key: String,
    /// The private part, sealed.
    pub private_key: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it begins to sign.
    pub active_from: DateTime<Utc>,
    /// When it was seen to have a successor that signs.
    pub retired_at: Option<DateTime<Utc>>,
}

impl SigningKey {
    /// Whether it may sign at `now`; of several such keys the one that began last does.
    pub fn may_sign(&self, now: DateTime<Utc>) -> bool {
        self.retired_at.is_none() && self.active_from <= now
    }
}

/// Keeps other processes from changing keys until the end of the transaction; they can still be read.
pub async fn lock(tx: &mut Tx) -> StoreResult<()> {
    // SQLite has one writer at a time anyway.
    let sql = tx.either("select 1", "lock table signing_keys in exclusive mode");
    on!(tx, |c| sqlx::query(sql).execute(&mut *c).await.map(drop))?;
    Ok(())
}

/// Stores a new key.
pub async fn insert(tx: &mut Tx, key: &SigningKey) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into signing_keys (id, public_key, private_key, created_at, active_from, retired_at)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&key.id)
        .bind(&key.public_key)
        .bind(&key.private_key)
        .bind(key.created_at)
        .bind(key.active_from)
        .bind(key.retired_at)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// The keys that have not been retired, or were after `since`, in the order in which they begin to sign.
pub async fn usable(tx: &mut Tx, since: DateTime<Utc>) -> StoreResult<Vec<SigningKey>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, public_key, private_key, created_at, active_from, retired_at from signing_keys
             where retired_at is null or retired_at > $1 order by active_from, id",
        )
        .bind(since)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Retires the keys that began to sign before `successor`, which is when the one that signs now began.
pub async fn retire(tx: &mut Tx, successor: DateTime<Utc>, now: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("update signing_keys set retired_at = $2 where active_from < $1 and retired_at is null")
            .bind(successor)
            .bind(now)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}

/// Deletes the keys that were retired by `until`.
pub async fn prune(tx: &mut Tx, until: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from signing_keys where retired_at <= $1")
            .bind(until)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}
