//! What accounts use, counted from what is stored.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};
use crate::ids::UserId;

/// What an account uses at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct InUse {
    /// Steps that run.
    pub agents: i64,
    /// The size of all step outputs, in bytes of JSON as the engine stores it.
    pub storage: i64,
}

/// Counts what an account uses now.
pub async fn in_use(tx: &mut Tx, user: UserId) -> StoreResult<InUse> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select count(case when s.status = 'running' then 1 end) as agents,
             cast(coalesce(sum(octet_length(cast(s.output as text))), 0) as bigint) as storage
             from workflows w join steps s on s.workflow_id = w.id where w.user_id = $1",
        )
        .bind(user)
        .fetch_one(&mut *c)
        .await?
    }))
}

/// What an account's workflows have cost that were accepted at `since` or later, in micro-dollars.
pub async fn cost(tx: &mut Tx, user: UserId, since: DateTime<Utc>) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "select cast(coalesce(sum(cost), 0) as bigint) from workflows where user_id = $1 and created_at >= $2",
        )
        .bind(user)
        .bind(since)
        .fetch_one(&mut *c)
        .await?
    }))
}
