//! Group commit on `SQLite`: many transactions, one flush to the disk.
//!
//! With `synchronous=FULL` each commit costs a disk flush. All writers therefore share one outer transaction, in which
//! all but the first have a savepoint: [`Member::commit`] leaves what was done and waits; whoever finds nobody waiting for
//! the writer (or the group full) commits for all. A member that fails is undone alone: to its savepoint or, if it is the
//! first, with the outer transaction, which holds nothing else then. If the outer commit fails, every member of the group
//! is told so and nothing of it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard, oneshot};

use super::db::{StoreError, StoreResult};

/// The most members of one group; bounds how long the first of them waits.
const GROUP: usize = 256;

type Ticket = oneshot::Sender<Result<(), String>>;

/// The one connection that writes.
#[derive(Debug)]
pub struct Writer {
    state: Arc<Mutex<State>>,
    waiting: AtomicUsize,
    options: SqliteConnectOptions,
}

#[derive(Debug)]
struct State {
    /// `None` after an error that the connection may not have survived; the next member opens another.
    conn: Option<SqliteConnection>,
    /// Whether the outer transaction has begun.
    open: bool,
    /// Whether a savepoint stands: that of the member at work, or of the one before, which the next statement releases.
    savepoint: bool,
    /// Members that have done their work and wait for the outer commit.
    released: Vec<Ticket>,
}

impl Writer {
    /// Opens the connection.
    pub async fn open(options: &SqliteConnectOptions) -> StoreResult<Self> {
        let conn = options.connect().await?;
        let state = State { conn: Some(conn), open: false, savepoint: false, released: Vec::new() };
        Ok(Self { state: Arc::new(Mutex::new(state)), waiting: AtomicUsize::new(0), options: options.clone() })
    }

    /// Joins the group: a savepoint in the outer transaction, or the beginning of it if there is none.
    pub async fn begin(self: &Arc<Self>) -> StoreResult<Member> {
        let queued = Queued::new(self);
        let state = Arc::clone(&self.state).lock_owned().await;
        queued.served();
        let mut member = Member { inner: Some((Arc::clone(self), state)), entered: false };
        member.enter().await?;
        Ok(member)
    }

    /// The bare connection while no transaction is open, for migrations.
    pub async fn idle_connection(&self) -> StoreResult<MappedMutexGuard<'_, SqliteConnection>> {
        let mut state = self.state.lock().await;
        state.finish().await;
        state.reconnect(&self.options).await?;
        MutexGuard::try_map(state, |state| state.conn.as_mut())
            .map_err(|_| StoreError::Group("the writer has no connection".into()))
    }

    /// Commits what is open and closes the connection.
    pub async fn close(&self) {
        let mut state = self.state.lock().await;
        state.finish().await;
        if let Some(conn) = state.conn.take()
            && let Err(error) = conn.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    /// Called by the last holder: commits for all, unless somebody who will is already waiting.
    async fn leave(&self, state: &mut State) {
        if self.waiting.load(Ordering::SeqCst) == 0 || state.released.len() >= GROUP {
            state.finish().await;
        }
    }
}

/// Counts those who wait for the writer. One who gives up (its future was dropped) may have been the one on whom the
/// released members rely, so it sends a stand-in to commit for them.
struct Queued<'a> {
    writer: &'a Arc<Writer>,
    served: bool,
}

impl<'a> Queued<'a> {
    fn new(writer: &'a Arc<Writer>) -> Self {
        writer.waiting.fetch_add(1, Ordering::SeqCst);
        Self { writer, served: false }
    }

    fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.writer.waiting.fetch_sub(1, Ordering::SeqCst);
        if !self.served {
            let writer = Arc::clone(self.writer);
            tokio::spawn(async move {
                let mut state = writer.state.lock().await;
                writer.leave(&mut state).await;
            });
        }
    }
}

impl State {
    async fn reconnect(&mut self, options: &SqliteConnectOptions) -> StoreResult<()> {
        if self.conn.is_none() {
            self.conn = Some(options.connect().await?);
        }
        Ok(())
    }

    async fn enter(&mut self, options: &SqliteConnectOptions) -> StoreResult<()> {
        self.reconnect(options).await?;
        // One text for both steps: each statement by itself costs a round trip to the connection's thread. The first
        // member needs no savepoint: there is nothing before it that must stay.
        let (sql, savepoint) = match (self.open, self.savepoint) {
            (false, _) => ("BEGIN IMMEDIATE", false),
            (true, false) => ("SAVEPOINT member", true),
            (true, true) => ("RELEASE member; SAVEPOINT member", true),
        };
        // Set first: if this future is dropped while the engine is at it, the transaction is open all the same.
        self.open = true;
        self.savepoint = false;
        self.run(sql).await?;
        self.savepoint = savepoint;
        Ok(())
    }

    /// Undoes what the member at work has done.
    async fn undo(&mut self) -> StoreResult<()> {
        if self.savepoint {
            self.savepoint = false;
            return self.run("ROLLBACK TO member; RELEASE member").await;
        }
        self.run("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }

    async fn run(&mut self, sql: &'static str) -> StoreResult<()> {
        let conn = self.conn.as_mut().ok_or_else(|| StoreError::Group("the writer is closed".into()))?;
        conn.execute(sql).await?;
        Ok(())
    }

    /// Ends the outer transaction and tells every released member how it went.
    async fn finish(&mut self) {
        if !self.open {
            return;
        }
        // This releases every savepoint as well.
        match self.run("COMMIT").await {
            Ok(()) => {
                self.open = false;
                self.savepoint = false;
                for ticket in self.released.drain(..) {
                    // A member that no longer waits has lost nothing: its work is stored.
                    drop(ticket.send(Ok(())));
                }
            }
            Err(error) => self.fail(&error.to_string()).await,
        }
    }

    /// Gives the outer transaction up: nobody's work of this group is stored.
    async fn fail(&mut self, why: &str) {
        tracing::error!(error = why, members = self.released.len(), "a group of transactions was rolled back");
        for ticket in self.released.drain(..) {
            drop(ticket.send(Err(why.to_owned())));
        }
        if self.open && self.run("ROLLBACK").await.is_err() {
            // The engine may have rolled back by itself (disk full, I/O error), or the connection is gone: start afresh.
            self.conn = None;
        }
        self.open = false;
        self.savepoint = false;
    }
}

/// One transaction of a group.
#[derive(Debug)]
pub struct Member {
    /// Taken when the member ends.
    inner: Option<(Arc<Writer>, OwnedMutexGuard<State>)>,
    /// Whether it has begun, and there is something to undo.
    entered: bool,
}

impl Member {
    async fn enter(&mut self) -> StoreResult<()> {
        let Some((writer, state)) = self.inner.as_mut() else { return Ok(()) };
        if let Err(error) = state.enter(&writer.options).await {
            state.fail(&error.to_string()).await;
            return Err(error);
        }
        self.entered = true;
        Ok(())
    }

    /// The shared connection, in which nobody else is at work.
    #[expect(clippy::expect_used, reason = "a member holds the writer until it is consumed, and `enter` connected it")]
    pub fn connection(&mut self) -> &mut SqliteConnection {
        self.inner.as_mut().and_then(|(_, state)| state.conn.as_mut()).expect("a member has a connection")
    }

    /// Leaves what was done to the group and waits until it is on the disk.
    pub async fn commit(mut self) -> StoreResult<()> {
        let Some((writer, mut state)) = self.inner.take() else { return Ok(()) };
        let (ticket, stored) = oneshot::channel();
        // In a task of its own: a caller that goes away half-way must not leave the group open.
        tokio::spawn(async move {
            state.released.push(ticket);
            writer.leave(&mut state).await;
        });
        match stored.await {
            Ok(result) => result.map_err(StoreError::Group),
            Err(_) => Err(StoreError::Group("the writer stopped".into())),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some((writer, mut state)) = self.inner.take() {
            let entered = self.entered;
            tokio::spawn(async move {
                let undone = if entered { state.undo().await } else { Ok(()) };
                match undone {
                    Ok(()) => writer.leave(&mut state).await,
                    Err(_) => state.fail("a member could not be undone").await,
                }
            });
        }
    }
}
