//! Sharing out agents: what accounts use, under a lock, and which waiting steps are called when agents are free.
//!
//! On `PostgreSQL` workflows are locked first, then the rows of `in_use`, then trials and subscriptions, each in the
//! order of ids. Whoever changes a plan holds the subscription, and must not ask for `in_use` any more: it calls
//! [`look_again`], and a job does the rest.
//!
//! Nearly everything that an account does changes its row, so it is locked as late as can be: see [`settle`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{ColumnIndex, FromRow, QueryBuilder, Row};

use super::credits::subscribed;
use super::{INSERT_END, StoreError, StoreResult, Tx, batch, insert_into, outbox, pieces};
use crate::domain::entitlement::{Subscribed, tier};
use crate::domain::status::Priority;
use crate::domain::tier::Tiers;
use crate::domain::workflow::{Agents, InUse, Workflow};
use crate::ids::{UserId, WorkflowId};
use crate::job::Job;

/// A subscription where there need not be one.
#[derive(Debug, Clone, Default)]
struct Perhaps(Option<Subscribed>);

impl<'r, R: Row> FromRow<'r, R> for Perhaps
where
    Subscribed: FromRow<'r, R>,
    Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        let status: Option<String> = row.try_get("status")?;
        Ok(Self(status.map(|_| Subscribed::from_row(row)).transpose()?))
    }
}

/// What an account uses, and what decides how much it may.
#[derive(Debug, Clone, FromRow)]
pub struct Owner {
    /// The account.
    pub user_id: UserId,
    /// What it uses.
    #[sqlx(flatten)]
    pub in_use: InUse,
    #[sqlx(flatten)]
    subscribed: Perhaps,
}

impl Owner {
    /// Somebody who uses nothing.
    pub fn new(user_id: UserId) -> Self {
        Self { user_id, in_use: InUse::default(), subscribed: Perhaps::default() }
    }

    /// The account's agents at `now`.
    pub fn agents(&self, tiers: &Tiers, now: DateTime<Utc>) -> Agents {
        let limit = tiers.limits(tier(self.subscribed.0.as_ref(), now)).agents;
        Agents { limit, in_use: self.in_use }
    }
}

/// Reads what accounts use and keeps it locked, in the order of users so that no two wait for each other.
pub async fn lock(tx: &mut Tx, users: impl Iterator<Item = UserId>) -> StoreResult<Vec<Owner>> {
    let end = tx.either("", " for update of i");
    owners(tx, users, end).await
}

/// Reads what accounts use, which others may change meanwhile.
pub async fn read(tx: &mut Tx, users: impl Iterator<Item = UserId>) -> StoreResult<Vec<Owner>> {
    owners(tx, users, "").await
}

async fn owners(tx: &mut Tx, users: impl Iterator<Item = UserId>, lock: &'static str) -> StoreResult<Vec<Owner>> {
    let users: Vec<_> = users.collect::<BTreeSet<_>>().into_iter().collect();
    let mut owners = Vec::with_capacity(users.len());
    for piece in pieces(&users) {
        owners.extend(on!(tx, |c| {
            let mut q = QueryBuilder::new(concat!(
                "select i.user_id, i.agents, i.waiting, i.storage, ",
                subscribed!(),
                " from in_use i left join subscriptions s on s.user_id = i.user_id where i.user_id in (",
            ));
            piece.push_list(&mut q);
            q.push(") order by i.user_id").push(lock);
            q.build_query_as::<Owner>().fetch_all(&mut *c).await?
        }));
    }
    Ok(owners)
}

/// What an account used when it was read, and what it uses with what was decided then.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// The account.
    pub user_id: UserId,
    /// What there was when it was read.
    pub before: Agents,
    /// What is used with what was decided.
    pub after: InUse,
}

/// What [`StoreError::Conflict`] of [`settle`] is about.
pub const AGENTS: &str = "agents";

/// Locks what accounts use and adds what was decided when it was [`read`] without a lock; gives what is used now.
///
/// Only for decisions by which nobody got in line. [`StoreError::Conflict`]: others have changed it so that these would
/// not be right any more, since somebody is in line now, or more agents were given away than there are.
pub async fn settle(tx: &mut Tx, wanted: &[Use]) -> StoreResult<Vec<(UserId, InUse)>> {
    let locked = lock(tx, wanted.iter().map(|used| used.user_id)).await?;
    let locked: BTreeMap<_, _> = locked.into_iter().map(|owner| (owner.user_id, owner.in_use)).collect();
    let mut settled = Vec::with_capacity(wanted.len());
    for Use { user_id, before, after } in wanted {
        let now = locked.get(user_id).copied().unwrap_or_default();
        let then = Agents { in_use: now + (*after - before.in_use), ..*before };
        if now != before.in_use && (now.waiting > 0 || then.free() < 0) {
            return Err(StoreError::Conflict(AGENTS));
        }
        settled.push((*user_id, then.in_use));
    }
    count(tx, &settled).await?;
    Ok(settled)
}

/// Writes what accounts use, whose rows [`lock`] has read.
pub async fn count(tx: &mut Tx, owners: &[(UserId, InUse)]) -> StoreResult<()> {
    for piece in pieces(owners) {
        batch!(tx, |q| {
            q.push(insert_into("in_use (user_id, agents, waiting, storage)"));
            q.push_values(piece.marked(), |mut row, (mark, (user, in_use))| {
                // What was counted wrongly must not hold up workflows; the doctor finds it.
                row.push_bind(mark).push_bind(*user).push_bind(in_use.agents.max(0));
                row.push_bind(in_use.waiting.max(0)).push_bind(in_use.storage.max(0));
            });
            q.push(INSERT_END).push(
                " on conflict (user_id) do update set agents = excluded.agents, waiting = excluded.waiting,
                 storage = excluded.storage",
            );
        });
    }
    Ok(())
}

/// Takes workflows, which are locked and about to be erased, off what their owners use.
pub async fn take_off(tx: &mut Tx, workflows: &[Workflow]) -> StoreResult<()> {
    let owners = lock(tx, workflows.iter().map(|workflow| workflow.user_id)).await?;
    let mut left: BTreeMap<_, _> = owners.into_iter().map(|owner| (owner.user_id, owner.in_use)).collect();
    for workflow in workflows {
        if let Some(in_use) = left.get_mut(&workflow.user_id) {
            *in_use = *in_use - workflow.in_use();
        }
    }
    count(tx, &left.into_iter().collect::<Vec<_>>()).await
}

/// Calls waiting steps of these accounts, the oldest first, as many as there are free agents; whether the relay has
/// something to look for.
pub async fn let_in(
    tx: &mut Tx,
    tiers: &Tiers,
    users: impl Iterator<Item = UserId>,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    // Read now: the limit may be another than when the accounts were locked.
    let owners = lock(tx, users).await?;
    let to_call = owners.iter().map(|owner| (owner.user_id, owner.agents(tiers, now).to_call()));
    let to_call: Vec<_> = to_call.filter(|(_, steps)| *steps > 0).collect();
    let oldest = oldest(tx, &to_call).await?;
    let due: Vec<_> = oldest
        .into_iter()
        .map(|Waiting { workflow_id, id, priority }| {
            (Job::RunStep { workflow: workflow_id, step: id }.key(), priority.due(now))
        })
        .collect();
    make_due(tx, &due, now).await
}

/// A step that waits for an agent.
#[derive(FromRow)]
struct Waiting {
    workflow_id: WorkflowId,
    id: String,
    priority: Priority,
}

/// The steps of each account that have waited longest, as many as are asked for.
async fn oldest(tx: &mut Tx, wanted: &[(UserId, i64)]) -> StoreResult<Vec<Waiting>> {
    let mut found = Vec::new();
    for piece in pieces(wanted) {
        found.extend(on!(tx, |c| {
            let mut q = QueryBuilder::new("");
            for (number, (mark, (user, steps))) in piece.marked().enumerate() {
                q.push(if number == 0 { "" } else { " union all " });
                q.push(
                    "select * from (select s.workflow_id, s.id, w.priority from steps s
                     join workflows w on w.id = s.workflow_id where s.waits_for = ",
                );
                q.push_bind(*user).push(" order by s.waiting_since, s.workflow_id, s.position limit ");
                q.push_bind(if mark { *steps } else { 0 }).push(") as oldest");
            }
            q.build_query_as::<Waiting>().fetch_all(&mut *c).await?
        }));
    }
    Ok(found)
}

/// Makes outbox rows due at their times. A row that was made due before, or is under way, is left alone.
async fn make_due(tx: &mut Tx, rows: &[(String, DateTime<Utc>)], now: DateTime<Utc>) -> StoreResult<bool> {
    let mut moved = 0;
    for piece in pieces(rows) {
        moved += batch!(tx, |q| {
            q.push("update outbox set due_at = v.column2 from (");
            q.push_values(piece.filled(), |mut row, (key, due)| {
                row.push_bind(key.clone()).push_bind(*due);
            });
            q.push(") as v where key = v.column1 and pushes = 0 and due_at > ").push_bind(now);
        });
    }
    Ok(moved > 0)
}

/// Has waiting steps of an account called after this transaction, as far as its limit allows, which may be another now.
pub async fn look_again(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> StoreResult<()> {
    outbox::put(tx, &[(Job::LetIn { user }, now)]).await
}
