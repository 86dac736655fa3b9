//! Turns an accepted intent into steps, and starts the first.

use shared::domain::workflow::Command;
use shared::ids::WorkflowId;
use shared::job::Job;
use shared::store::{StoreResult, outbox};

use super::run_step;
use crate::Worker;

/// Plans the workflow unless that has been done.
pub async fn run(worker: &Worker, workflow: WorkflowId) -> StoreResult<()> {
    let services = &worker.services;
    let origin = match worker.origins.ask(workflow).await {
        Some(Ok(origin)) => origin,
        Some(Err(error)) => {
            tracing::warn!(%error, "the intent was not read; the job comes again");
            return Ok(());
        }
        None => return Ok(()),
    };
    let Some(origin) = origin else {
        let mut tx = services.db.begin().await?;
        outbox::delete(&mut tx, &[Job::PlanWorkflow { workflow }.key()]).await?;
        return tx.commit().await;
    };
    let given = origin.plan.as_ref().map(|plan| &plan.0);
    let planned = services.planner.plan(&origin.intent, &origin.context, given);
    // A given plan was checked when it was accepted, but a recipe from a folder has never met the catalogue.
    let faults = services.catalogue.check(&planned.plan, "plan");
    let command = match faults.first() {
        None => {
            let costs = services.catalogue.costs(&planned.plan);
            Command::Plan { costs, plan: planned.plan.into_owned(), by: planned.by.to_string() }
        }
        Some(fault) => Command::RefusePlan {
            error: format!("The plan by {} cannot run: {} {}", planned.by, fault.field, fault.message),
        },
    };
    let claim = worker.order(workflow, command).await;
    run_step::run_chain(worker, workflow, claim).await;
    Ok(())
}
