//! Cancels what a closed account still runs, and erases what it left. The ledger stays.

use shared::domain::workflow::Command;
use shared::ids::UserId;
use shared::job::Job;
use shared::store::{StoreResult, accounts, outbox};

use crate::Worker;

/// How many workflows one transaction erases.
const BATCH: i64 = 100;

/// Goes on from where an earlier try came to: what has been erased is no longer found.
pub async fn run(worker: &Worker, user: UserId) -> StoreResult<()> {
    let services = &worker.services;
    loop {
        let mut reader = services.db.read().await?;
        let workflows = accounts::workflows(&mut reader, user, BATCH).await?;
        drop(reader);
        if workflows.is_empty() {
            break;
        }
        for (workflow, ended) in &workflows {
            if !ended {
                // A refusal means that it has ended meanwhile.
                drop(services.order(*workflow, Command::Cancel, "engine".to_owned()).await?);
            }
        }
        let ids: Vec<_> = workflows.into_iter().map(|(workflow, _)| workflow).collect();
        let mut tx = services.db.begin().await?;
        accounts::erase_workflows(&mut tx, &ids).await?;
        tx.commit().await?;
    }
    let mut tx = services.db.begin().await?;
    accounts::erase_traces(&mut tx, user).await?;
    outbox::end(&mut tx, &Job::CloseAccount { user }).await?;
    tx.commit().await
}
