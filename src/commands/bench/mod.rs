//! `autoos bench`: measures this build on this machine and compares it with the project's goals.
//!
//! It starts the roles as processes of their own, in a temporary folder, with a database of their own, and asks them
//! over HTTP as clients would. What the database can do by itself is measured in the same run: figures of two machines
//! cannot be compared, ratios can. To measure one more thing: a phase in `phases.rs`, its row in [`measure_all`].

mod client;
mod load;
mod phases;
mod place;
mod process;
mod report;
mod servers;
mod signins;
mod system;
mod usage;
mod users;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use shared::clock::Clock;
use shared::store::measure;
use shared::tokens;

use self::load::Load;
use self::phases::Throughput;
use self::place::Place;
use self::report::{Goals, Row};
use self::signins::Hashed;
use self::system::System;
use self::usage::Watch;
use self::users::Users;
use super::serve;

/// How long nothing happens before the idle system is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// How long warming up takes.
const WARM_UP: Duration = Duration::from_secs(1);

/// What to measure, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// Measures roles in processes of their own on Postgres and Redis, which it starts unless their URLs are given
    #[arg(long)]
    scaled: bool,
    /// Seconds that the load of each measurement lasts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// A Postgres server; the benchmark makes a database of its own there and drops it in the end
    #[arg(long, value_name = "URL", requires = "redis_url")]
    database_url: Option<String>,
    /// A Redis server that nothing else uses; a few keys stay there
    #[arg(long, value_name = "URL", requires = "database_url")]
    redis_url: Option<String>,
    /// Processes that answer HTTP, when scaled
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    api_processes: u8,
    /// Processes that work, when scaled
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    worker_processes: u8,
    /// Measures again behind that many finished workflows, about 5 KB of disk each; the goal is for 5 million
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64))]
    history: u64,
    /// Where the temporary folder is made; the disk under it is measured too
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Options {
    const fn is_scaled(&self) -> bool {
        self.scaled || self.database_url.is_some()
    }

    /// Processes that answer HTTP.
    const fn apis(&self) -> u8 {
        if self.is_scaled() { self.api_processes } else { 1 }
    }

    const fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures and prints the table. Whatever was started or made is gone afterwards, also after an interruption.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    usage::check()?;
    // From here on a signal no longer ends the process by itself, so that everything can be taken down.
    let interrupted = tokio::spawn(serve::told_to_stop());
    if options.database_url.is_some() {
        report::progress("CPU time of every process here that is called postgres or redis-server");
    }
    let place = Place::open(options).await?;
    let rows = tokio::select! {
        rows = measure_all(options, &place) => rows,
        _ = interrupted => Err(anyhow!("interrupted; everything that was started is stopped")),
    };
    place.close().await;
    let rows = rows?;
    let mode = if options.is_scaled() { "scaled" } else { "embedded" };
    println!("autoos {}, {mode}, {} s of load each", env!("CARGO_PKG_VERSION"), options.seconds);
    print!("{}", report::table(&rows));
    Ok(())
}

async fn measure_all(options: &Options, place: &Place) -> anyhow::Result<Vec<Row>> {
    let goals = if options.is_scaled() { Goals::SCALED } else { Goals::EMBEDDED };
    report::progress("the limit: single inserts");
    let limit = place.single_inserts(options.span()).await?;
    let password = signins::hashed(options.apis().into()).await?;
    let secret = tokens::random()?.0;
    let users = Users::create(place.db(), &secret, &password.hash, Clock::System.now()).await?;
    let system = System::start(place, &secret, options).await?;
    let load = Load { apis: &system.apis, users: &users, db: place.db() };
    let watch = Watch { roles: system.pids(), servers: place.servers() };

    let mut rows = vec![
        Row::new("single inserts, each committed alone: the limit", "/s", limit),
        Row::new("start-up to ready", "ms", phases::millis(system.ready_after)),
    ];
    rows.extend(idle(&watch, &goals).await?);
    rows.extend(latency(&load, options, &goals).await?);
    let began = measure::before_all_from(Clock::System.now());
    report::progress("workflows of three steps in a chain");
    let empty = phases::wf3(&load, &watch, options.span()).await?;
    rows.push(Row::new("wf3", "/s", empty.per_second).at_least(goals.wf3_per_second).limit(limit));
    rows.push(Row::new("CPU of one wf3, everything counted", "us", empty.cpu_us).at_most(goals.wf3_cpu_us));
    report::progress("accepting intents");
    let accepting = phases::accepting(&load, &watch, options.span()).await?;
    let goal = goals.accepted_of_limit * limit;
    rows.push(Row::new("intents accepted", "/s", accepting.per_second).at_least(goal).limit(limit));
    rows.push(Row::new("CPU of one accepted intent, everything counted", "us", accepting.cpu_us));
    rows.push(Row::new("memory of all roles, most under load", "MB", watch.peak_memory()?).at_most(Goals::LOADED_MB));
    rows.extend(signing_in(&load, options, &password).await?);
    rows.push(Row::new("memory of all roles, most with the flood as well", "MB", watch.peak_memory()?));
    if options.history > 0 {
        let template = load.first_completed(began).await?;
        drop(system);
        phases::fill_history(place.db(), template, options.history).await?;
        let again = behind_history(options, place, (&secret, &users)).await?;
        let ratio = again.cpu_us / empty.cpu_us;
        rows.push(Row::new("wf3 behind the history", "/s", again.per_second));
        rows.push(Row::new("CPU of one wf3 behind the history, of empty", "x", ratio).at_most(Goals::HISTORY_RATIO));
    }
    Ok(rows)
}

/// The system at rest: memory, and what it does although nothing is to be done.
async fn idle(watch: &Watch, goals: &Goals) -> anyhow::Result<Vec<Row>> {
    report::progress("the idle system");
    tokio::time::sleep(SETTLE).await;
    let cpu = phases::idle_cpu(watch).await?;
    Ok(vec![
        Row::new("memory of all roles, idle", "MB", watch.memory()?).at_most(Goals::IDLE_MB),
        Row::new("idle CPU of all roles and servers, of a core", "%", cpu * 100.0).at_most(goals.idle_percent),
    ])
}

/// How long an intent waits while little is to be done.
async fn latency(load: &Load<'_>, options: &Options, goals: &Goals) -> anyhow::Result<Vec<Row>> {
    report::progress("submit to start at 20 per second");
    phases::latency(load, WARM_UP).await?;
    let found = phases::latency(load, options.span() * 2).await?;
    Ok(vec![
        Row::new("submit to first step starts, p50", "ms", found.start.0).at_most(goals.start_ms.0),
        Row::new("submit to first step starts, p99", "ms", found.start.1).at_most(goals.start_ms.1),
        Row::new("submit to first step has run, p50", "ms", found.run.0),
        Row::new("submit to first step has run, p99", "ms", found.run.1),
    ])
}

/// What intents and a flood of sign-ins take from each other.
async fn signing_in(load: &Load<'_>, options: &Options, password: &Hashed) -> anyhow::Result<Vec<Row>> {
    let span = options.span() * 2;
    report::progress("submit to answer at 20 per second");
    let alone = phases::answers(load, span).await?;
    report::progress("the same beside a flood of sign-ins");
    let (beside, flooded) = tokio::try_join!(phases::answers(load, span), signins::flood(load.apis, span))?;
    Ok(vec![
        Row::new("submit to answer, alone, p50", "ms", alone.0),
        Row::new("submit to answer, alone, p99", "ms", alone.1),
        Row::new("submit to answer, beside a flood of sign-ins, p50", "ms", beside.0).limit(alone.0),
        Row::new("submit to answer, beside a flood of sign-ins, p99", "ms", beside.1).limit(alone.1),
        Row::new("one password checked while nothing else runs", "ms", password.check_ms),
        Row::new("sign-ins of the flood", "/s", flooded.per_second).limit(password.checks_per_second),
        Row::new("sign-in to answer in the flood, p50", "ms", flooded.took_ms.0),
        Row::new("sign-in to answer in the flood, p99", "ms", flooded.took_ms.1),
        Row::new("sign-ins shed with 503 and Retry-After, of all", "%", flooded.shed_percent),
    ])
}

async fn behind_history(
    options: &Options,
    place: &Place,
    (secret, users): (&str, &Users),
) -> anyhow::Result<Throughput> {
    report::progress("the same behind the history");
    let system = System::start(place, secret, options).await?;
    let load = Load { apis: &system.apis, users, db: place.db() };
    let watch = Watch { roles: system.pids(), servers: place.servers() };
    phases::latency(&load, WARM_UP).await?;
    phases::wf3(&load, &watch, options.span()).await
}
