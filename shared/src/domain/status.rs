//! The states of workflows, steps and priorities, as they stand in the database and in answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(rename_all = "snake_case", type_name = "text")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The state as text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use text_enum;

text_enum!(
    /// Where a workflow stands.
    WorkflowStatus {
        /// Accepted, not planned yet.
        Pending = "pending",
        /// Under way.
        Running = "running",
        /// Nothing new starts until it is resumed.
        Paused = "paused",
        /// Every step ended, none of them fatally.
        Completed = "completed",
        /// A step failed for good; it can be resumed.
        Failed = "failed",
        /// Given up by its owner.
        Cancelled = "cancelled",
    }
);
text_enum!(
    /// Where a step stands.
    StepStatus {
        /// Waits for the steps that it needs.
        Blocked = "blocked",
        /// May start.
        Ready = "ready",
        /// A worker holds its lease.
        Running = "running",
        /// Waits for a time or a person, held by nobody.
        Waiting = "waiting",
        /// Ended well.
        Completed = "completed",
        /// Ended badly, its attempts used up.
        Failed = "failed",
        /// Never ran: its condition was false, or what it needs did not end well.
        Skipped = "skipped",
        /// Given up together with its workflow.
        Cancelled = "cancelled",
    }
);
text_enum!(
    /// Which of several due intents starts first.
    Priority {
        /// Behind the others, by up to five minutes.
        Low = "low",
        /// As it comes.
        Normal = "normal",
        /// Before the others, by up to five minutes.
        High = "high",
    }
);
text_enum!(
    /// What paid for a workflow.
    Charged {
        /// A trial credit.
        Trial = "trial",
        /// One of a subscription's monthly workflows.
        Subscription = "subscription",
    }
);

impl WorkflowStatus {
    /// Whether nothing can move it any more but a resume.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl StepStatus {
    /// Whether the step has ended.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}
