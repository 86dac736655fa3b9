//! Payments by QR code. Nobody tells the program that one was made by UPI: an admin finds the money at the bank, and
//! says so. Of the pages that codes of the other scheme lead to, Stripe tells.

mod by_stripe;
pub mod confirm;
pub mod create;
pub mod get;
pub mod transactions;

use serde::Serialize;
use shared::config::Config;
use shared::qr;
use shared::store::payments::Payment;
use utoipa::ToSchema;

use super::body::PaymentBody;
use crate::error::ApiResult;

/// A payment with its QR code.
#[derive(Debug, Serialize, ToSchema)]
pub struct QrBody {
    #[serde(flatten)]
    payment: PaymentBody,
    /// What the code says.
    payload: String,
    /// The code as SVG.
    svg: String,
    /// Where the code is as PNG; the access token opens it.
    #[schema(format = "uri")]
    png_url: String,
}

impl QrBody {
    /// A payment as it is stored.
    pub fn new(payment: &Payment, config: &Config) -> ApiResult<Self> {
        Ok(Self {
            payment: PaymentBody::new(payment),
            payload: payment.payload.clone(),
            svg: qr::svg(&payment.payload)?,
            png_url: config.link(&format!("/payments/qr-code/{}.png", payment.id)),
        })
    }
}
