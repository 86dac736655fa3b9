//! The goal graph: what a workflow is made of, before anything has run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The most steps that one plan may have.
pub const MAX_STEPS: usize = 100;

/// A directed acyclic graph of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The steps, in any order; `needs` decides what runs when.
    #[schema(min_items = 1, max_items = 100)]
    pub steps: Vec<PlanStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Unique within the plan: a letter, then letters, digits and underscores, at most 64.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    pub id: String,
    /// The name of an action, as listed by `GET /api/v1/actions`.
    pub action: String,
    /// The steps that must have ended well before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The action's parameters; any text in it may be a template.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    pub with: Value,
    /// A template expression; when it is false the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// How often and how fast the step is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// How long one attempt may take, in seconds.
    #[serde(default = "default_timeout")]
    #[schema(minimum = 1, maximum = 86400)]
    pub timeout_s: u32,
    /// What a final failure of this step means for the workflow.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Exponential backoff: the n-th retry comes after `initial_ms * multiplier^(n-1)`, at most `max_ms`, with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts in all, the first one included.
    #[schema(minimum = 1, maximum = 50)]
    pub max_attempts: u32,
    /// The first pause, in milliseconds.
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub initial_ms: u64,
    /// The factor between one pause and the next.
    #[schema(minimum = 1, maximum = 10)]
    pub multiplier: f64,
    /// The longest pause, in milliseconds.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 5, initial_ms: 1_000, multiplier: 2.0, max_ms: 60_000 }
    }
}

impl Retry {
    /// The pause after `failed` attempts have failed, before jitter.
    pub fn pause(&self, failed: u32) -> Duration {
        let factor = self.multiplier.max(1.0).powi(i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX));
        let millis = (self.initial_ms as f64 * factor).min(self.max_ms as f64);
        Duration::from_millis(millis as u64)
    }
}

/// What a final failure of a step means for its workflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The workflow fails.
    #[default]
    Fail,
    /// Dependants are skipped, the rest goes on.
    Continue,
    /// The workflow pauses, and a person decides.
    Pause,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field, as a path: `plan.steps[2].with.url`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

const fn default_timeout() -> u32 {
    30
}

impl Plan {
    /// Everything that is wrong with the graph itself: ids, dependencies, cycles, bounds. Empty when it is sound.
    ///
    /// Field paths begin with `prefix`. Actions and their parameters are checked by
    /// [`crate::actions::Catalogue::check`].
    pub fn check_graph(&self, prefix: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            errors.push(FieldError::new(
                format!("{prefix}.steps"),
                format!("a plan has 1 to {MAX_STEPS} steps, this one has {}", self.steps.len()),
            ));
            return errors;
        }
        let mut index = BTreeMap::new();
        for (i, step) in self.steps.iter().enumerate() {
            let at = format!("{prefix}.steps[{i}]");
            if !is_step_id(&step.id) {
                errors.push(FieldError::new(
                    format!("{at}.id"),
                    "must be a letter followed by letters, digits or underscores, at most 64 characters",
                ));
            }
            if index.insert(step.id.as_str(), i).is_some() {
                errors.push(FieldError::new(format!("{at}.id"), format!("\"{}\" is used twice", step.id)));
            }
            step.check_bounds(&at, &mut errors);
        }
        for (i, step) in self.steps.iter().enumerate() {
            for need in &step.needs {
                if !index.contains_key(need.as_str()) {
                    errors.push(FieldError::new(
                        format!("{prefix}.steps[{i}].needs"),
                        format!("\"{need}\" is not a step of this plan"),
                    ));
                }
            }
        }
        if errors.is_empty()
            && let Some(i) = self.first_in_cycle(&index)
        {
            errors.push(FieldError::new(
                format!("{prefix}.steps[{i}].needs"),
                format!("\"{}\" is part of a cycle: a step cannot wait for itself", self.steps[i].id),
            ));
        }
        errors
    }

    /// The index of a step that can never start because it waits for itself, if there is one (Kahn's algorithm).
    fn first_in_cycle(&self, index: &BTreeMap<&str, usize>) -> Option<usize> {
        let mut waiting: Vec<usize> = self
            .steps
            .iter()
            .map(|step| step.needs.iter().filter(|n| index.contains_key(n.as_str())).count())
            .collect();
        let mut free: Vec<usize> = (0..self.steps.len()).filter(|&i| waiting[i] == 0).collect();
        let mut seen = 0;
        while let Some(done) = free.pop() {
            seen += 1;
            for (i, step) in self.steps.iter().enumerate() {
                let hits = step.needs.iter().filter(|need| **need == self.steps[done].id).count();
                if hits > 0 {
                    waiting[i] -= hits;
                    if waiting[i] == 0 {
                        free.push(i);
                    }
                }
            }
        }
        if seen == self.steps.len() {
            return None;
        }
        // Whoever is left waits for somebody who is left: following that often enough ends inside a cycle.
        let mut at = waiting.iter().position(|&n| n > 0)?;
        for _ in 0..self.steps.len() {
            let needs = self.steps[at].needs.iter().filter_map(|need| index.get(need.as_str()).copied());
            at = needs.into_iter().find(|&i| waiting[i] > 0)?;
        }
        Some(at)
    }
}

impl PlanStep {
    fn check_bounds(&self, at: &str, errors: &mut Vec<FieldError>) {
        if !self.with.is_object() {
            errors.push(FieldError::new(format!("{at}.with"), "must be an object"));
        }
        if !(1..=86_400).contains(&self.timeout_s) {
            errors.push(FieldError::new(format!("{at}.timeout_s"), "must be from 1 to 86400 seconds"));
        }
        if !(1..=50).contains(&self.retry.max_attempts) {
            errors.push(FieldError::new(format!("{at}.retry.max_attempts"), "must be from 1 to 50"));
        }
        if self.retry.initial_ms > 3_600_000 {
            errors.push(FieldError::new(format!("{at}.retry.initial_ms"), "must be at most 3600000"));
        }
        if !(1.0..=10.0).contains(&self.retry.multiplier) {
            errors.push(FieldError::new(format!("{at}.retry.multiplier"), "must be from 1 to 10"));
        }
        if self.retry.max_ms > 86_400_000 {
            errors.push(FieldError::new(format!("{at}.retry.max_ms"), "must be at most 86400000"));
        }
    }
}

fn is_step_id(id: &str) -> bool {
    let mut chars = id.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && id.len() <= 64
}
