//! The outbox: one row per open piece of work, due at a time.
//!
//! A row stays until the transaction that records the work's end deletes it. Handing it to the queue only moves its due
//! time ahead, so a message that the queue loses is handed out again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use super::{INSERT_END, StoreResult, Tx, batch, insert_into, pieces};
use crate::job::{Job, Lane};

/// How long a message may be under way before it is taken to be lost; four times that from the second push on, sixteen
/// times from the fourth.
pub const VISIBILITY: TimeDelta = TimeDelta::seconds(10);

/// The longest time between two looks of a relay for what is due: whatever nobody wakes it for waits no longer than this.
pub const POLL: Duration = Duration::from_secs(1);

/// Whether relays have to be woken for a row that is put at `now`. What is due later they find in time by themselves, also
/// if it takes up to [`POLL`] until it is committed.
pub fn is_soon(due: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    due < now + 2 * POLL
}

/// Puts jobs, each due at its time; an open row of the same key is moved to the new time.
pub async fn put(tx: &mut Tx, jobs: &[(Job, DateTime<Utc>)]) -> StoreResult<()> {
    for piece in pieces(jobs) {
        batch!(tx, |q| {
            q.push(insert_into("outbox (key, job, lane, due_at, pushes)"));
            q.push_values(piece.marked(), |mut row, (mark, (job, due))| {
                row.push_bind(mark).push_bind(job.key()).push_bind(Json(job)).push_bind(job.lane().name());
                row.push_bind(*due).push_bind(0_i64);
            });
            q.push(INSERT_END).push(" on conflict (key) do update set due_at = excluded.due_at, pushes = 0");
        });
    }
    Ok(())
}

/// Deletes rows by key; a key without a row is no error.
pub async fn delete(tx: &mut Tx, keys: &[String]) -> StoreResult<()> {
    for piece in pieces(keys) {
        batch!(tx, |q| {
            q.push("delete from outbox where key in (");
            piece.push_list(&mut q);
            q.push(")");
        });
    }
    Ok(())
}

/// Deletes one row in the transaction that does its work; false if somebody else has done it meanwhile.
pub async fn end(tx: &mut Tx, job: &Job) -> StoreResult<bool> {
    let key = job.key();
    let done = on!(tx, |c| {
        sqlx::query("delete from outbox where key = $1").bind(&key).execute(&mut *c).await?.rows_affected()
    });
    Ok(done == 1)
}

/// Whether a job's work still has to be done.
pub async fn is_open(tx: &mut Tx, job: &Job) -> StoreResult<bool> {
    let key = job.key();
    let rows: i64 = on!(tx, |c| {
        sqlx::query_scalar("select count(*) from outbox where key = $1").bind(&key).fetch_one(&mut *c).await?
    });
    Ok(rows > 0)
}

/// Takes up to `limit` due jobs of a lane, the longest due first, and moves their due time ahead. For a transaction that
/// does nothing else: on `PostgreSQL` it is not waited for until it is on the disk.
pub async fn take_due(tx: &mut Tx, lane: Lane, now: DateTime<Utc>, limit: i64) -> StoreResult<Vec<Job>> {
    // An update gives its rows in any order and tells new values only, so the old due time is kept beside the new one.
    // If PostgreSQL breaks down the moment after, the rows are due as before and handed out again, which costs less than
    // waiting for its disk each time.
    macro_rules! take {
        ($lock:literal, $commit:literal) => {
            concat!(
                "update outbox set pushes = pushes + 1, was_due = due_at,
                 due_at = case when pushes < 1 then $3 when pushes < 3 then $4 else $5 end
                 where key in (select key from outbox where lane = $1 and due_at <= $2 order by due_at limit $6",
                $lock,
                ")",
                $commit,
                " returning was_due, job"
            )
        };
    }
    let sql = tx.either(
        take!("", ""),
        take!(" for update skip locked", " and (select set_config('synchronous_commit', 'off', true)) = 'off'"),
    );
    let mut rows: Vec<(DateTime<Utc>, Json<Job>)> = on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(lane.name())
            .bind(now)
            .bind(now + VISIBILITY)
            .bind(now + VISIBILITY * 4)
            .bind(now + VISIBILITY * 16)
            .bind(limit)
            .fetch_all(&mut *c)
            .await?
    });
    rows.sort_by_key(|(due, _)| *due);
    Ok(rows.into_iter().map(|(_, Json(job))| job).collect())
}

/// Keeps a row that was handed out from being handed out again before `until`, for work that may take longer than a
/// message is waited for. One that was put again meanwhile is left alone.
pub async fn hold(tx: &mut Tx, job: &Job, until: DateTime<Utc>) -> StoreResult<()> {
    let key = job.key();
    let sql = "update outbox set due_at = $2 where key = $1 and pushes > 0";
    on!(tx, |c| sqlx::query(sql).bind(&key).bind(until).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// When the next row of each lane is due, in the order of [`Lane::ALL`].
pub async fn next_due(tx: &mut Tx) -> StoreResult<[Option<DateTime<Utc>>; 3]> {
    type Due = Option<DateTime<Utc>>;
    let row: (Due, Due, Due) = on!(tx, |c| {
        sqlx::query_as(
            "select (select due_at from outbox where lane = 'interactive' order by due_at limit 1),
             (select due_at from outbox where lane = 'mail' order by due_at limit 1),
             (select due_at from outbox where lane = 'maintenance' order by due_at limit 1)",
        )
        .fetch_one(&mut *c)
        .await?
    });
    Ok([row.0, row.1, row.2])
}

/// How many rows are open in a lane.
pub async fn count(tx: &mut Tx, lane: Lane) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select count(*) from outbox where lane = $1").bind(lane.name()).fetch_one(&mut *c).await?
    }))
}

/// Makes rows due now whose delivery has been tried in vain at least `pushes` times; gives their number.
pub async fn requeue(tx: &mut Tx, now: DateTime<Utc>, pushes: i64) -> StoreResult<u64> {
    // Whoever holds a row is dealing with it, and may wait for who holds another.
    let sql = tx.either(
        "update outbox set due_at = $1, pushes = 0 where pushes >= $2 and due_at > $1",
        "update outbox set due_at = $1, pushes = 0 where key in
         (select key from outbox where pushes >= $2 and due_at > $1 for update skip locked)",
    );
    Ok(on!(tx, |c| { sqlx::query(sql).bind(now).bind(pushes).execute(&mut *c).await?.rows_affected() }))
}
