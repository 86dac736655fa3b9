//! `GET /payments/qr-code/{payment_id}`, also with `.svg` or `.png` behind the id.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use shared::qr;

use super::QrBody;
use crate::App;
use crate::error::ApiResult;
use crate::extract::{QrForm, ReadablePayment};

/// A payment with its code; or only the code as a picture, if `.svg` or `.png` stands behind the id.
#[utoipa::path(get, path = "/payments/qr-code/{payment_id}", tag = "Payments", security(("bearer" = [])),
    params(("payment_id" = String, Path, description = "The payment, or with .svg or .png behind it: its picture")),
    responses(
    (status = 200, description = "The payment, or the picture",
        content((QrBody = "application/json"), ("image/svg+xml"), ("image/png"))),
    (status = 403, description = "The payment is somebody else's"),
))]
pub async fn get(State(app): State<App>, ReadablePayment { payment, form }: ReadablePayment) -> ApiResult<Response> {
    Ok(match form {
        QrForm::Json => Json(QrBody::new(&payment, &app.services.config)?).into_response(),
        QrForm::Svg => ([(CONTENT_TYPE, "image/svg+xml")], qr::svg(&payment.payload)?).into_response(),
        QrForm::Png => ([(CONTENT_TYPE, "image/png")], qr::png(&payment.payload)?).into_response(),
    })
}
