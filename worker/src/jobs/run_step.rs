//! Runs a step: claim, act outside any transaction, record; then goes on with the step that the record made ready.

use std::time::Duration;

use serde_json::Value;
use shared::domain::workflow::{Claim, Command};
use shared::engine;
use shared::ids::WorkflowId;
use shared::store::StoreResult;
use shared::template::Templates;
use shared::tokens::jitter;
use tracing::Instrument;

use crate::Worker;
use crate::actions::{ActionError, Done, Run};

/// Claims the step and runs it; does nothing if there is nothing to claim.
pub async fn run(worker: &Worker, workflow: WorkflowId, step: String) -> StoreResult<()> {
    let claim = worker.order(workflow, Command::Claim { step }).await;
    run_chain(worker, workflow, claim).await;
    Ok(())
}

/// Runs a claimed step, then the one that its end made ready, and so on.
pub async fn run_chain(worker: &Worker, workflow: WorkflowId, mut claim: Option<Claim>) {
    while let Some(held) = claim {
        let span = tracing::info_span!("step", step.id = %held.at.step, step.action = %held.spec.action,
            step.attempt = held.at.number);
        claim = match attempt(worker, workflow, &held).instrument(span).await {
            Some(command) => worker.order(workflow, command).await,
            None => None,
        };
    }
}

/// One attempt; gives what to record, or nothing if the lease is lost.
async fn attempt(worker: &Worker, workflow: WorkflowId, claim: &Claim) -> Option<Command> {
    let lease = worker.leases.keep(workflow, &claim.at);
    let at = claim.at.clone();
    let limit = Duration::from_secs(u64::from(claim.spec.timeout_s));
    tokio::select! {
        command = act(worker, workflow, claim) => Some(command),
        () = lease.lost.cancelled() => {
            tracing::info!("cancelled or taken over; given up");
            None
        }
        () = worker.hand_back.cancelled() => Some(Command::HandBack { at }),
        () = tokio::time::sleep(limit) => Some(Command::Fail {
            at,
            error: format!("timed out after {} s", claim.spec.timeout_s),
            retry: Some(Duration::ZERO),
            jitter: jitter(),
        }),
    }
}

async fn act(worker: &Worker, workflow: WorkflowId, claim: &Claim) -> Command {
    let at = claim.at.clone();
    let run = match prepare(worker, workflow, claim).await {
        Ok(Some(run)) => run,
        Ok(None) => return Command::Skip { at },
        Err(error) => return failed(claim, error),
    };
    match worker.actions.run(&run).await {
        Ok(Done::Output(output)) => Command::Complete { at, output: without_nul(output) },
        Ok(Done::WaitUntil(until)) => {
            let reason = format!("Waiting until {}", until.format("%Y-%m-%d %H:%M:%S UTC"));
            Command::Wait { at, until: Some(until), reason }
        }
        Ok(Done::WaitForHuman { reason }) => Command::Wait { at, until: None, reason },
        Err(error) => failed(claim, error),
    }
}

fn failed(claim: &Claim, error: ActionError) -> Command {
    let (error, retry) = match error {
        ActionError::Retry(error) => (error, Some(Duration::ZERO)),
        ActionError::RetryAfter(error, pause) => (error, Some(pause)),
        ActionError::Fail(error) => (error, None),
    };
    Command::Fail { at: claim.at.clone(), error, retry, jitter: jitter() }
}

/// Checks the condition and renders the parameters; `None`: the condition is false.
async fn prepare(worker: &Worker, workflow: WorkflowId, claim: &Claim) -> Result<Option<Run>, ActionError> {
    let spec = &claim.spec;
    let services = &worker.services;
    let mut run = Run {
        workflow,
        step: claim.at.step.clone(),
        attempt: claim.at.number,
        now: services.clock.now(),
        action: spec.action.clone(),
        with: spec.with.clone(),
        limit: Duration::from_secs(u64::from(spec.timeout_s)),
    };
    if spec.when.is_none() && !has_templates(&spec.with) {
        return Ok(Some(run));
    }
    let unread = |error: shared::store::StoreError| {
        tracing::warn!(%error, "the step's input was not read");
        ActionError::Retry("the step's input could not be read just now".into())
    };
    let mut reader = services.db.read().await.map_err(unread)?;
    let scope = engine::scope(&mut reader, workflow, !spec.needs.is_empty()).await.map_err(unread)?;
    drop(reader);
    let bad = |error: shared::template::TemplateError| ActionError::Fail(error.to_string());
    if let Some(when) = &spec.when
        && !services.templates.eval_bool(when, &scope).map_err(bad)?
    {
        return Ok(None);
    }
    run.with = services.templates.render_value(&spec.with, &scope).map_err(bad)?;
    Ok(Some(run))
}

fn has_templates(value: &Value) -> bool {
    match value {
        Value::String(text) => Templates::is_template(text),
        Value::Array(items) => items.iter().any(has_templates),
        Value::Object(map) => map.values().any(has_templates),
        _ => false,
    }
}

/// `PostgreSQL` stores no NUL in text or JSON, so an output that has one would never be recorded.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k.replace('\0', ""), without_nul(v))).collect(),
        other => other,
    }
}
