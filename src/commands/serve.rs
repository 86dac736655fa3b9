//! Runs roles until the process is told to stop: API, worker and scheduler, together or one alone.
//!
//! The first SIGTERM or Ctrl-C begins the drain: no new connections, no new steps; what runs may end or is handed back.
//! The second ends the process at once. A role that ends by itself takes the others with it and the process fails, so
//! that whoever runs it starts it afresh. To add a role: a variant of [`Role`] and its lines in [`start`].

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use api::Bounds;
use chrono::{DateTime, Utc};
use shared::clock::Clock;
use shared::config::{Config, Database, Fault, Faults};
use shared::ids;
use shared::services::Services;
use shared::store::Db;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use worker::Worker;

use crate::boot;

/// How often the API looks for signing keys that other processes have made or deleted.
const KEYS_ARE_READ_EVERY: Duration = Duration::from_mins(1);
/// How long closing the database may take once nothing runs any more.
const CLOSING: Duration = Duration::from_secs(5);
/// The exit code of a process that was told to stop twice, as shells know it.
const STOPPED_AT_ONCE: i32 = 130;
/// Open descriptors to ask the system for: enough for all connections and as many again by half.
const DESCRIPTORS: u64 = 16_384;
/// What most systems give without being asked.
const USUAL_DESCRIPTORS: u64 = 1_024;

type Running = JoinSet<anyhow::Result<()>>;

/// A part of the program that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers HTTP.
    Api,
    /// Carries out jobs.
    Worker,
    /// Decides that something is due.
    Scheduler,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Api, Self::Worker, Self::Scheduler];

    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
        }
    }
}

/// Runs the roles until the process is told to stop.
pub async fn run(file: Option<&Path>, roles: &[Role]) -> anyhow::Result<()> {
    let config = boot::config(file)?;
    check_alone(&config, roles)?;
    let stop = CancellationToken::new();
    tokio::spawn(obey_signals(stop.clone()));
    // Before anything is opened: a second start by mistake fails here and touches nothing.
    let listener = if roles.contains(&Role::Api) { Some(listen(config.bind).await?) } else { None };
    let services = boot::services(config, Clock::System).await?;
    let running = start(&services, roles, listener, &stop)?;
    let result = all_ended(running, &stop).await;
    close(&services.db).await;
    result
}

/// Roles apart from each other need a database and a queue that processes can share.
fn check_alone(config: &Config, roles: &[Role]) -> Result<(), Faults> {
    let ([role], Database::Sqlite { .. }) = (roles, &config.database) else { return Ok(()) };
    let problem = format!(
        "must name a Postgres server for `autoos {}`: an SQLite file and the queue within it belong to one process; run \
         `autoos` without a command, or set DATABASE_URL, REDIS_URL and JWT_SECRET",
        role.name()
    );
    Err(Faults(vec![Fault { name: "DATABASE_URL".to_owned(), problem }]))
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn start(
    services: &Services,
    roles: &[Role],
    listener: Option<TcpListener>,
    stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let mut running = Running::new();
    if let Some(listener) = listener {
        running.spawn(answer(listener, services.clone(), stop.clone()));
        running.spawn(follow_keys(services.clone(), stop.clone()));
    }
    if roles.contains(&Role::Worker) {
        let worker = Worker::new(services.clone(), stop.clone()).context("the worker cannot be set up")?;
        running.spawn(async move {
            worker.run().await;
            Ok(())
        });
    }
    if roles.contains(&Role::Scheduler) {
        let duties = ::scheduler::run(services.clone(), holder(services.clock.now()), stop.clone());
        running.spawn(async move {
            duties.await;
            Ok(())
        });
    }
    Ok(running)
}

/// Answers HTTP; after the stop, requests have as long as running steps to come to their end.
async fn answer(listener: TcpListener, services: Services, stop: CancellationToken) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the address that is listened on")?;
    let drain = Duration::from_secs(services.config.shutdown_s);
    let serving = api::serve(listener, services, bounds(), stop.clone());
    tracing::info!(address = %address, "listening");
    tokio::select! {
        () = serving => {}
        () = async { stop.cancelled().await; sleep(drain).await } => {
            tracing::warn!("some requests did not end in time and were cut off");
        }
    }
    Ok(())
}

/// The bounds of HTTP, with no more connections than there are descriptors for: systems begin at a low number of them
/// and let a process raise it. A quarter is left for everything else that the process opens.
fn bounds() -> Bounds {
    let mut bounds = Bounds::default();
    let descriptors = rlimit::increase_nofile_limit(DESCRIPTORS).unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open descriptors is unknown; the usual one is assumed");
        USUAL_DESCRIPTORS
    });
    bounds.connections = bounds.connections.min((descriptors / 4 * 3).max(1) as usize);
    bounds
}

/// Learns of new signing keys long before they sign, and forgets the old ones.
async fn follow_keys(services: Services, stop: CancellationToken) -> anyhow::Result<()> {
    while stop.run_until_cancelled(sleep(KEYS_ARE_READ_EVERY)).await.is_some() {
        if let Err(error) = services.reload_keys(services.clock.now()).await {
            tracing::error!(%error, "the signing keys cannot be read; those that are known stay in use");
        }
    }
    Ok(())
}

/// What the scheduler's leases are held under: tells a person which process it was, and no two are the same.
fn holder(now: DateTime<Utc>) -> String {
    let host = hostname::get().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned());
    format!("{host}-{}-{}", std::process::id(), ids::new(now).simple())
}

/// Waits for every role, and gives the first error.
async fn all_ended(mut running: Running, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let mut ended = ended.context("a role broke down").flatten();
        if ended.is_ok() && !stop.is_cancelled() {
            ended = Err(anyhow!("a role ended although nobody had asked it to"));
        }
        stop.cancel();
        result = result.and(ended);
    }
    result
}

async fn close(db: &Db) {
    if timeout(CLOSING, db.close()).await.is_err() {
        tracing::warn!("the database was left without being closed; nothing that was stored is lost");
    }
}

async fn obey_signals(stop: CancellationToken) {
    if let Err(error) = stop_then_exit(&stop).await {
        tracing::error!(%error, "signals cannot be received; only killing ends this process");
    }
}

async fn stop_then_exit(stop: &CancellationToken) -> io::Result<()> {
    told_to_stop().await?;
    tracing::info!("stopping; once more ends the process at once");
    stop.cancel();
    told_to_stop().await?;
    std::process::exit(STOPPED_AT_ONCE);
}

#[cfg(unix)]
pub(super) async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) async fn told_to_stop() -> io::Result<()> {
    signal::ctrl_c().await
}
