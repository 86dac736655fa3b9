//! What things cost, what was paid for them, what is left and used, and what admins do about it.

pub mod adjust;
mod body;
pub mod extend_trial;
pub mod history;
pub mod pricing;
pub mod qr;
pub mod subscription;
pub mod subscriptions;
pub mod trial;
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

/// What is wrong with the reason of an admin, if anything is.
fn check_reason(reason: &str) -> Option<FieldError> {
    let is_said = !reason.trim().is_empty() && is_line(reason, 500);
    (!is_said).then(|| FieldError::new("reason", "must be one line of 1 to 500 characters"))
}
