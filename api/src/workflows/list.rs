//! `GET /api/v1/workflows`

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use shared::domain::status::WorkflowStatus;
use shared::ids::WorkflowId;
use shared::store::workflows::{self, Filter};
use utoipa::IntoParams;

use super::get::Summary;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{CurrentUser, Page, PageQuery, Paged};

/// Which workflows to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those in this state.
    status: Option<WorkflowStatus>,
    /// Only those whose intent contains this, in any case.
    q: Option<String>,
}

/// The signed-in user's workflows, newest first.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "Workflows", security(("bearer" = [])),
    params(ListQuery, PageQuery), responses(
    (status = 200, description = "A page of workflows", body = Paged<Summary>),
))]
pub async fn list(
    State(app): State<App>,
    current: CurrentUser,
    page: Page,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Json<Paged<Summary>>> {
    let bad = |_| {
        let states = "pending, running, paused, completed, failed or cancelled";
        ApiError::new(Code::BadRequest, format!("status must be one of {states}."))
    };
    let Query(query) = query.map_err(bad)?;
    let before = page.after_id()?.map(WorkflowId);
    let text = query.q.map(|text| text.to_lowercase()).filter(|text| !text.contains('\0'));
    let filter = Filter { status: query.status, text, before };
    let mut reader = app.services.db.snapshot().await?;
    let views = workflows::list(&mut reader, current.user.id, &filter, page.rows()).await?;
    let page = page.of(views, |view| view.id.to_string());
    let ids: Vec<_> = page.items.iter().map(|view| view.id).collect();
    let steps = workflows::step_views(&mut reader, &ids).await?;
    let items = page.items.iter().map(|view| {
        let mine: Vec<_> = steps.iter().filter(|step| step.workflow_id == view.id).cloned().collect();
        Summary::new(view, &mine)
    });
    Ok(Json(Paged { items: items.collect(), next_cursor: page.next_cursor }))
}
