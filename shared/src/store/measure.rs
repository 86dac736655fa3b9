//! What `autoos bench` asks of a database: how fast it is by itself, how far the workflows are, and how it fares with a
//! long history.
//!
//! Nothing else uses these functions. The limits are measured with plain connections, without this project's group
//! commit, so that they show what the engine and the disk can do. To measure one more thing: a function here, a row in
//! `src/commands/bench/mod.rs`.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, FromRow, PgConnection};
use url::Url;
use uuid::Uuid;

use super::{Db, StoreResult, Tx};
use crate::ids::WorkflowId;

const PROBE_TABLE: &str = "create table bench_probe (id bigint primary key, payload text not null)";
const PROBE_INSERT: &str = "insert into bench_probe (id, payload) values ($1, $2)";
/// The size of what one probing insert carries, in bytes.
const PAYLOAD: usize = 100;
/// More than one client inserts, so that each has numbers of its own.
const NUMBERS_PER_CLIENT: i64 = 1_000_000_000;

/// Inserts per second into a new `SQLite` file in WAL mode with full durability, each committed alone.
pub async fn sqlite_single_inserts(file: &Path, span: Duration) -> StoreResult<f64> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await?;
    sqlx::query(PROBE_TABLE).execute(&mut connection).await?;
    let payload = "x".repeat(PAYLOAD);
    let begin = Instant::now();
    let mut inserted = 0_i64;
    while begin.elapsed() < span {
        sqlx::query(PROBE_INSERT).bind(inserted).bind(&payload).execute(&mut connection).await?;
        inserted += 1;
    }
    let rate = inserted as f64 / begin.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}

/// Inserts per second into a `PostgreSQL` database by that many clients, each insert a transaction.
pub async fn postgres_single_inserts(url: &str, clients: i64, span: Duration) -> StoreResult<f64> {
    let options = PgConnectOptions::from_str(url)?;
    let mut connection = options.connect().await?;
    sqlx::query(PROBE_TABLE).execute(&mut connection).await?;
    let rates = try_join_all((0..clients).map(|client| inserts_of_one(&options, client, span))).await?;
    sqlx::query("drop table bench_probe").execute(&mut connection).await?;
    connection.close().await?;
    Ok(rates.iter().sum())
}

async fn inserts_of_one(options: &PgConnectOptions, client: i64, span: Duration) -> StoreResult<f64> {
    let mut connection = options.connect().await?;
    let payload = "x".repeat(PAYLOAD);
    let begin = Instant::now();
    let mut inserted = 0_i64;
    while begin.elapsed() < span {
        let id = client * NUMBERS_PER_CLIENT + inserted;
        sqlx::query(PROBE_INSERT).bind(id).bind(&payload).execute(&mut connection).await?;
        inserted += 1;
    }
    let rate = inserted as f64 / begin.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}

/// Makes a database on the server of `url` and gives its URL. The name goes into the statement as it is.
pub async fn create_database(url: &str, name: &str) -> StoreResult<String> {
    let mut own = Url::parse(url).map_err(|error| sqlx::Error::Configuration(error.into()))?;
    own.set_path(&format!("/{name}"));
    let mut connection = PgConnection::connect(url).await?;
    // Nobody can be connected to template0, which would keep it from being copied.
    let sql = format!("create database {name} template template0");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(own.into())
}

/// Removes a database that [`create_database`] made, whoever is still connected to it.
pub async fn drop_database(url: &str, name: &str) -> StoreResult<()> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = format!("drop database if exists {name} with (force)");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// An id before those of all workflows that are accepted from `now` on.
pub fn before_all_from(now: DateTime<Utc>) -> WorkflowId {
    // The first 48 bits of a UUIDv7 are milliseconds, and nothing is smaller than zeros behind them.
    let millis = u128::try_from(now.timestamp_millis()).unwrap_or(0);
    WorkflowId(Uuid::from_u128(millis << 80))
}

/// How many of the workflows after `since` have completed.
pub async fn completed(tx: &mut Tx, since: WorkflowId) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select count(*) from workflows where id > $1 and status = 'completed'")
            .bind(since)
            .fetch_one(&mut *c)
            .await?
    }))
}

/// The oldest completed workflow after `since`.
pub async fn first_completed(tx: &mut Tx, since: WorkflowId) -> StoreResult<Option<WorkflowId>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select id from workflows where id > $1 and status = 'completed' order by id limit 1")
            .bind(since)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// When a workflow's first step was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct FirstStep {
    /// When the intent was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When a worker took the step.
    pub started_at: DateTime<Utc>,
    /// When the step's action had run.
    pub finished_at: DateTime<Utc>,
}

/// The first steps of the completed workflows after `since`.
pub async fn first_steps(tx: &mut Tx, since: WorkflowId) -> StoreResult<Vec<FirstStep>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select w.created_at as accepted_at, s.started_at, s.finished_at from workflows w
             join steps s on s.workflow_id = w.id and s.position = 0 where w.id > $1 and w.status = 'completed'",
        )
        .bind(since)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Adds copies of a finished workflow, with its steps and its audit trail, under the ids `from` to `to`, which sort
/// before all that the program makes. An audit trail stays valid in a copy: no hash covers the workflow's id.
pub async fn copy_finished(tx: &mut Tx, of: WorkflowId, (from, to): (i64, i64)) -> StoreResult<()> {
    let id = tx.either("unhex(printf('%032x', n.i))", "cast(lpad(to_hex(n.i), 32, '0') as uuid)");
    let numbers = "with recursive n(i) as
                   (select cast($1 as bigint) union all select n.i + 1 from n where n.i < $2)";
    let statements = [
        format!(
            "{numbers} insert into workflows (id, user_id, intent, context, priority, plan, planner, status, reason,
             error, max_cost, cost, callback_url, charged, run_at, audit_seq, audit_hash, created_at, started_at,
             completed_at) select {id}, t.user_id, t.intent, t.context, t.priority, t.plan, t.planner, t.status,
             t.reason, t.error, t.max_cost, t.cost, t.callback_url, t.charged, t.run_at, t.audit_seq, t.audit_hash,
             t.created_at, t.started_at, t.completed_at from n cross join workflows t where t.id = $3"
        ),
        format!(
            "{numbers} insert into steps (workflow_id, id, position, spec, status, attempt, failures, crashes,
             lease_until, wake_at, reason, output, error, cost, started_at, finished_at) select {id}, t.id, t.position,
             t.spec, t.status, t.attempt, t.failures, t.crashes, t.lease_until, t.wake_at, t.reason, t.output, t.error,
             t.cost, t.started_at, t.finished_at from n cross join steps t where t.workflow_id = $3"
        ),
        format!(
            "{numbers} insert into audit (workflow_id, seq, at, event, actor, step, detail, hash) select {id}, t.seq,
             t.at, t.event, t.actor, t.step, t.detail, t.hash from n cross join audit t where t.workflow_id = $3"
        ),
    ];
    for sql in &statements {
        on!(tx, |c| {
            sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(from)
                .bind(to)
                .bind(of)
                .execute(&mut *c)
                .await?
                .rows_affected()
        });
    }
    Ok(())
}

/// Lets `PostgreSQL` do now what its autovacuum does within a minute; `SQLite` needs nothing.
pub async fn tidy(db: &Db) -> StoreResult<()> {
    let mut tx = db.read().await?;
    let sql = tx.either("select 1", "vacuum analyze");
    on!(tx, |c| sqlx::query(sql).execute(&mut *c).await.map(drop))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_workflow_of_the_same_moment_comes_after_the_bound() {
        let now = Clock::System.now();
        assert!(before_all_from(now) < WorkflowId::new(now));
        assert!(before_all_from(now) > WorkflowId::new(now - chrono::TimeDelta::milliseconds(1)));
    }

    #[tokio::test]
    async fn a_new_file_takes_inserts_until_the_time_is_over() {
        let file = std::env::temp_dir().join(format!("autoos-probe-{}.db", WorkflowId::new(Clock::System.now())));
        let rate = sqlite_single_inserts(&file, Duration::from_millis(20)).await.unwrap();
        assert!(rate > 1.0, "{rate}");
        std::fs::remove_file(&file).unwrap();
    }
}
