//! `autoos migrate`: brings the database's schema up to date and ends, for deployments that do so before they start roles.

use std::path::Path;

use crate::boot;

/// Applies the migrations that are missing.
pub async fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let db = boot::database(&boot::config(file)?).await?;
    let result = boot::migrate(&db).await;
    db.close().await;
    result?;
    println!("The database is up to date.");
    Ok(())
}
