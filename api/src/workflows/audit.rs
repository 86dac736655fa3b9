//! `GET /api/v1/workflows/{id}/audit`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::domain::audit::Entry;
use shared::ids::WorkflowId;
use shared::store::workflows;
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiResult;
use crate::extract::{Page, PageQuery, ReadableWorkflow};

/// A page of a workflow's audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct Trail {
    #[schema(value_type = uuid::Uuid)]
    workflow_id: WorkflowId,
    /// In the order in which it happened.
    entries: Vec<EntryBody>,
    /// How many there are in all.
    total_entries: i64,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryBody {
    /// `<workflow>:<sequence>`.
    entry_id: String,
    /// Position in the trail, from 1.
    sequence: i64,
    /// What, in the form `step.completed`.
    event: String,
    /// Who: `user:<id>`, `admin:<id>` or `engine`.
    actor: String,
    /// The step, if it is about one.
    step: Option<String>,
    /// More about it.
    #[schema(value_type = Object)]
    detail: Value,
    /// When.
    at: DateTime<Utc>,
    /// SHA-256 over this entry and the hash before it.
    hash: String,
}

/// Everything that happened to a workflow, in order; each entry's hash covers the one before it.
#[utoipa::path(get, path = "/api/v1/workflows/{id}/audit", tag = "Workflows", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The workflow"), PageQuery), responses(
    (status = 200, description = "A page of the audit trail", body = Trail),
    (status = 403, description = "It belongs to somebody else"),
))]
pub async fn audit(
    State(app): State<App>,
    ReadableWorkflow(view): ReadableWorkflow,
    page: Page,
) -> ApiResult<Json<Trail>> {
    let after = match &page.after {
        None => 0,
        Some(seq) => seq.parse().map_err(|_| Page::bad_cursor())?,
    };
    let mut reader = app.services.db.read().await?;
    let total_entries = workflows::audit_count(&mut reader, view.id).await?;
    let entries = workflows::audit(&mut reader, view.id, after, page.rows()).await?;
    let page = page.of(entries, |entry| entry.seq.to_string());
    let entries = page.items.into_iter().map(|entry| EntryBody::new(view.id, entry)).collect();
    Ok(Json(Trail { workflow_id: view.id, entries, total_entries, next_cursor: page.next_cursor }))
}

impl EntryBody {
    fn new(workflow: WorkflowId, entry: Entry) -> Self {
        Self {
            entry_id: format!("{workflow}:{}", entry.seq),
            sequence: entry.seq,
            event: entry.event,
            actor: entry.actor,
            step: entry.step,
            detail: entry.detail,
            at: entry.at,
            hash: entry.hash,
        }
    }
}
