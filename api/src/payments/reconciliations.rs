//! `GET /payments/reconciliations`: for admins.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::store::stripe_reconciliations::{self, Reconciliation};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::error::ApiResult;
use crate::extract::{Admin, Page, PageQuery, Paged};

/// One comparison of what is stored with what Stripe says.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciliationBody {
    /// Its id.
    reconciliation_id: Uuid,
    /// What was compared: `events` that Stripe should have told, `full` if everything was read again, or `compare` if
    /// subscriptions were compared.
    kind: String,
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it ended.
    finished_at: DateTime<Utc>,
    /// How much Stripe listed.
    listed: i64,
    /// How much of that was news.
    found: i64,
    /// What else there is to say.
    #[schema(value_type = Object)]
    detail: Value,
}

/// Comparisons of what is stored with what Stripe says, the newest first.
#[utoipa::path(get, path = "/payments/reconciliations", tag = "Admin", security(("bearer" = [])), params(PageQuery),
    responses(
    (status = 200, description = "A page of comparisons", body = Paged<ReconciliationBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn list(State(app): State<App>, _: Admin, page: Page) -> ApiResult<Json<Paged<ReconciliationBody>>> {
    let before = page.after_id()?;
    let mut reader = app.services.db.read().await?;
    let found = stripe_reconciliations::list(&mut reader, before, page.rows()).await?;
    let page = page.of(found, |reconciliation| reconciliation.id.to_string());
    let items = page.items.into_iter().map(ReconciliationBody::from).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

impl From<Reconciliation> for ReconciliationBody {
    fn from(reconciliation: Reconciliation) -> Self {
        Self {
            reconciliation_id: reconciliation.id,
            kind: reconciliation.kind,
            started_at: reconciliation.started_at,
            finished_at: reconciliation.finished_at,
            listed: reconciliation.listed,
            found: reconciliation.found,
            detail: reconciliation.detail,
        }
    }
}
