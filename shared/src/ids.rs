//! Identifiers: `UUIDv7` (RFC 9562), made before anything is stored, sorted by the time they were made.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// A fresh id that sorts by `now`.
pub fn new(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[sqlx(transparent)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id that sorts by `now`.
            pub fn new(now: DateTime<Utc>) -> Self {
                Self(new(now))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An account.
    UserId
);
id!(
    /// A workflow: one accepted intent and all that becomes of it.
    WorkflowId
);
id!(
    /// A row of the outbox.
    JobId
);
id!(
    /// A signed-in device.
    SessionId
);
id!(
    /// A payment.
    PaymentId
);
id!(
    /// Something that Stripe is asked to do for an account, in one request or several.
    OperationId
);
