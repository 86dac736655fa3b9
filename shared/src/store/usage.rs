//! What accounts use: as it was counted with each change, and counted again from what is stored.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx, agents};
use crate::ids::UserId;

pub use crate::domain::workflow::InUse;

/// What an account uses now.
pub async fn in_use(tx: &mut Tx, user: UserId) -> StoreResult<InUse> {
    let sql = "select agents, waiting, storage from in_use where user_id = $1";
    let row: Option<InUse> = on!(tx, |c| sqlx::query_as(sql).bind(user).fetch_optional(&mut *c).await?);
    Ok(row.unwrap_or_default())
}

/// An account of which something else was counted than is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miscount {
    /// The account.
    pub user: UserId,
    /// What was counted.
    pub counted: InUse,
    /// What is stored.
    pub stored: InUse,
}

/// What was counted and what is stored, of one account.
#[derive(FromRow)]
struct Compared {
    user_id: UserId,
    #[sqlx(flatten)]
    counted: InUse,
    stored_agents: i64,
    stored_waiting: i64,
    stored_storage: i64,
}

/// Accounts of which something else was counted than is stored. A sound store has none.
pub async fn miscounts(tx: &mut Tx) -> StoreResult<Vec<Miscount>> {
    tx.read_whole_tables().await?;
    let rows: Vec<Compared> = on!(tx, |c| {
        sqlx::query_as(
            "select * from (select u.id as user_id, coalesce(i.agents, 0) as agents, coalesce(i.waiting, 0) as waiting,
             coalesce(i.storage, 0) as storage, coalesce(t.agents, 0) as stored_agents,
             coalesce(t.waiting, 0) as stored_waiting, coalesce(t.storage, 0) as stored_storage
             from users u left join in_use i on i.user_id = u.id left join
             (select w.user_id, count(case when s.status = 'running' then 1 end) as agents,
              count(s.waiting_since) as waiting, cast(sum(s.output_bytes) as bigint) as storage
              from workflows w join steps s on s.workflow_id = w.id group by w.user_id) t on t.user_id = u.id) compared
             where agents <> stored_agents or waiting <> stored_waiting or storage <> stored_storage order by user_id",
        )
        .fetch_all(&mut *c)
        .await?
    });
    Ok(rows.into_iter().map(Miscount::from).collect())
}

impl From<Compared> for Miscount {
    fn from(row: Compared) -> Self {
        let stored = InUse { agents: row.stored_agents, waiting: row.stored_waiting, storage: row.stored_storage };
        Self { user: row.user_id, counted: row.counted, stored }
    }
}

/// Counts again what accounts use of which something else was counted, and has their waiting steps called; gives these
/// accounts.
pub async fn recount(tx: &mut Tx, now: DateTime<Utc>) -> StoreResult<Vec<UserId>> {
    let users: Vec<_> = miscounts(tx).await?.into_iter().map(|miscount| miscount.user).collect();
    agents::lock(tx, users.iter().copied()).await?;
    // Once more, since nothing of theirs moves now.
    let mut wrong: Vec<_> = miscounts(tx).await?.into_iter().map(|miscount| (miscount.user, miscount.stored)).collect();
    wrong.retain(|(user, _)| users.contains(user));
    agents::count(tx, &wrong).await?;
    for (user, _) in &wrong {
        agents::look_again(tx, *user, now).await?;
    }
    Ok(wrong.into_iter().map(|(user, _)| user).collect())
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
