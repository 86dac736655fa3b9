//! The workflow as one aggregate: its state, and what each command does to it.
//!
//! [`Workflow::handle`] takes a command and changes the value; what has to be written besides the rows (audit entries,
//! outbox rows, a refund) is collected in [`Changes`]. It is pure, so a model test can run any interleaving; the store
//! loads the aggregate under a lock and saves it with compare-and-set, which is what makes illegal moves impossible.
//! To add a command: a variant of [`Command`] and an arm in [`Workflow::handle`].

mod agents;
mod graph;
mod owner;
mod run;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit::Entry;
use super::plan::{OnFailure, Plan, Retry};
use super::status::{Charged, Priority, StepStatus, WorkflowStatus};
use crate::ids::{UserId, WorkflowId};
use crate::job::Job;

pub use agents::{Agents, InUse};

/// How often a step may take its worker down before it is held to be the cause.
pub const MAX_CRASHES: i64 = 10;

/// A workflow and its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Its owner.
    pub user_id: UserId,
    /// Where it stands.
    pub status: WorkflowStatus,
    /// Why it does not move, if it does not.
    pub reason: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its priority.
    pub priority: Priority,
    /// Spent so far, in micro-dollars.
    pub cost: i64,
    /// The most it may spend, in micro-dollars.
    pub max_cost: Option<i64>,
    /// What paid for it.
    pub charged: Charged,
    /// Whether somebody wants to be called when it ends.
    pub callback: bool,
    /// When it should start, if not at once.
    pub run_at: Option<DateTime<Utc>>,
    /// What made the plan; `None` until planned.
    pub planner: Option<String>,
    /// The number of the newest audit entry.
    pub audit_seq: i64,
    /// The hash of the newest audit entry.
    pub audit_hash: String,
    /// When it was planned.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Its steps, in the order of the plan; empty until planned.
    pub steps: Vec<Step>,
}

/// What a step does; fixed once planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The action's name.
    pub action: String,
    /// The steps it needs.
    pub needs: Vec<String>,
    /// The action's parameters, templates not yet rendered.
    pub with: Value,
    /// The condition.
    pub when: Option<String>,
    /// Attempts and pauses.
    pub retry: Retry,
    /// Seconds for one attempt.
    pub timeout_s: u32,
    /// What a final failure means.
    pub on_failure: OnFailure,
    /// What one run costs, in micro-dollars.
    pub cost: i64,
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in the workflow.
    pub id: String,
    /// What it does.
    pub spec: Arc<StepSpec>,
    /// Where it stands.
    pub status: StepStatus,
    /// The number of its newest attempt; the fencing token.
    pub attempt: i64,
    /// Attempts that failed since it was planned or resumed.
    pub failures: i64,
    /// Attempts whose worker died.
    pub crashes: i64,
    /// Until when the holder of the newest attempt is taken to be alive.
    pub lease_until: Option<DateTime<Utc>>,
    /// When a retry or a wait is over.
    pub wake_at: Option<DateTime<Utc>>,
    /// Since when it could start and waits for a free agent; only a ready step of a running workflow does.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Why it does not move.
    pub reason: Option<String>,
    /// Why the newest attempt failed.
    pub error: Option<String>,
    /// Spent so far, in micro-dollars.
    pub cost: i64,
    /// The size of its output, in bytes of JSON without spaces.
    pub output_bytes: i64,
    /// When its first attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What may be asked of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The intent has been planned. Costs per run stand beside the plan's steps.
    Plan {
        /// The plan.
        plan: Plan,
        /// What one run of each step costs, in micro-dollars, in the plan's order.
        costs: Vec<i64>,
        /// What made it.
        by: String,
    },
    /// The intent cannot be planned: the workflow fails and its credit goes back.
    RefusePlan {
        /// Why, for the owner.
        error: String,
    },
    /// A worker wants to run the step.
    Claim {
        /// The step.
        step: String,
    },
    /// An attempt ended well.
    Complete {
        /// Which attempt.
        at: Attempt,
        /// What came of it.
        output: Value,
    },
    /// An attempt failed.
    Fail {
        /// Which attempt.
        at: Attempt,
        /// Why, for the owner.
        error: String,
        /// Whether, and after which pause at least, it is worth trying again.
        retry: Option<Duration>,
        /// A factor from 0.5 to 1.0 that spreads retries.
        jitter: f64,
    },
    /// The attempt's condition was false.
    Skip {
        /// Which attempt.
        at: Attempt,
    },
    /// The attempt wants to be continued at a time or by a person.
    Wait {
        /// Which attempt.
        at: Attempt,
        /// When it is over; `None`: when a person says so.
        until: Option<DateTime<Utc>>,
        /// Why, for the owner.
        reason: String,
    },
    /// A worker that stops gives the attempt back unfinished.
    HandBack {
        /// Which attempt.
        at: Attempt,
    },
    /// Nothing new starts.
    Pause,
    /// Go on, from paused or failed.
    Resume,
    /// Give up.
    Cancel,
    /// A person has done, approved or rejected a waiting step.
    Decide {
        /// The step.
        step: String,
        /// What kind of decision.
        decision: Decision,
        /// What to record as the step's output.
        output: Value,
    },
}

/// What a person decided about a waiting step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A `human.task` is done.
    Done,
    /// An `approval` is given.
    Approved,
    /// An `approval` is refused.
    Rejected,
}

/// One attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The step.
    pub step: String,
    /// Its number.
    pub number: i64,
}

/// Who asks, when, and on what terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    /// The present.
    pub now: DateTime<Utc>,
    /// Who asks, for the audit trail.
    pub actor: String,
    /// How long a claimed step belongs to its worker without a heartbeat.
    pub lease: Duration,
    /// Whether the asking worker takes the next ready step at once.
    pub take_next: bool,
    /// The owner's agents, and what the owner's other workflows use; [`Agents::give`] fills it in.
    pub others: Agents,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The workflow is in a state in which this makes no sense.
    #[error("{0}")]
    WrongState(String),
    /// There is no such step.
    #[error("there is no step \"{0}\" in this workflow")]
    NoSuchStep(String),
    /// The attempt is not the newest one: what it did is not recorded.
    #[error("attempt {0} of the step is over; its result is not recorded")]
    Stale(i64),
    /// There is nothing to claim: done, held by somebody else, or not due.
    #[error("the step cannot be claimed")]
    NotClaimable,
}

/// A claimed step: what a worker needs to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The attempt that the worker now holds.
    pub at: Attempt,
    /// What to do.
    pub spec: Arc<StepSpec>,
    /// Until when it is the worker's without a heartbeat.
    pub lease_until: DateTime<Utc>,
}

/// What a command leads to, besides the changed rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Indexes of changed steps, with the state and attempt that they had.
    pub steps: Vec<(usize, StepStatus, i64)>,
    /// Whether the steps are new.
    pub planned: bool,
    /// Output of a step that completed.
    pub output: Option<(usize, Value)>,
    /// Entries for the audit trail.
    pub audit: Vec<Entry>,
    /// Outbox rows to put (again), each with its due time.
    pub put: Vec<(Job, DateTime<Utc>)>,
    /// Outbox rows to delete.
    pub delete: Vec<String>,
    /// Whether the credit goes back.
    pub refund: bool,
    /// Whether this command ended the workflow.
    pub ended: bool,
    /// The step that the asking worker now holds.
    pub claim: Option<Claim>,
}

impl Workflow {
    /// A workflow as it is when its intent has just been accepted.
    pub fn accepted(id: WorkflowId, user_id: UserId, (priority, charged): (Priority, Charged)) -> Self {
        Self {
            id,
            user_id,
            status: WorkflowStatus::Pending,
            reason: None,
            error: None,
            priority,
            cost: 0,
            max_cost: None,
            charged,
            callback: false,
            run_at: None,
            planner: None,
            audit_seq: 0,
            audit_hash: String::new(),
            started_at: None,
            completed_at: None,
            steps: Vec::new(),
        }
    }

    /// Does what is asked, or says why not; a refusal may still have outbox rows to delete.
    pub fn handle(&mut self, command: Command, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        match command {
            Command::Plan { plan, costs, by } => self.planned(plan, &costs, by, with, out),
            Command::RefusePlan { error } => self.refuse_plan(error, with, out),
            Command::Claim { step } => self.claim(&step, with, out),
            Command::Complete { at, output } => self.complete(&at, output, with, out),
            Command::Fail { at, error, retry, jitter } => self.fail_attempt(&at, (&error, retry, jitter), with, out),
            Command::Skip { at } => self.skip(&at, with, out),
            Command::Wait { at, until, reason } => self.wait(&at, until, reason, with, out),
            Command::HandBack { at } => self.hand_back(&at, with, out),
            Command::Pause => self.pause(with, out),
            Command::Resume => self.resume(with, out),
            Command::Cancel => self.cancel(with, out),
            Command::Decide { step, decision, output } => self.decide(&step, decision, output, with, out),
        }
    }

    /// Appends an entry to the audit trail.
    fn note(&mut self, event: &str, step: Option<&str>, detail: Value, with: &Circumstances, out: &mut Changes) {
        self.audit_seq += 1;
        let mut entry = Entry {
            seq: self.audit_seq,
            at: with.now,
            event: event.to_owned(),
            actor: with.actor.clone(),
            step: step.map(str::to_owned),
            detail,
            hash: String::new(),
        };
        entry.hash = entry.hash_after(&self.audit_hash);
        self.audit_hash.clone_from(&entry.hash);
        out.audit.push(entry);
    }

    /// The first entry of a workflow's trail, made together with the workflow.
    pub fn note_created(&mut self, with: &Circumstances, out: &mut Changes) {
        let detail = json!({"charged": self.charged, "priority": self.priority});
        self.note("workflow.created", None, detail, with, out);
    }

    /// The outbox job of a step.
    pub fn step_job(&self, step: &str) -> Job {
        Job::RunStep { workflow: self.id, step: step.to_owned() }
    }

    fn index(&self, step: &str) -> Result<usize, Refusal> {
        self.steps.iter().position(|s| s.id == step).ok_or_else(|| Refusal::NoSuchStep(step.to_owned()))
    }
}

impl Changes {
    /// Remembers how a step was before this command first changed it.
    fn touch(&mut self, index: usize, step: &Step) {
        if !self.steps.iter().any(|(i, _, _)| *i == index) {
            self.steps.push((index, step.status, step.attempt));
        }
    }
}
