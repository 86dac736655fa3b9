//! Answers kept under the client's `Idempotency-Key`, written in the transaction that they answer.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};
use crate::ids::UserId;

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Answer {
    /// SHA-256 of the request's body.
    pub fingerprint: String,
    /// The HTTP status; 0 while the first request is still in its transaction.
    pub status: i64,
    /// The body, byte for byte.
    pub body: String,
}

/// Takes a key; false if it is taken. On `PostgreSQL` this waits for a transaction that is taking the same key.
pub async fn take(
    tx: &mut Tx,
    (user, route, key): (UserId, &str, &str),
    fingerprint: &str,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into idempotency_keys (user_id, route, key, fingerprint, status, body, created_at)
             values ($1, $2, $3, $4, 0, '', $5) on conflict (user_id, route, key) do nothing",
        )
        .bind(user)
        .bind(route)
        .bind(key)
        .bind(fingerprint)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// Writes the answer under a key that was taken in this transaction.
pub async fn answer(tx: &mut Tx, (user, route, key): (UserId, &str, &str), status: i64, body: &str) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update idempotency_keys set status = $4, body = $5 where user_id = $1 and route = $2 and key = $3")
            .bind(user)
            .bind(route)
            .bind(key)
            .bind(status)
            .bind(body)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// Reads the answer under a key.
pub async fn get(tx: &mut Tx, (user, route, key): (UserId, &str, &str)) -> StoreResult<Option<Answer>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select fingerprint, status, body from idempotency_keys where user_id = $1 and route = $2 and key = $3",
        )
        .bind(user)
        .bind(route)
        .bind(key)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// Deletes answers older than `before`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from idempotency_keys where created_at < $1")
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}

/// Deletes the answer under one key if it is older than `before`.
pub async fn prune_key(
    tx: &mut Tx,
    (user, route, key): (UserId, &str, &str),
    before: DateTime<Utc>,
) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("delete from idempotency_keys where user_id = $1 and route = $2 and key = $3 and created_at < $4")
            .bind(user)
            .bind(route)
            .bind(key)
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}
