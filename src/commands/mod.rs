//! The commands of the program: a line each, and how their errors are told.
//!
//! Each command is one file with one `run`. To add one: a variant of [`Command`], whose comment becomes its `--help`, an
//! arm in [`Command::run`], and the file.

mod admin;
mod bench;
mod doctor;
mod email;
mod migrate;
mod openapi;
mod scheduler;
mod serve;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use shared::config::Faults;

use serve::Role;

/// The exit code for a configuration that cannot be used.
const FAULTY_CONFIGURATION: u8 = 2;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs API, worker and scheduler in one process (what `autoos` alone does)
    Serve,
    /// Runs the API alone; needs Postgres and Redis
    Api,
    /// Runs a worker alone; needs Postgres and Redis
    Worker,
    /// Runs the scheduler alone (needs Postgres and Redis), or one duty once
    Scheduler(scheduler::Options),
    /// Brings the database's schema up to date; every role does so when it starts
    Migrate,
    /// Checks the configuration, every connection, and that the stored data is sound
    Doctor,
    /// Accounts, credits and stuck work
    #[command(subcommand)]
    Admin(admin::Admin),
    /// The mails that AUTOOS writes
    #[command(subcommand)]
    Email(email::Email),
    /// Measures this build on this machine and compares it with the project's goals; needs Linux
    Bench(bench::Options),
    /// Prints the OpenAPI document of the API
    Openapi,
}

impl Command {
    /// Runs the command to its end.
    pub async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        match self {
            Self::Serve => serve::run(config, &Role::ALL).await,
            Self::Api => serve::run(config, &[Role::Api]).await,
            Self::Worker => serve::run(config, &[Role::Worker]).await,
            Self::Scheduler(options) => scheduler::run(config, options).await,
            Self::Migrate => migrate::run(config).await,
            Self::Doctor => doctor::run(config).await,
            Self::Admin(command) => admin::run(config, command).await,
            Self::Email(command) => email::run(command),
            Self::Bench(options) => bench::run(&options).await,
            Self::Openapi => openapi::run(),
        }
    }
}

/// Tells why a command failed: faults of the configuration one a line with exit code 2, all else in one line with 1.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let Some(faults) = error.downcast_ref::<Faults>() else {
        eprintln!("autoos: {}", one_line(error));
        return ExitCode::FAILURE;
    };
    eprintln!("autoos: the configuration cannot be used");
    for fault in &faults.0 {
        eprintln!("  {fault}");
    }
    ExitCode::from(FAULTY_CONFIGURATION)
}

/// An error and its causes. Many errors repeat their cause in their own text; it is told once.
fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in error.chain().map(ToString::to_string) {
        if !parts.iter().any(|told| told.contains(&part)) {
            parts.push(part);
        }
    }
    parts.join(": ").lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use clap::CommandFactory;

    use super::one_line;

    #[test]
    fn a_cause_that_its_error_repeats_is_told_once() {
        let error = Err::<(), _>(anyhow!("no such host")).context("Redis: no such host").context("the queue is away");
        assert_eq!(one_line(&error.unwrap_err()), "the queue is away: Redis: no such host");
    }

    #[test]
    fn an_error_of_many_lines_becomes_one() {
        assert_eq!(one_line(&anyhow!("first\nsecond")), "first; second");
    }

    #[test]
    fn the_command_line_is_consistent() {
        crate::Cli::command().debug_assert();
    }
}
