//! Tells a workflow's `callback_url` that the workflow ended.

use chrono::TimeDelta;
use serde_json::json;
use shared::ids::WorkflowId;
use shared::job::Job;
use shared::store::{StoreResult, outbox, workflow_rows, workflows};

use crate::Worker;
use crate::actions::{ActionError, Run};

/// For how long a callback is tried.
const TRY_FOR: TimeDelta = TimeDelta::hours(24);
/// The pause between two tries.
const PAUSE: TimeDelta = TimeDelta::minutes(10);

/// Posts the workflow's end once; a repeated delivery shows the same `Idempotency-Key`.
pub async fn run(worker: &Worker, workflow: WorkflowId) -> StoreResult<()> {
    let services = &worker.services;
    let job = Job::Callback { workflow };
    let mut reader = services.db.read().await?;
    let view = workflows::view(&mut reader, workflow).await?;
    drop(reader);
    let now = services.clock.now();
    let told = view.as_ref().and_then(|view| view.completed_at);
    let mut retry = false;
    // A workflow that was resumed meanwhile tells of its next end.
    if let Some(view) = view.filter(|view| view.status.ended())
        && let Some(url) = view.callback_url
    {
        let run = Run {
            workflow,
            step: "callback".into(),
            attempt: 1,
            now,
            action: "http.request".into(),
            with: json!({"method": "POST", "url": url, "body": {
                "type": format!("workflow.{}", view.status),
                "timestamp": view.completed_at,
                "data": {"workflow_id": workflow, "status": view.status, "error": view.error},
            }}),
            limit: std::time::Duration::from_secs(30),
        };
        let over = view.completed_at.is_none_or(|ended| now - ended > TRY_FOR);
        match worker.actions.run(&run).await {
            Ok(_) => {}
            Err(ActionError::Retry(error) | ActionError::RetryAfter(error, _)) if !over => {
                tracing::warn!(%error, "the callback was not taken; trying again");
                retry = true;
            }
            Err(error) => tracing::warn!(%error, "the callback is given up"),
        }
    }
    let mut tx = services.db.begin().await?;
    let locked = workflow_rows::lock(&mut tx, &[workflow]).await?.pop();
    if locked.is_some_and(|locked| locked.completed_at != told && locked.completed_at.is_some()) {
        // It was resumed and has ended again meanwhile: the row now stands for that end.
        return Ok(());
    }
    if retry {
        outbox::put(&mut tx, &[(job, now + PAUSE)]).await?;
    } else {
        outbox::delete(&mut tx, &[job.key()]).await?;
    }
    tx.commit().await
}
