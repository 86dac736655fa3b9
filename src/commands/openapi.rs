//! `autoos openapi`: prints the API's description, for generators of clients; the running API serves the same.

use std::io::{Write, stdout};

use anyhow::Context;

/// Prints the document.
pub fn run() -> anyhow::Result<()> {
    writeln!(stdout().lock(), "{}", api::openapi().trim_end()).context("the document cannot be written")
}
