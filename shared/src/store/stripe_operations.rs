//! What Stripe is asked to do for accounts. An operation is stored before the first request, and its id is in the
//! `Idempotency-Key` of each: done again after a crash or a lost answer, it is the same one to Stripe.
//!
//! On one route, an account's operations are done one after another. One that is neither finished nor paused is
//! somebody's who is at it, until its time is over.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx, users};
use crate::ids::{OperationId, UserId};

/// How long whoever begins or resumes an operation has for it. Requests to Stripe give up long before.
pub const BUSY: TimeDelta = TimeDelta::seconds(60);

/// How long an operation is known by its key or its request; Stripe keeps its keys no longer.
pub const KNOWN: TimeDelta = TimeDelta::hours(24);

/// A request that changes something at Stripe.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose.
    pub user: UserId,
    /// To which of our routes.
    pub route: &'a str,
    /// The client's `Idempotency-Key`, if it sent one.
    pub client_key: Option<&'a str>,
    /// SHA-256 of the request's body.
    pub fingerprint: &'a str,
}

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Do this operation, which may be one that was left unfinished.
    Do(OperationId),
    /// It has been done.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body, byte for byte.
        body: String,
    },
    /// Another operation of the account on the same route is under way.
    InProgress,
    /// The client's key belongs to a request with another body.
    OtherBody,
}

/// An operation as far as a request may meet it.
#[derive(FromRow)]
struct Known {
    id: OperationId,
    client_key: Option<String>,
    fingerprint: String,
    busy_until: DateTime<Utc>,
    status: Option<i64>,
    body: Option<String>,
    created_at: DateTime<Utc>,
}

impl Known {
    /// Whether the request is for this operation. Without a key of its own, it is for an unfinished one that is the
    /// same in all else.
    fn is_of(&self, request: &Request<'_>, now: DateTime<Utc>) -> bool {
        match request.client_key {
            Some(key) => self.client_key.as_deref() == Some(key),
            None => self.status.is_none() && self.fingerprint == request.fingerprint && self.is_young(now),
        }
    }

    fn is_young(&self, now: DateTime<Utc>) -> bool {
        self.created_at > now - KNOWN
    }

    fn is_busy(&self, now: DateTime<Utc>) -> bool {
        self.status.is_none() && self.busy_until > now
    }

    fn answer(&self) -> Option<Begun> {
        let status = self.status?;
        Some(Begun::Answered { status: status as u16, body: self.body.clone().unwrap_or_default() })
    }
}

/// Begins an operation or resumes it; to be committed before the first request to Stripe. Locks the account.
pub async fn begin(tx: &mut Tx, request: &Request<'_>, now: DateTime<Utc>) -> StoreResult<Begun> {
    users::lock(tx, request.user).await?;
    let known = known(tx, request).await?;
    let own = known.iter().find(|operation| operation.is_of(request, now));
    let young = own.filter(|operation| operation.is_young(now));
    if young.is_some_and(|operation| operation.fingerprint != request.fingerprint) {
        return Ok(Begun::OtherBody);
    }
    if let Some(answer) = young.and_then(Known::answer) {
        return Ok(answer);
    }
    if known.iter().any(|operation| operation.is_busy(now)) {
        return Ok(Begun::InProgress);
    }
    if let Some(operation) = young {
        return resume(tx, operation.id, now).await;
    }
    if let Some(old) = own {
        delete(tx, old.id).await?;
    }
    start(tx, request, now).await
}

/// The unfinished operations of the account on the route, and the one of the client's key; the newest first.
async fn known(tx: &mut Tx, request: &Request<'_>) -> StoreResult<Vec<Known>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, client_key, fingerprint, busy_until, status, body, created_at from stripe_operations
             where user_id = $1 and route = $2 and (status is null or client_key = $3) order by id desc",
        )
        .bind(request.user)
        .bind(request.route)
        .bind(request.client_key)
        .fetch_all(&mut *c)
        .await?
    }))
}

async fn resume(tx: &mut Tx, id: OperationId, now: DateTime<Utc>) -> StoreResult<Begun> {
    // Whoever has the row locked is finishing it. They may want the account's lock next, so they are not waited for.
    let sql = tx.either(
        "update stripe_operations set busy_until = $2 where id = $1 and status is null",
        "update stripe_operations set busy_until = $2 where id =
         (select id from stripe_operations where id = $1 and status is null for update skip locked)",
    );
    let done = on!(tx, |c| sqlx::query(sql).bind(id).bind(now + BUSY).execute(&mut *c).await?.rows_affected());
    Ok(if done == 1 { Begun::Do(id) } else { Begun::InProgress })
}

async fn start(tx: &mut Tx, request: &Request<'_>, now: DateTime<Utc>) -> StoreResult<Begun> {
    let id = OperationId::new(now);
    on!(tx, |c| {
        sqlx::query(
            "insert into stripe_operations (id, user_id, route, client_key, fingerprint, busy_until, created_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(request.user)
        .bind(request.route)
        .bind(request.client_key)
        .bind(request.fingerprint)
        .bind(now + BUSY)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(Begun::Do(id))
}

async fn delete(tx: &mut Tx, id: OperationId) -> StoreResult<()> {
    let sql = "delete from stripe_operations where id = $1";
    on!(tx, |c| sqlx::query(sql).bind(id).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// Keeps the answer of an operation; one that has an answer keeps that.
pub async fn finish(tx: &mut Tx, id: OperationId, status: u16, body: &str) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update stripe_operations set status = $2, body = $3 where id = $1 and status is null")
            .bind(id)
            .bind(i64::from(status))
            .bind(body)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// Forgets an unfinished operation that Stripe has refused: the next try is another one, with keys of its own.
pub async fn give_up(tx: &mut Tx, id: OperationId) -> StoreResult<()> {
    let sql = "delete from stripe_operations where id = $1 and status is null";
    on!(tx, |c| sqlx::query(sql).bind(id).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// Lets an unfinished operation go: nobody knows what became of it, and the next try resumes it.
pub async fn pause(tx: &mut Tx, id: OperationId, now: DateTime<Utc>) -> StoreResult<()> {
    let sql = "update stripe_operations set busy_until = $2 where id = $1 and status is null";
    on!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// Deletes operations begun before `before`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from stripe_operations where created_at < $1")
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}
