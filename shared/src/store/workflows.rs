//! Workflows as people see them: accepting an intent, reading one, listing, the audit trail; and leases.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;

use super::{INSERT_END, StoreResult, Tx, batch, insert_into, pieces};
use crate::domain::audit::Entry;
use crate::domain::plan::Plan;
use crate::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use crate::domain::workflow::StepSpec;
use crate::ids::{UserId, WorkflowId};

/// An intent that has passed the gate.
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    /// Its id.
    pub id: WorkflowId,
    /// Its owner.
    pub user_id: UserId,
    /// What the owner wants, in plain words.
    pub intent: String,
    /// What templates see as `context`, an object.
    pub context: Value,
    /// Its priority.
    pub priority: Priority,
    /// A plan, if the owner gave one.
    pub plan: Option<Plan>,
    /// The most it may spend, in micro-dollars.
    pub max_cost: Option<i64>,
    /// Whom to call when it ends.
    pub callback_url: Option<String>,
    /// What paid for it.
    pub charged: Charged,
    /// When it should start.
    pub run_at: Option<DateTime<Utc>>,
}

/// Stores accepted intents, each with the first entry of its audit trail.
pub async fn insert(tx: &mut Tx, rows: &[(&NewWorkflow, Entry)]) -> StoreResult<()> {
    for piece in pieces(rows) {
        batch!(tx, |q| {
            q.push(insert_into(
                "workflows (id, user_id, intent, context, priority, plan, status, max_cost, cost, callback_url,
                 charged, run_at, audit_seq, audit_hash, created_at)",
            ));
            q.push_values(piece.marked(), |mut row, (mark, (new, first))| {
                row.push_bind(mark).push_bind(new.id).push_bind(new.user_id).push_bind(new.intent.as_str());
                row.push_bind(Json(&new.context)).push_bind(new.priority.as_str());
                row.push_bind(new.plan.as_ref().map(Json)).push_bind("pending").push_bind(new.max_cost);
                row.push_bind(0_i64).push_bind(new.callback_url.as_deref()).push_bind(new.charged.as_str());
                row.push_bind(new.run_at).push_bind(first.seq).push_bind(first.hash.as_str()).push_bind(first.at);
            });
            q.push(INSERT_END);
        });
    }
    let entries: Vec<_> = rows.iter().map(|(new, first)| (new.id, first)).collect();
    super::workflow_rows::insert_audit(tx, &entries).await
}

/// What planning and templates need to know of a workflow.
#[derive(Debug, Clone, FromRow)]
pub struct Origin {
    /// The workflow.
    pub id: WorkflowId,
    /// The plan that the owner gave.
    pub plan: Option<Json<Plan>>,
    /// The owner's words.
    pub intent: String,
    /// The owner's data.
    #[sqlx(json)]
    pub context: Value,
    /// The owner's address.
    pub email: String,
    /// The owner's full name.
    pub full_name: String,
    /// The owner's user name.
    pub username: String,
}

/// Reads what planning and templates need.
pub async fn origin(tx: &mut Tx, id: WorkflowId) -> StoreResult<Option<Origin>> {
    Ok(origins(tx, &[id]).await?.pop())
}

/// Reads it of several workflows, each once, in any order.
pub async fn origins(tx: &mut Tx, ids: &[WorkflowId]) -> StoreResult<Vec<Origin>> {
    let mut found = Vec::with_capacity(ids.len());
    for piece in pieces(ids) {
        found.extend(on!(tx, |c| {
            let mut q = sqlx::QueryBuilder::new(
                "select w.id, w.plan, w.intent, w.context, u.email, u.full_name, u.username from workflows w
                 join users u on u.id = w.user_id where w.id in (",
            );
            piece.push_list(&mut q);
            q.push(")");
            q.build_query_as::<Origin>().fetch_all(&mut *c).await?
        }));
    }
    Ok(found)
}

/// Outputs of the completed steps of a workflow, for templates.
pub async fn outputs(tx: &mut Tx, id: WorkflowId) -> StoreResult<Vec<(String, Value)>> {
    let rows: Vec<(String, Json<Value>)> = on!(tx, |c| {
        sqlx::query_as("select id, output from steps where workflow_id = $1 and output is not null")
            .bind(id)
            .fetch_all(&mut *c)
            .await?
    });
    Ok(rows.into_iter().map(|(step, Json(output))| (step, output)).collect())
}

/// A workflow as its owner sees it.
#[derive(Debug, Clone, FromRow)]
pub struct WorkflowView {
    /// Its id.
    pub id: WorkflowId,
    /// Its owner.
    pub user_id: UserId,
    /// The owner's words.
    pub intent: String,
    /// Where it stands.
    pub status: WorkflowStatus,
    /// Its priority.
    pub priority: Priority,
    /// What made the plan.
    pub planner: Option<String>,
    /// Why it does not move.
    pub reason: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Spent, in micro-dollars.
    pub cost: i64,
    /// The plan that was given.
    pub plan: Option<Json<Plan>>,
    /// When it should start.
    pub run_at: Option<DateTime<Utc>>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it was planned.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Its callback address.
    pub callback_url: Option<String>,
}

/// A step as its owner sees it.
#[derive(Debug, Clone, FromRow)]
pub struct StepView {
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// Its id.
    pub id: String,
    /// What it does.
    pub spec: Json<StepSpec>,
    /// Where it stands.
    pub status: StepStatus,
    /// Why it does not move.
    pub reason: Option<String>,
    /// Attempts so far.
    pub attempt: i64,
    /// When it first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What came of it.
    pub output: Option<Json<Value>>,
    /// Why it failed.
    pub error: Option<String>,
    /// Spent, in micro-dollars.
    pub cost: i64,
}

/// Reads one workflow.
pub async fn view(tx: &mut Tx, id: WorkflowId) -> StoreResult<Option<WorkflowView>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, user_id, intent, status, priority, planner, reason, error, cost, plan, run_at, created_at,
             started_at, completed_at, callback_url from workflows where id = $1",
        )
        .bind(id)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// The steps of some workflows, in the order of their plans.
pub async fn step_views(tx: &mut Tx, ids: &[WorkflowId]) -> StoreResult<Vec<StepView>> {
    let mut all = Vec::new();
    for piece in pieces(ids) {
        let rows: Vec<StepView> = on!(tx, |c| {
            let mut q = sqlx::QueryBuilder::new(
                "select workflow_id, id, spec, status, reason, attempt, started_at, finished_at, output, error, cost
                 from steps where workflow_id in (",
            );
            piece.push_list(&mut q);
            q.push(") order by workflow_id, position");
            q.build_query_as().fetch_all(&mut *c).await?
        });
        all.extend(rows);
    }
    Ok(all)
}

/// Which workflows of a user a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these.
    pub status: Option<WorkflowStatus>,
    /// Only those whose intent contains this, in lower case.
    pub text: Option<String>,
    /// Only those older than this one.
    pub before: Option<WorkflowId>,
}

/// A user's workflows, newest first.
pub async fn list(tx: &mut Tx, user: UserId, filter: &Filter, limit: i64) -> StoreResult<Vec<WorkflowView>> {
    Ok(on!(tx, |c| {
        let mut q = sqlx::QueryBuilder::new(
            "select id, user_id, intent, status, priority, planner, reason, error, cost, plan, run_at, created_at,
             started_at, completed_at, callback_url from workflows where user_id = ",
        );
        q.push_bind(user);
        if let Some(status) = filter.status {
            q.push(" and status = ").push_bind(status.as_str());
        }
        if let Some(text) = &filter.text {
            let like = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            q.push(" and lower(intent) like ").push_bind(format!("%{like}%")).push(" escape '\\'");
        }
        if let Some(before) = filter.before {
            q.push(" and id < ").push_bind(before);
        }
        q.push(" order by id desc limit ").push_bind(limit);
        q.build_query_as().fetch_all(&mut *c).await?
    }))
}

/// The audit trail from after entry `after`, at most `limit` entries.
pub async fn audit(tx: &mut Tx, id: WorkflowId, after: i64, limit: i64) -> StoreResult<Vec<Entry>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select seq, at, event, actor, step, detail, hash from audit where workflow_id = $1 and seq > $2
             order by seq limit $3",
        )
        .bind(id)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// How many entries a workflow's audit trail has.
pub async fn audit_count(tx: &mut Tx, id: WorkflowId) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select count(*) from audit where workflow_id = $1").bind(id).fetch_one(&mut *c).await?
    }))
}

/// Workflows with the heads of their audit trails, in the order of ids, from after `after`.
pub async fn audit_heads(
    tx: &mut Tx,
    after: Option<WorkflowId>,
    limit: i64,
) -> StoreResult<Vec<(WorkflowId, i64, String)>> {
    let after = after.unwrap_or(WorkflowId(uuid::Uuid::nil()));
    Ok(on!(tx, |c| {
        sqlx::query_as("select id, audit_seq, audit_hash from workflows where id > $1 order by id limit $2")
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *c)
            .await?
    }))
}

/// Extends leases: the attempts that are still held get `until`, the alarm in the outbox moves with them. Gives back
/// those that are still held; the others were cancelled or taken over.
pub async fn extend_leases(
    tx: &mut Tx,
    held: &[(WorkflowId, String, i64)],
    until: DateTime<Utc>,
) -> StoreResult<Vec<(WorkflowId, String)>> {
    let mut kept = Vec::new();
    hold(tx, held.iter().map(|(workflow, ..)| *workflow)).await?;
    for piece in pieces(held) {
        let rows: Vec<(WorkflowId, String)> = on!(tx, |c| {
            let mut q = sqlx::QueryBuilder::new("update steps set lease_until = ");
            q.push_bind(until).push(" from (");
            q.push_values(piece.filled(), |mut row, (workflow, step, attempt)| {
                row.push_bind(*workflow).push_bind(step.clone()).push_bind(*attempt);
            });
            q.push(
                ") as v where steps.workflow_id = v.column1 and steps.id = v.column2 and steps.attempt = v.column3
                 and steps.status = 'running' returning steps.workflow_id, steps.id",
            );
            q.build_query_as().fetch_all(&mut *c).await?
        });
        kept.extend(rows);
    }
    let keys: Vec<_> = kept.iter().map(|(workflow, step)| format!("step:{workflow}:{step}")).collect();
    for piece in pieces(&keys) {
        batch!(tx, |q| {
            q.push("update outbox set due_at = ").push_bind(until).push(", pushes = 0 where key in (");
            piece.push_list(&mut q);
            q.push(")");
        });
    }
    Ok(kept)
}

/// Keeps workflows from being changed until the transaction ends, in the order of their ids like whoever changes them.
async fn hold(tx: &mut Tx, ids: impl Iterator<Item = WorkflowId>) -> StoreResult<()> {
    if tx.has_one_writer() {
        return Ok(());
    }
    let ids: Vec<_> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    for piece in pieces(&ids) {
        batch!(tx, |q| {
            q.push("select 1 from workflows where id in (");
            piece.push_list(&mut q);
            q.push(") order by id for share");
        });
    }
    Ok(())
}

/// How many of a user's workflows are in a state.
pub async fn count(tx: &mut Tx, user: UserId, status: WorkflowStatus) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select count(*) from workflows where user_id = $1 and status = $2")
            .bind(user)
            .bind(status.as_str())
            .fetch_one(&mut *c)
            .await?
    }))
}
