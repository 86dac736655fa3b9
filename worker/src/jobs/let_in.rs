//! Calls waiting steps of an account that may run more steps at once than before.

use std::iter::once;

use shared::ids::UserId;
use shared::job::Job;
use shared::store::{StoreResult, agents, outbox};

use crate::Worker;

/// Calls as many as there are free agents.
pub async fn run(worker: &Worker, user: UserId) -> StoreResult<()> {
    let services = &worker.services;
    let mut tx = services.db.begin().await?;
    // The row goes before the limit is read: whoever changes that afterwards puts another one.
    agents::lock(&mut tx, once(user)).await?;
    outbox::end(&mut tx, &Job::LetIn { user }).await?;
    let called = agents::let_in(&mut tx, &services.config.tiers, once(user), services.clock.now()).await?;
    tx.commit().await?;
    if called {
        services.queue.wake().await;
    }
    Ok(())
}
