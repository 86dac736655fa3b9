//! `autoos admin requeue`: hands open work to the workers again, without waiting for it to be found missing.
//!
//! Harmless at any time: a job is a hint, and who handles it asks the database what is true.

use anyhow::Context;
use chrono::{DateTime, Utc};
use shared::domain::status::{StepStatus, WorkflowStatus};
use shared::domain::workflow::{Step, Workflow};
use shared::ids::WorkflowId;
use shared::job::Job;
use shared::store::{Db, outbox, workflow_rows, workflows};
use uuid::Uuid;

/// Everything that was handed out at least once and is still open, or all that one workflow needs to go on.
pub async fn run(db: &Db, workflow: Option<Uuid>, now: DateTime<Utc>) -> anyhow::Result<String> {
    match workflow {
        Some(id) => one(db, WorkflowId(id), now).await,
        None => all(db, now).await,
    }
}

async fn all(db: &Db, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let jobs = outbox::requeue(&mut tx, now, 1).await?;
    tx.commit().await?;
    Ok(format!("{jobs} jobs are due now."))
}

/// Puts the rows that the workflow's state calls for, even if they were lost from the outbox.
async fn one(db: &Db, id: WorkflowId, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let locked = workflow_rows::lock(&mut tx, &[id]).await?.pop();
    let workflow = locked.with_context(|| format!("there is no workflow {id}"))?;
    let run_at = workflows::view(&mut tx, id).await?.and_then(|view| view.run_at);
    let jobs = open_jobs(&workflow, run_at, now);
    outbox::put(&mut tx, &jobs).await?;
    tx.commit().await?;
    Ok(match jobs.len() {
        0 => format!("The workflow is {} and waits for no worker.", workflow.status),
        jobs => format!("{jobs} jobs of the workflow were handed out again."),
    })
}

/// Each at its time: what waits, or is held by a worker that is alive, is not due before that is over.
fn open_jobs(workflow: &Workflow, run_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<(Job, DateTime<Utc>)> {
    let due = |at: Option<DateTime<Utc>>| at.map_or(now, |at| at.max(now));
    let id = workflow.id;
    match workflow.status {
        WorkflowStatus::Pending => vec![(Job::PlanWorkflow { workflow: id }, due(run_at))],
        WorkflowStatus::Running => {
            let open = workflow.steps.iter().filter(|step| needs_a_worker(step));
            let job = |step: &Step| Job::RunStep { workflow: id, step: step.id.clone() };
            open.map(|step| (job(step), due(step.lease_until.or(step.wake_at)))).collect()
        }
        _ => Vec::new(),
    }
}

fn needs_a_worker(step: &Step) -> bool {
    match step.status {
        StepStatus::Ready | StepStatus::Running => true,
        // Without a time it waits for a person.
        StepStatus::Waiting => step.wake_at.is_some(),
        _ => false,
    }
}
