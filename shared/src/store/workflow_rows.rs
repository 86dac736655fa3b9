//! Workflows and steps as rows: loading aggregates under a lock, saving what a command changed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;

use super::{INSERT_END, StoreError, StoreResult, Tx, batch, insert_into, outbox, pieces};
use crate::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use crate::domain::workflow::{Changes, Step, StepSpec, Workflow};
use crate::ids::{UserId, WorkflowId};

#[derive(FromRow)]
struct WorkflowRow {
    id: WorkflowId,
    user_id: UserId,
    status: WorkflowStatus,
    reason: Option<String>,
    error: Option<String>,
    priority: Priority,
    cost: i64,
    max_cost: Option<i64>,
    charged: Charged,
    callback_url: Option<String>,
    planner: Option<String>,
    run_at: Option<DateTime<Utc>>,
    audit_seq: i64,
    audit_hash: String,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct StepRow {
    workflow_id: WorkflowId,
    id: String,
    spec: Json<StepSpec>,
    status: StepStatus,
    attempt: i64,
    failures: i64,
    crashes: i64,
    lease_until: Option<DateTime<Utc>>,
    wake_at: Option<DateTime<Utc>>,
    waiting_since: Option<DateTime<Utc>>,
    reason: Option<String>,
    error: Option<String>,
    cost: i64,
    output_bytes: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// Loads workflows with their steps and locks them until the transaction ends. Always in the order of ids, so that two
/// transactions cannot wait for each other. Unknown ids are left out.
pub async fn lock(tx: &mut Tx, ids: &[WorkflowId]) -> StoreResult<Vec<Workflow>> {
    lock_with(tx, ids, |_, _| None).await
}

/// Like [`lock`], but reads no steps that `known` has for a workflow and the hash of its newest audit entry.
pub async fn lock_with(
    tx: &mut Tx,
    ids: &[WorkflowId],
    known: impl Fn(WorkflowId, &str) -> Option<Vec<Step>>,
) -> StoreResult<Vec<Workflow>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let mut rows: Vec<WorkflowRow> = Vec::with_capacity(ids.len());
    let lock = tx.either("", " for update");
    for piece in pieces(&ids) {
        rows.extend(on!(tx, |c| {
            let mut q = sqlx::QueryBuilder::new(
                "select id, user_id, status, reason, error, priority, cost, max_cost, charged, callback_url, planner, run_at,
                 audit_seq, audit_hash, started_at, completed_at from workflows where id in (",
            );
            piece.push_list(&mut q);
            q.push(") order by id").push(lock);
            q.build_query_as::<WorkflowRow>().fetch_all(&mut *c).await?
        }));
    }
    let mut steps: HashMap<_, _> = HashMap::with_capacity(rows.len());
    let mut unread = Vec::new();
    for row in rows.iter().filter(|row| row.planner.is_some()) {
        match known(row.id, &row.audit_hash) {
            Some(known) => drop(steps.insert(row.id, known)),
            None => unread.push(row.id),
        }
    }
    for piece in pieces(&unread) {
        let read: Vec<StepRow> = on!(tx, |c| {
            let mut q = sqlx::QueryBuilder::new(
                "select workflow_id, id, spec, status, attempt, failures, crashes, lease_until, wake_at, waiting_since,
                 reason, error, cost, output_bytes, started_at, finished_at from steps where workflow_id in (",
            );
            piece.push_list(&mut q);
            q.push(") order by workflow_id, position");
            q.build_query_as().fetch_all(&mut *c).await?
        });
        for step in read {
            steps.entry(step.workflow_id).or_insert_with(Vec::new).push(step.into());
        }
    }
    Ok(rows.into_iter().map(|row| row.with(&mut steps)).collect())
}

impl WorkflowRow {
    fn with(self, steps: &mut HashMap<WorkflowId, Vec<Step>>) -> Workflow {
        Workflow {
            id: self.id,
            user_id: self.user_id,
            status: self.status,
            reason: self.reason,
            error: self.error,
            priority: self.priority,
            cost: self.cost,
            max_cost: self.max_cost,
            charged: self.charged,
            callback: self.callback_url.is_some(),
            run_at: self.run_at,
            planner: self.planner,
            audit_seq: self.audit_seq,
            audit_hash: self.audit_hash,
            started_at: self.started_at,
            completed_at: self.completed_at,
            steps: steps.remove(&self.id).unwrap_or_default(),
        }
    }
}

impl From<StepRow> for Step {
    fn from(row: StepRow) -> Self {
        Self {
            id: row.id,
            spec: row.spec.0.into(),
            status: row.status,
            attempt: row.attempt,
            failures: row.failures,
            crashes: row.crashes,
            lease_until: row.lease_until,
            wake_at: row.wake_at,
            waiting_since: row.waiting_since,
            reason: row.reason,
            error: row.error,
            cost: row.cost,
            output_bytes: row.output_bytes,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

/// Saves what commands did to workflows that were loaded with [`lock`] in this transaction. Every row is compared with
/// what it was; one that is not gives [`StoreError::Conflict`]. Whatever changes a workflow writes an audit entry, but
/// for the reason of a step that goes on waiting, so the number of the newest one is its version.
pub async fn save(tx: &mut Tx, changed: &[(Workflow, Vec<Changes>)]) -> StoreResult<()> {
    let mut inserts = Vec::new();
    let mut updates = Vec::new();
    for (workflow, changes) in changed {
        let planned = changes.iter().any(|c| c.planned);
        for (index, step) in workflow.steps.iter().enumerate() {
            let output = changes.iter().rev().find_map(|c| c.output.as_ref().filter(|(i, _)| *i == index));
            let output = output.map(|(_, value)| value);
            let before = changes.iter().find_map(|c| c.steps.iter().find(|(i, _, _)| *i == index));
            match before {
                _ if planned => inserts.push((workflow, index, step, output)),
                Some((_, status, attempt)) => updates.push((workflow, step, output, (*status, *attempt))),
                None => {}
            }
        }
    }
    let before = |w: &Workflow, all: &[Changes]| w.audit_seq - all.iter().map(|c| c.audit.len() as i64).sum::<i64>();
    let workflows: Vec<_> = changed.iter().map(|(w, changes)| (w, before(w, changes))).collect();
    // First, since the version tells of every conflict.
    update_workflows(tx, &workflows).await?;
    insert_steps(tx, &inserts).await?;
    update_steps(tx, &updates).await?;
    let entries: Vec<_> =
        changed.iter().flat_map(|(w, changes)| changes.iter().flat_map(|c| &c.audit).map(|e| (w.id, e))).collect();
    insert_audit(tx, &entries).await?;
    move_outbox(tx, changed).await
}

/// The last word on each key counts: a command may delete a row that a later one of the same batch puts again.
async fn move_outbox(tx: &mut Tx, changed: &[(Workflow, Vec<Changes>)]) -> StoreResult<()> {
    let mut last = std::collections::BTreeMap::new();
    for changes in changed.iter().flat_map(|(_, changes)| changes) {
        for key in &changes.delete {
            last.insert(key.clone(), None);
        }
        for (job, due) in &changes.put {
            last.insert(job.key(), Some((job.clone(), *due)));
        }
    }
    let delete: Vec<_> = last.iter().filter(|(_, put)| put.is_none()).map(|(key, _)| key.clone()).collect();
    let put: Vec<_> = last.into_values().flatten().collect();
    outbox::delete(tx, &delete).await?;
    outbox::put(tx, &put).await
}

/// Whose steps are called when one of the owner's agents is free, for a step that waits for that.
fn waits_for(workflow: &Workflow, step: &Step) -> Option<UserId> {
    step.waiting_since.map(|_| workflow.user_id)
}

async fn insert_steps(tx: &mut Tx, rows: &[(&Workflow, usize, &Step, Option<&Value>)]) -> StoreResult<()> {
    for piece in pieces(rows) {
        batch!(tx, |q| {
            q.push(insert_into(
                "steps (workflow_id, id, position, spec, status, attempt, failures, crashes, lease_until, wake_at,
                 reason, output, error, cost, started_at, finished_at, waits_for, waiting_since, output_bytes)",
            ));
            q.push_values(piece.marked(), |mut row, (mark, (workflow, index, step, output))| {
                row.push_bind(mark).push_bind(workflow.id).push_bind(step.id.as_str()).push_bind(*index as i64);
                row.push_bind(Json(&*step.spec)).push_bind(step.status.as_str());
                row.push_bind(step.attempt).push_bind(step.failures).push_bind(step.crashes);
                row.push_bind(step.lease_until).push_bind(step.wake_at).push_bind(step.reason.as_deref());
                row.push_bind(output.map(Json)).push_bind(step.error.as_deref()).push_bind(step.cost);
                row.push_bind(step.started_at).push_bind(step.finished_at).push_bind(waits_for(workflow, step));
                row.push_bind(step.waiting_since).push_bind(step.output_bytes);
            });
            q.push(INSERT_END);
        });
    }
    Ok(())
}

type StepUpdate<'a> = (&'a Workflow, &'a Step, Option<&'a Value>, (StepStatus, i64));

async fn update_steps(tx: &mut Tx, rows: &[StepUpdate<'_>]) -> StoreResult<()> {
    for piece in pieces(rows) {
        let done = batch!(tx, |q| {
            q.push(
                "update steps set status = v.column3, attempt = v.column4, failures = v.column5, crashes = v.column6,
                 lease_until = v.column7, wake_at = v.column8, reason = v.column9,
                 output = coalesce(v.column10, steps.output), error = v.column11, cost = v.column12,
                 started_at = v.column13, finished_at = v.column14, waits_for = v.column15, waiting_since = v.column16,
                 output_bytes = v.column17 from (",
            );
            q.push_values(piece.filled(), |mut row, (workflow, step, output, before)| {
                row.push_bind(workflow.id).push_bind(step.id.as_str()).push_bind(step.status.as_str());
                row.push_bind(step.attempt).push_bind(step.failures).push_bind(step.crashes);
                row.push_bind(step.lease_until).push_bind(step.wake_at).push_bind(step.reason.as_deref());
                row.push_bind(output.map(Json)).push_bind(step.error.as_deref()).push_bind(step.cost);
                row.push_bind(step.started_at).push_bind(step.finished_at).push_bind(waits_for(workflow, step));
                row.push_bind(step.waiting_since).push_bind(step.output_bytes);
                row.push_bind(before.0.as_str()).push_bind(before.1);
            });
            q.push(
                ") as v where steps.workflow_id = v.column1 and steps.id = v.column2 and steps.status = v.column18
                 and steps.attempt = v.column19",
            );
        });
        if done != piece.len() as u64 {
            return Err(StoreError::Conflict("step"));
        }
    }
    Ok(())
}

/// Workflows, each with the version that it had.
async fn update_workflows(tx: &mut Tx, rows: &[(&Workflow, i64)]) -> StoreResult<()> {
    for piece in pieces(rows) {
        let done = batch!(tx, |q| {
            q.push(
                "update workflows set status = v.column2, reason = v.column3, error = v.column4, cost = v.column5,
                 max_cost = v.column6, planner = v.column7, audit_seq = v.column8, audit_hash = v.column9,
                 started_at = v.column10, completed_at = v.column11 from (",
            );
            q.push_values(piece.filled(), |mut row, (w, before)| {
                row.push_bind(w.id).push_bind(w.status.as_str()).push_bind(w.reason.as_deref());
                row.push_bind(w.error.as_deref()).push_bind(w.cost).push_bind(w.max_cost);
                row.push_bind(w.planner.as_deref()).push_bind(w.audit_seq).push_bind(w.audit_hash.as_str());
                row.push_bind(w.started_at).push_bind(w.completed_at).push_bind(*before);
            });
            q.push(") as v where workflows.id = v.column1 and workflows.audit_seq = v.column12");
        });
        if done != piece.len() as u64 {
            return Err(StoreError::Conflict("workflow"));
        }
    }
    Ok(())
}

/// Appends audit entries.
pub async fn insert_audit(tx: &mut Tx, rows: &[(WorkflowId, &crate::domain::audit::Entry)]) -> StoreResult<()> {
    for piece in pieces(rows) {
        batch!(tx, |q| {
            q.push(insert_into("audit (workflow_id, seq, at, event, actor, step, detail, hash)"));
            q.push_values(piece.marked(), |mut row, (mark, (workflow, entry))| {
                row.push_bind(mark).push_bind(*workflow).push_bind(entry.seq).push_bind(entry.at);
                row.push_bind(entry.event.as_str()).push_bind(entry.actor.as_str()).push_bind(entry.step.as_deref());
                row.push_bind(Json(&entry.detail)).push_bind(entry.hash.as_str());
            });
            q.push(INSERT_END);
        });
    }
    Ok(())
}
