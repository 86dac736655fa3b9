//! One database handle for both engines.
//!
//! [`Db::begin`] starts a write transaction, [`Db::read`] hands out a connection for reading. Store functions take
//! `&mut Tx` and write their SQL once; `on!` runs it against whichever engine stands behind. Only text that one engine
//! lacks is written twice, side by side, chosen with [`Tx::either`].

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, PgConnection, Postgres, Sqlite, SqliteConnection};

use super::group_commit::{Member, Writer};

/// After this time a connection may have been lost unnoticed.
const IDLE: Duration = Duration::from_secs(1);

/// Plans are kept, and a table that was small or empty when one was made, as the outbox often is, would be read from end to
/// end when it is large. What has no index is still read so, and must not be compiled first because the planner puts a
/// high price on it.
const BY_INDEX: &str = "set enable_seqscan = off; set jit = off";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine refused or was not reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The transaction that this one was grouped with could not be committed; nothing of it was stored.
    #[error("the shared transaction could not be committed: {0}")]
    Group(String),
    /// A row was not as it was when it was read. Trying again is right.
    #[error("changed by somebody else meanwhile: {0}")]
    Conflict(&'static str),
    /// A stored value is not what the program wrote.
    #[error("stored value of {what} cannot be read: {source}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the cause may be in what was to be stored, rather than in the way to the database.
    pub const fn is_about_data(&self) -> bool {
        match self {
            Self::Database(error) => matches!(error, sqlx::Error::Database(_) | sqlx::Error::Encode(_)),
            Self::Conflict(_) | Self::Corrupt { .. } | Self::Group(_) => true,
            Self::Migration(_) => false,
        }
    }
}

/// The result of a store function.
pub type StoreResult<T> = Result<T, StoreError>;

/// A database: `SQLite` embedded, `PostgreSQL` scaled. Clones share the connections.
#[derive(Debug, Clone)]
pub enum Db {
    /// One writer connection with group commit, several readers.
    Sqlite {
        /// The one connection that writes.
        writer: Arc<Writer>,
        /// Connections that see what has been committed.
        readers: SqlitePool,
    },
    /// A connection pool.
    Postgres(PgPool),
}

/// A unit of work: a write transaction, or a connection that only reads. Dropped without [`Tx::commit`], it is undone.
#[derive(Debug)]
pub enum Tx {
    /// A member of the writer's group.
    Sqlite(Member),
    /// A reader.
    SqliteRead(PoolConnection<Sqlite>),
    /// A reader that sees one moment.
    SqliteSnapshot(sqlx::Transaction<'static, Sqlite>),
    /// A transaction.
    Postgres(sqlx::Transaction<'static, Postgres>),
    /// A pooled connection outside any transaction.
    PostgresRead(PoolConnection<Postgres>),
}

/// The connection behind a [`Tx`]; what `on!` matches on.
#[derive(Debug)]
pub enum Conn<'a> {
    /// `SQLite`.
    Sqlite(&'a mut SqliteConnection),
    /// `PostgreSQL`.
    Postgres(&'a mut PgConnection),
}

/// Runs one body against either engine: `on!(tx, |c| sqlx::query("…").execute(&mut *c).await?)`.
#[macro_export]
macro_rules! on {
    ($tx:expr, |$c:ident| $body:expr) => {
        match $tx.conn() {
            $crate::store::db::Conn::Sqlite($c) => $body,
            $crate::store::db::Conn::Postgres($c) => $body,
        }
    };
}

impl Db {
    /// Opens (and makes, if need be) a `SQLite` file in WAL mode with full durability.
    pub async fn sqlite(path: &Path) -> StoreResult<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .statement_cache_capacity(300)
            // Enough for the rows of a batch: a full buffer has two threads wait for each other in turns.
            .row_buffer_size(1_024)
            // What a savepoint may have to undo would be written to a file.
            .pragma("temp_store", "memory")
            // 16 MB of log rather than 4 between two checkpoints, during which nobody writes.
            .pragma("wal_autocheckpoint", "4000")
            .busy_timeout(Duration::from_secs(10));
        let writer = Writer::open(&options).await?;
        let readers = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(4)
            // A file does not go away.
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        Ok(Self::Sqlite { writer: Arc::new(writer), readers })
    }

    /// Connects to `PostgreSQL` with at most `connections` connections.
    pub async fn postgres(url: &str, connections: u32) -> StoreResult<Self> {
        let options = PgConnectOptions::from_str(url)?.statement_cache_capacity(300);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            // Asking takes as long as a small statement, so only whoever was idle is asked whether it still lives.
            .test_before_acquire(false)
            .before_acquire(|connection, since| {
                Box::pin(async move {
                    if since.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| Box::pin(async move { connection.execute(BY_INDEX).await.map(drop) }))
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Applies the migrations that are missing.
    pub async fn migrate(&self) -> StoreResult<()> {
        match self {
            Self::Sqlite { writer, .. } => {
                let mut connection = writer.idle_connection().await?;
                // Sorting for a new index must not need as much memory as the table.
                sqlx::query("pragma temp_store = default").execute(&mut *connection).await?;
                MIGRATIONS.run(&mut *connection).await?;
                sqlx::query("pragma temp_store = memory").execute(&mut *connection).await?;
            }
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                connection.execute("set enable_seqscan = on").await?;
                MIGRATIONS.run(&mut *connection).await?;
                connection.execute(BY_INDEX).await?;
            }
        }
        Ok(())
    }

    /// How many migrations have not been applied.
    pub async fn missing_migrations(&self) -> StoreResult<usize> {
        let mut tx = self.read().await?;
        let sql = tx.either(
            "select count(*) from sqlite_master where type = 'table' and name = '_sqlx_migrations'",
            "select count(*) from pg_tables where tablename = '_sqlx_migrations'",
        );
        let table: i64 = on!(tx, |c| sqlx::query_scalar(sql).fetch_one(&mut *c).await?);
        let applied: Vec<i64> = if table == 0 {
            Vec::new()
        } else {
            on!(tx, |c| {
                sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(&mut *c).await?
            })
        };
        Ok(MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version)).count())
    }

    /// Starts a write transaction.
    pub async fn begin(&self) -> StoreResult<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(Writer::begin(writer).await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Starts a write transaction of exactly one statement, which `PostgreSQL` commits with the statement.
    pub async fn begin_single(&self) -> StoreResult<Tx> {
        match self {
            Self::Sqlite { .. } => self.begin().await,
            Self::Postgres(_) => self.read().await,
        }
    }

    /// A connection for reading what has been committed.
    pub async fn read(&self) -> StoreResult<Tx> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::SqliteRead(readers.acquire().await?),
            Self::Postgres(pool) => Tx::PostgresRead(pool.acquire().await?),
        })
    }

    /// Like [`Db::read`], but all statements see the same moment.
    pub async fn snapshot(&self) -> StoreResult<Tx> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::SqliteSnapshot(readers.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(pool.begin_with("begin isolation level repeatable read read only").await?)
            }
        })
    }

    /// Asks the database for an answer.
    pub async fn ping(&self) -> StoreResult<()> {
        let mut tx = self.read().await?;
        on!(tx, |c| sqlx::query("select 1").execute(&mut *c).await.map(drop))?;
        Ok(())
    }

    /// Closes every connection; on `SQLite` this also folds the write-ahead log into the file.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// The connection, for `on!`.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(member) => Conn::Sqlite(member.connection()),
            Self::SqliteRead(c) => Conn::Sqlite(c),
            Self::SqliteSnapshot(c) => Conn::Sqlite(c),
            Self::Postgres(tx) => Conn::Postgres(tx),
            Self::PostgresRead(c) => Conn::Postgres(c),
        }
    }

    /// Has the rest of the transaction read tables from end to end where it needs most of their rows.
    pub async fn read_whole_tables(&mut self) -> StoreResult<()> {
        if let Conn::Postgres(connection) = self.conn() {
            connection.execute("set local enable_seqscan = on").await?;
        }
        Ok(())
    }

    /// Whether whoever writes is alone with the database, so that nothing needs to be locked against others.
    pub const fn has_one_writer(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// The text of the engine at hand, where the two cannot share one.
    pub const fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::SqliteRead(_) | Self::SqliteSnapshot(_) => sqlite,
            Self::Postgres(_) | Self::PostgresRead(_) => postgres,
        }
    }

    /// Makes the work durable; when this returns, a power cut cannot undo it.
    pub async fn commit(self) -> StoreResult<()> {
        match self {
            Self::Sqlite(member) => member.commit().await,
            Self::Postgres(tx) => Ok(tx.commit().await?),
            Self::SqliteRead(_) | Self::SqliteSnapshot(_) | Self::PostgresRead(_) => Ok(()),
        }
    }
}
