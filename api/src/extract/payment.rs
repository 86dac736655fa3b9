//! The payment by QR code in a path, for its owner and for admins; the ending of the path says in which form it is
//! wanted.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use shared::domain::payment::{PaymentKind, Scheme};
use shared::ids::PaymentId;
use shared::store::payments::{self, Payment};
use uuid::Uuid;

use super::CurrentUser;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};

/// What is wanted of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QrForm {
    /// All of it.
    Json,
    /// Its code, for any size.
    Svg,
    /// Its code, in pixels.
    Png,
}

/// A payment as it is now, with what is wanted of it.
pub struct ReadablePayment {
    /// The payment.
    pub payment: Payment,
    /// What is wanted.
    pub form: QrForm,
}

impl FromRequestParts<App> for ReadablePayment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = CurrentUser::from_request_parts(parts, app).await?;
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found())?;
        let named = params.iter().next().and_then(|(_, text)| named(text));
        let (id, form) = named.ok_or_else(ApiError::not_found)?;
        let mut reader = app.services.db.read().await?;
        let payment = payments::get(&mut reader, id).await?.filter(|payment| payment.kind == PaymentKind::Qr);
        let payment = payment.ok_or_else(ApiError::not_found)?;
        drop(reader);
        if payment.user_id != Some(current.user.id) && !current.user.is_admin() {
            return Err(ApiError::new(Code::NotOwner, "This payment belongs to somebody else."));
        }
        Ok(Self { payment: up_to_date(app, payment).await?, form })
    }
}

/// Notes that the payment has expired, if nobody has done so. One at Stripe is only shown so: its page is closed first.
async fn up_to_date(app: &App, payment: Payment) -> ApiResult<Payment> {
    let now = app.services.clock.now();
    if !payment.is_overdue(now) || payment.scheme == Scheme::Stripe {
        return Ok(payment.seen_at(now));
    }
    let mut tx = app.services.db.begin().await?;
    payments::expire(&mut tx, Some(payment.id), now).await?;
    // It may have been confirmed meanwhile.
    let payment = payments::get(&mut tx, payment.id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(payment)
}

/// The id and the form in `ID`, `ID.svg` or `ID.png`.
fn named(text: &str) -> Option<(PaymentId, QrForm)> {
    let (id, form) = match text.split_once('.') {
        None => (text, QrForm::Json),
        Some((id, "svg")) => (id, QrForm::Svg),
        Some((id, "png")) => (id, QrForm::Png),
        Some(_) => return None,
    };
    Some((PaymentId(Uuid::try_parse(id).ok()?), form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_is_wanted() {
        let id = "0199e0a4-0000-7000-8000-000000000001";
        let payment = PaymentId(Uuid::parse_str(id).unwrap());
        for (ending, form) in [("", QrForm::Json), (".svg", QrForm::Svg), (".png", QrForm::Png)] {
            assert_eq!(named(&format!("{id}{ending}")), Some((payment, form)));
        }
        for text in ["", "x", ".svg", "x.png", &format!("{id}.gif"), &format!("{id}.svg.png"), &format!("{id}.")] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
