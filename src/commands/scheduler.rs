//! `autoos scheduler`: the timetable in a process of its own, or one duty once, for trying it out and for external timers.

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args;
use shared::clock::Clock;

use super::serve::{self, Role};
use crate::boot;

/// What to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Does this duty once, now, and ends; works with SQLite too
    #[arg(long, value_name = "DUTY")]
    once: Option<String>,
    /// Does it as if it were this time
    #[arg(long, value_name = "RFC3339", requires = "once")]
    now: Option<DateTime<Utc>>,
}

/// Runs the timetable, or the one duty.
pub async fn run(file: Option<&Path>, options: Options) -> anyhow::Result<()> {
    let Some(duty) = options.once else { return serve::run(file, &[Role::Scheduler]).await };
    let clock = options.now.map_or(Clock::System, Clock::manual);
    let services = boot::services(boot::config(file)?, clock).await?;
    let done = ::scheduler::once(&services, &duty, services.clock.now()).await;
    services.db.close().await;
    println!("{}", done?);
    Ok(())
}
