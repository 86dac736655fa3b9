//! Logs: `tracing` to standard error, pretty on a terminal and JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging. A second call in one process changes nothing.
///
/// The filter's syntax is that of `tracing_subscriber::EnvFilter`; a faulty one gives its error.
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("LOG: {error}"))?;
    let pretty = match format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that logging has been started before, which is what was asked for.
    drop(if pretty { builder.try_init() } else { builder.json().try_init() });
    Ok(())
}
