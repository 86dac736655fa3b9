//! Answers kept under the client's `Idempotency-Key`, written in the transaction that they answer.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, QueryBuilder};

use super::{INSERT_END, StoreResult, Tx, batch, insert_into, pieces};
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

/// A request that wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted<'a> {
    /// Whose key.
    pub user: UserId,
    /// The client's key.
    pub key: &'a str,
    /// SHA-256 of the request's body.
    pub fingerprint: &'a str,
}

/// Takes keys of one route, none of them named twice, and gives those that were free or had been taken before `expired`.
/// On `PostgreSQL` this waits for transactions that are taking the same keys; to keep two from waiting for each other,
/// name them in their order.
pub async fn take(
    tx: &mut Tx,
    route: &str,
    wanted: &[Wanted<'_>],
    (now, expired): (DateTime<Utc>, DateTime<Utc>),
) -> StoreResult<HashSet<(UserId, String)>> {
    let mut taken = HashSet::with_capacity(wanted.len());
    for piece in pieces(wanted) {
        let rows: Vec<(UserId, String)> = on!(tx, |c| {
            let mut q = QueryBuilder::new(insert_into(
                "idempotency_keys (user_id, route, key, fingerprint, status, body, created_at)",
            ));
            q.push_values(piece.marked(), |mut row, (mark, wanted)| {
                row.push_bind(mark).push_bind(wanted.user).push_bind(route).push_bind(wanted.key);
                row.push_bind(wanted.fingerprint).push_bind(0_i64).push_bind("").push_bind(now);
            });
            q.push(INSERT_END).push(
                " on conflict (user_id, route, key) do update set fingerprint = excluded.fingerprint, status = 0,
                 body = '', created_at = excluded.created_at where idempotency_keys.created_at < ",
            );
            q.push_bind(expired).push(" returning user_id, key");
            q.build_query_as().fetch_all(&mut *c).await?
        });
        taken.extend(rows);
    }
    Ok(taken)
}

/// An answer to a request that took its key.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Whose key.
    pub user: UserId,
    /// The client's key.
    pub key: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// The body, byte for byte.
    pub body: &'a str,
}

/// Writes answers under keys of one route that were taken in this transaction.
pub async fn answer(tx: &mut Tx, route: &str, given: &[Given<'_>]) -> StoreResult<()> {
    for piece in pieces(given) {
        batch!(tx, |q| {
            q.push("update idempotency_keys set status = v.column3, body = v.column4 from (");
            q.push_values(piece.filled(), |mut row, given| {
                row.push_bind(given.user).push_bind(given.key).push_bind(i64::from(given.status)).push_bind(given.body);
            });
            q.push(") as v where user_id = v.column1 and key = v.column2 and route = ").push_bind(route);
        });
    }
    Ok(())
}

/// Gives a key back that was taken in this transaction: its request was refused, and may be sent again.
pub async fn release(tx: &mut Tx, (user, route, key): (UserId, &str, &str)) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("delete from idempotency_keys where user_id = $1 and route = $2 and key = $3 and status = 0")
            .bind(user)
            .bind(route)
            .bind(key)
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
