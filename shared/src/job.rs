//! Jobs: what may be put into the outbox, and the lane each runs in.
//!
//! A job on the wire is a hint ("run this step"): it may arrive twice, late, or never, and whoever handles it asks the
//! database what is true. To add one: a variant here, a line in [`Job::lane`], an arm in `worker/src/dispatch.rs`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{UserId, WorkflowId};

/// A unit of background work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Turn an accepted intent into steps and start the first of them.
    PlanWorkflow {
        /// The workflow to plan.
        workflow: WorkflowId,
    },
    /// Run, retry, wake or take over a step; which of these is decided by the step's row.
    RunStep {
        /// The workflow of the step.
        workflow: WorkflowId,
        /// The step's id within its workflow.
        step: String,
    },
    /// Deliver one mail of the table `mails`.
    SendEmail {
        /// The mail's row.
        mail: Uuid,
    },
    /// Tell a workflow's `callback_url` that it ended.
    Callback {
        /// The workflow that ended.
        workflow: WorkflowId,
    },
    /// Mail a link to whoever has this address, if somebody has. The account is looked up here and not when the link is
    /// asked for, so that the answer takes as long for an address that is unknown.
    AccountLink {
        /// The request.
        id: Uuid,
        /// The address, as typed.
        email: String,
        /// What the link is for.
        purpose: LinkPurpose,
    },
    /// Call waiting steps of an account that may run more steps at once than before.
    LetIn {
        /// The account.
        user: UserId,
    },
    /// Cancel what a closed account still runs, and erase what it left.
    CloseAccount {
        /// The account.
        user: UserId,
    },
    /// Read a customer's present state at Stripe and apply it; `stripe_customers::wake` puts this.
    SyncCustomer {
        /// The customer, as Stripe calls it.
        customer: String,
        /// Whether to read all that is recent, and not only what is in force and what events named.
        full: bool,
    },
}

/// What a link in a mail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkPurpose {
    /// Showing that the address is the account owner's.
    VerifyEmail,
    /// Choosing another password.
    ResetPassword,
}

/// A queue with workers of its own, so that slow work of one sort does not hold up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Workflows: somebody waits for these.
    Interactive,
    /// Outgoing mail.
    Mail,
    /// Housekeeping.
    Maintenance,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Mail, Self::Maintenance];

    /// The lane's name in keys, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Mail => "mail",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Job {
    /// The lane that this job runs in.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::PlanWorkflow { .. } | Self::RunStep { .. } | Self::LetIn { .. } => Lane::Interactive,
            Self::SendEmail { .. } | Self::AccountLink { .. } => Lane::Mail,
            Self::Callback { .. } | Self::CloseAccount { .. } | Self::SyncCustomer { .. } => Lane::Maintenance,
        }
    }
}

impl Job {
    /// The key of the job's row in the outbox: one open row per piece of work.
    pub fn key(&self) -> String {
        match self {
            Self::PlanWorkflow { workflow } => format!("plan:{workflow}"),
            Self::RunStep { workflow, step } => format!("step:{workflow}:{step}"),
            Self::SendEmail { mail } => format!("mail:{mail}"),
            Self::Callback { workflow } => format!("callback:{workflow}"),
            Self::AccountLink { id, .. } => format!("link:{id}"),
            Self::LetIn { user } => format!("let_in:{user}"),
            Self::CloseAccount { user } => format!("close:{user}"),
            Self::SyncCustomer { customer, .. } => format!("stripe:{customer}"),
        }
    }
}
