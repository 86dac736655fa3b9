//! What the scheduler does, one file per duty.
//!
//! A duty is told what time it is, does all that is due by then, and says in a few words what that was. It may run
//! twice or a week late, so it asks the database what is missing. To add one: a file with `run`, a line below, and a
//! line in `timetable.rs`.

pub mod compare_stripe;
pub mod expire_payments;
mod notices;
pub mod prune;
pub mod reconcile_stripe;
pub mod requeue;
pub mod rotate_signing_keys;
pub mod subscription_warnings;
pub mod trial_warnings;

use std::pin::Pin;

use shared::queue::QueueError;
use shared::store::StoreError;
use shared::stripe::StripeError;
use shared::tokens::keyring::KeyringError;

/// What duties say that have nothing to do without Stripe.
const NO_STRIPE: &str = "Stripe is not configured";

/// A duty at work; it ends with a summary.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<String, DutyError>> + Send + 'a>>;

/// Why a duty was not done.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue refused.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Stripe refused, or cannot be reached.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// Another replica has taken the duty over.
    #[error("the lease ran out and another replica took over")]
    Lost,
    /// There is no such duty.
    #[error("there is no duty {name:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}
