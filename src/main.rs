//! `autoos`, the program: reads the command line and runs one command.
//!
//! What each command does is in `commands/`, how the parts are put together in `boot.rs`.

mod boot;
mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs intents given in plain words as durable workflows. Without a command: `serve`.
#[derive(Debug, Parser)]
#[command(name = "autoos", version)]
struct Cli {
    /// The configuration file; the environment wins over it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<commands::Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(commands::Command::Serve);
    match command.run(cli.config.as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::report(&error),
    }
}
