//! `GET /payments/qr-code/transactions`: for admins.

use axum::Json;
use axum::extract::State;
use shared::domain::payment::PaymentKind;
use shared::store::payments::Filter;

use crate::App;
use crate::error::ApiResult;
use crate::extract::{Admin, Page, PageQuery, Paged};
use crate::payments::body::PaymentBody;
use crate::payments::history::payments;

/// Everybody's payments by QR code, the newest first.
#[utoipa::path(get, path = "/payments/qr-code/transactions", tag = "Admin", security(("bearer" = [])),
    params(PageQuery), responses(
    (status = 200, description = "A page of payments", body = Paged<PaymentBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn transactions(State(app): State<App>, _: Admin, page: Page) -> ApiResult<Json<Paged<PaymentBody>>> {
    let filter = Filter { kind: Some(PaymentKind::Qr), ..Filter::default() };
    Ok(Json(payments(&app, &page, filter).await?))
}
