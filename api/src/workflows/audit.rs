//! `GET /api/v1/workflows/{id}/audit`

use axum::Json;
use axum::extract::State;
use shared::domain::audit::Entry;
use shared::store::workflows;

use crate::App;
use crate::error::{ApiResult, Problem};
use crate::extract::{Page, PageQuery, Paged, ReadableWorkflow};

/// Everything that happened to a workflow, in order; each entry's hash covers the one before it.
#[utoipa::path(get, path = "/api/v1/workflows/{id}/audit", tag = "Workflows", security(("bearer" = [])),
    params(("id" = String, Path, description = "The workflow"), PageQuery), responses(
    (status = 200, description = "A page of the audit trail", body = Paged<Entry>),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn audit(
    State(app): State<App>,
    ReadableWorkflow(view): ReadableWorkflow,
    page: Page,
) -> ApiResult<Json<Paged<Entry>>> {
    let after = match &page.after {
        None => 0,
        Some(seq) => seq.parse().map_err(|_| Page::bad_cursor())?,
    };
    let mut reader = app.services.db.read().await?;
    let entries = workflows::audit(&mut reader, view.id, after, page.rows()).await?;
    Ok(Json(page.of(entries, |entry| entry.seq.to_string())))
}
