//! `GET /payments/invoices`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::money::Money;
use shared::ids::UserId;
use shared::store::invoices::{self, Filter, Invoice};
use utoipa::ToSchema;
use uuid::Uuid;

use super::history::HistoryQuery;
use crate::App;
use crate::error::ApiResult;
use crate::extract::{CurrentUser, Page, PageQuery, Paged};

/// An invoice of Stripe.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceBody {
    /// Its id.
    invoice_id: Uuid,
    /// Whom it is for.
    #[schema(value_type = Option<Uuid>)]
    user_id: Option<UserId>,
    /// Its number; null before it has one.
    number: Option<String>,
    /// `draft`, `open`, `paid`, `uncollectible` or `void`.
    status: String,
    /// Why it was made, in Stripe's words: `subscription_create`, `subscription_cycle`, `subscription_update` and so
    /// on.
    billing_reason: Option<String>,
    /// What is to be paid in all.
    amount_due: Money,
    /// What of it was paid.
    amount_paid: Money,
    /// The page where it is seen and paid.
    #[schema(format = "uri")]
    hosted_url: Option<String>,
    /// The same as a file.
    #[schema(format = "uri")]
    pdf_url: Option<String>,
    /// The beginning of what it covers.
    period_start: Option<DateTime<Utc>>,
    /// The end of what it covers.
    period_end: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// The signed-in user's invoices, the newest first; for admins those of all.
#[utoipa::path(get, path = "/payments/invoices", tag = "Payments", security(("bearer" = [])),
    params(HistoryQuery, PageQuery), responses(
    (status = 200, description = "A page of invoices", body = Paged<InvoiceBody>),
))]
pub async fn invoices(
    State(app): State<App>,
    current: CurrentUser,
    page: Page,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<InvoiceBody>>> {
    let filter = Filter { user: HistoryQuery::whose(query, &current)?, before: page.after_id()? };
    let mut reader = app.services.db.read().await?;
    let page = page.of(invoices::list(&mut reader, &filter, page.rows()).await?, |invoice| invoice.id.to_string());
    let items = page.items.into_iter().map(InvoiceBody::from).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

impl From<Invoice> for InvoiceBody {
    fn from(invoice: Invoice) -> Self {
        let currency = invoice.currency;
        Self {
            invoice_id: invoice.id,
            user_id: invoice.user_id,
            number: invoice.number,
            status: invoice.status,
            billing_reason: invoice.billing_reason,
            amount_due: Money { minor: invoice.amount_due, currency },
            amount_paid: Money { minor: invoice.amount_paid, currency },
            hosted_url: invoice.hosted_url,
            pdf_url: invoice.pdf_url,
            period_start: invoice.period_start,
            period_end: invoice.period_end,
            created_at: invoice.created_at,
        }
    }
}
