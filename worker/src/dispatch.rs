//! From a message to its job: one match.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;
use shared::job::Job;
use shared::store::{StoreResult, outbox};
use tracing::Instrument;

use crate::lanes::Handler;
use crate::{Worker, jobs};

/// The handler of every lane. It never fails towards the queue: what is not done stays in the outbox.
pub fn handler(worker: Worker) -> Handler {
    Arc::new(move |message| {
        let worker = worker.clone();
        async move {
            match serde_json::from_value::<Job>(message) {
                Ok(job) => run(&worker, job).await,
                Err(error) => tracing::error!(%error, "a message is not a job; dropped"),
            }
        }
        .boxed()
    })
}

/// Does one job.
pub async fn run(worker: &Worker, job: Job) {
    let span = tracing::info_span!("job", job.key = %job.key());
    let done = async {
        match job {
            Job::PlanWorkflow { workflow } => jobs::plan_workflow::run(worker, workflow).await,
            Job::RunStep { workflow, step } => jobs::run_step::run(worker, workflow, step).await,
            Job::SendEmail { mail } => jobs::send_email::run(worker, mail).await,
            Job::Callback { workflow } => jobs::callback::run(worker, workflow).await,
            Job::LetIn { user } => jobs::let_in::run(worker, user).await,
            Job::CloseAccount { user } => jobs::close_account::run(worker, user).await,
            Job::AccountLink { .. } => jobs::account_link::run(worker, job).await,
            Job::SyncCustomer { .. } => jobs::sync_customer::run(worker, job).await,
        }
    };
    async {
        if let Err(error) = done.await {
            tracing::warn!(%error, "the job is not done; it comes again");
        }
    }
    .instrument(span)
    .await;
}

/// Does everything that is due now, without the queue, until nothing is; for tests with a manual clock.
pub async fn run_until_idle(worker: &Worker) -> StoreResult<()> {
    loop {
        let now = worker.services.clock.now();
        let mut due: Vec<Value> = Vec::new();
        for lane in shared::job::Lane::ALL {
            let mut tx = worker.services.db.begin().await?;
            let jobs = outbox::take_due(&mut tx, lane, now, 1_000).await?;
            tx.commit().await?;
            due.extend(jobs.iter().filter_map(|job| serde_json::to_value(job).ok()));
        }
        if due.is_empty() {
            return Ok(());
        }
        let handler = handler(worker.clone());
        futures_util::future::join_all(due.into_iter().map(|message| handler(message))).await;
    }
}
