//! What things cost, what was paid for them, what is left and used, and what admins do about it.
//!
//! What changes something at Stripe is an [`operation`].

pub mod adjust;
mod at_stripe;
mod body;
pub mod cancel;
pub mod change_plan;
pub mod extend_trial;
pub mod history;
pub mod invoices;
mod operation;
mod plan;
pub mod portal;
pub mod pricing;
pub mod qr;
pub mod reactivate;
pub mod reconciliations;
mod refund_by_stripe;
pub mod refunds;
pub mod stripe_events;
pub mod subscribe;
pub mod subscription;
pub mod subscriptions;
pub mod trial;
mod turn;
pub mod usage;

use shared::domain::plan::FieldError;
use shared::ids::UserId;
use shared::store::Tx;
use shared::store::users::{self, User};

use crate::auth::is_line;
use crate::error::{ApiError, ApiResult, Code};

/// The account that an admin acts on, locked: 404 if there is none, 409 if it is deleted.
async fn open_account(tx: &mut Tx, user: UserId) -> ApiResult<User> {
    let user = users::lock(tx, user).await?.ok_or_else(ApiError::not_found)?;
    if user.deleted_at.is_some() {
        return Err(ApiError::new(Code::WrongState, "This account is deleted."));
    }
    Ok(user)
}

/// What a bank calls a payment, in one spelling; 422 if that cannot be.
fn bank_reference(text: &str) -> ApiResult<String> {
    let reference = text.trim().to_ascii_uppercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_one = (4..=64).contains(&reference.len())
        && reference.starts_with(|c: char| c.is_ascii_alphanumeric())
        && reference.chars().all(allowed);
    if is_one {
        return Ok(reference);
    }
    let fault = FieldError::new("reference", "must be 4 to 64 letters, digits and . _ / -, a letter or digit first");
    Err(ApiError::invalid(vec![fault]))
}

/// What is wrong with the reason of an admin, if anything is.
fn check_reason(reason: &str) -> Option<FieldError> {
    let is_said = !reason.trim().is_empty() && is_line(reason, 500);
    (!is_said).then(|| FieldError::new("reason", "must be one line of 1 to 500 characters"))
}
