//! Carries out the steps of workflows: one file per action, and one flat list of them in [`Actions::run`].
//!
//! An action gets parameters that are already rendered, does its one thing, and says how it ended; when to try again,
//! what to record and what comes next are decided by whoever called. It may run twice for the same step, so it shows
//! [`Run::idempotency_key`] to the outside world. To add one: `shared/src/actions` first, then a file and a line here.

mod address_rules;
mod approval;
mod data_extract;
mod email_send;
mod http_answer;
mod http_call;
mod http_request;
mod human_task;
#[cfg(test)]
mod stand_in_server;
mod template_render;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::actions::Catalogue;
use shared::email::Mailer;
use shared::ids::WorkflowId;

pub use address_rules::{HttpRules, Refused};

use http_request::HttpClient;

/// One attempt at one step.
#[derive(Debug, Clone)]
pub struct Run {
    /// The workflow of the step.
    pub workflow: WorkflowId,
    /// The step's id within its workflow.
    pub step: String,
    /// Which attempt this is, from 1 on.
    pub attempt: i64,
    /// The time at which the attempt began.
    pub now: DateTime<Utc>,
    /// The name of the action.
    pub action: String,
    /// The parameters, with all templates rendered.
    pub with: Value,
    /// How long the attempt may take.
    pub limit: Duration,
}

impl Run {
    /// What is the same for every attempt at this step, and for no other step.
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}", self.workflow, self.step)
    }

    /// The parameters as the action's own type.
    fn params<T: DeserializeOwned>(&self) -> Result<T, ActionError> {
        T::deserialize(&self.with)
            .map_err(|error| ActionError::Fail(format!("The parameters of {} do not fit: {error}.", self.action)))
    }
}

/// How an action ended well.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It is over, and this came out.
    Output(Value),
    /// Nothing is to be done until then.
    WaitUntil(DateTime<Utc>),
    /// Nothing is to be done until a person acts.
    WaitForHuman {
        /// What is waited for, in one sentence.
        reason: String,
    },
}

/// How an action failed: one sentence for the user, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Worth another try.
    #[error("{0}")]
    Retry(String),
    /// Worth another try, but not before so much time has passed.
    #[error("{0}")]
    RetryAfter(String, Duration),
    /// Trying again would end the same way.
    #[error("{0}")]
    Fail(String),
}

/// All actions, with what they need to reach the outside world.
#[derive(Debug)]
pub struct Actions {
    catalogue: Arc<Catalogue>,
    http: HttpClient,
    mailer: Arc<Mailer>,
}

impl Actions {
    /// Fails when the system's certificates cannot be loaded.
    pub fn new(catalogue: Arc<Catalogue>, http: HttpRules, mailer: Arc<Mailer>) -> Result<Self, reqwest::Error> {
        Ok(Self { catalogue, http: HttpClient::new(http)?, mailer })
    }

    /// Carries out one attempt.
    pub async fn run(&self, run: &Run) -> Result<Done, ActionError> {
        self.check(run)?;
        match run.action.as_str() {
            "approval" => approval::run(run),
            "data.extract" => data_extract::run(run),
            "email.send" => email_send::run(run, &self.mailer).await,
            "http.request" => http_request::run(run, &self.http).await,
            "human.task" => human_task::run(run),
            "template.render" => template_render::run(run),
            "wait" => wait::run(run),
            unknown => Err(ActionError::Fail(format!("There is no action \"{unknown}\"."))),
        }
    }

    fn check(&self, run: &Run) -> Result<(), ActionError> {
        let faults = self.catalogue.check_params(&run.action, &run.with, "with");
        if faults.is_empty() {
            return Ok(());
        }
        let faults: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
        Err(ActionError::Fail(format!("The step cannot run: {}.", faults.join("; "))))
    }
}

#[cfg(test)]
mod tests;
