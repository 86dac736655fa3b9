//! Gives stuck jobs another push, and removes what handled messages leave in the queue.
//!
//! The longer nobody handles a job, the more rarely it is handed out; what held it up may be over long before its next
//! turn.

use chrono::{DateTime, Utc};
use shared::services::Services;
use shared::store::outbox;

use super::DutyError;

/// A job that was handed out this often counts as stuck.
const PUSHES: i64 = 8;

/// Makes stuck jobs due now and tidies the queue.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let mut tx = services.db.begin().await?;
    let jobs = outbox::requeue(&mut tx, now, PUSHES).await?;
    tx.commit().await?;
    if jobs > 0 {
        tracing::warn!(outbox.requeued = jobs, "jobs were stuck");
        services.queue.wake().await;
    }
    let leftovers = services.queue.janitor().await?;
    if leftovers > 0 {
        tracing::info!(queue.removed = leftovers, "the queue was tidied");
    }
    Ok(format!("{jobs} stuck jobs, {leftovers} leftovers"))
}
