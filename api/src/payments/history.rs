//! `GET /payments/history`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::{self, Filter};
use utoipa::IntoParams;
use uuid::Uuid;

use super::body::PaymentBody;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{CurrentUser, Page, PageQuery, Paged};

/// Whose payments or invoices to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// For admins: only those of this account. Of anybody else it says nothing.
    user_id: Option<Uuid>,
}

/// The signed-in user's payments and what was given back of them, the newest first; for admins those of all.
#[utoipa::path(get, path = "/payments/history", tag = "Payments", security(("bearer" = [])),
    params(HistoryQuery, PageQuery), responses(
    (status = 200, description = "A page of payments", body = Paged<PaymentBody>),
))]
pub async fn history(
    State(app): State<App>,
    current: CurrentUser,
    page: Page,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<PaymentBody>>> {
    let user = HistoryQuery::whose(query, &current)?;
    Ok(Json(payments(&app, &page, Filter { user, ..Filter::default() }).await?))
}

impl HistoryQuery {
    /// Whose are to be listed; none: everybody's.
    pub fn whose(query: Result<Query<Self>, QueryRejection>, current: &CurrentUser) -> ApiResult<Option<UserId>> {
        let bad = |_| ApiError::new(Code::BadRequest, "user_id must be an id.");
        let Query(query) = query.map_err(bad)?;
        Ok(if current.user.is_admin() { query.user_id.map(UserId) } else { Some(current.user.id) })
    }
}

/// A page of payments as they are now.
pub async fn payments(app: &App, page: &Page, filter: Filter) -> ApiResult<Paged<PaymentBody>> {
    let now = app.services.clock.now();
    let filter = Filter { before: page.after_id()?.map(PaymentId), ..filter };
    let mut reader = app.services.db.read().await?;
    let payments = payments::list(&mut reader, &filter, page.rows()).await?;
    let page = page.of(payments, |payment| payment.id.to_string());
    let items = page.items.into_iter().map(|payment| PaymentBody::new(&payment.seen_at(now))).collect();
    Ok(Paged { items, next_cursor: page.next_cursor })
}
