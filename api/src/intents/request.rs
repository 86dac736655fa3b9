//! An intent as it is sent, and what can be known of it before it runs.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::domain::plan::{FieldError, Plan};
use shared::domain::status::{Charged, Priority};
use shared::ids::{UserId, WorkflowId};
use shared::planner::Planned;
use shared::services::Services;
use shared::store::workflows::NewWorkflow;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};

/// What somebody wants done.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentRequest {
    /// In plain words, 1 to 4000 characters.
    #[schema(example = "Send weekly sales report email", min_length = 1, max_length = 4000)]
    intent: String,
    /// Data for recipes and templates.
    #[serde(default = "empty_object")]
    #[schema(value_type = Object)]
    context: Value,
    /// What starts first when much is due.
    #[serde(default = "normal")]
    priority: Priority,
    /// A plan, for those who have one.
    plan: Option<Plan>,
    /// The most it may cost, in US dollars; it pauses before a step that would take it over.
    #[schema(minimum = 0, maximum = 1_000_000)]
    max_cost: Option<f64>,
    /// Told by a POST when the workflow ends.
    #[schema(format = "uri", max_length = 2000)]
    callback_url: Option<String>,
    /// When to start; at once if left out.
    run_at: Option<DateTime<Utc>>,
}

/// What an intent would do and cost.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Estimate {
    /// US dollars, every step run once.
    pub estimated_cost: f64,
    /// Seconds, along the longest way through the plan.
    pub estimated_time: f64,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

const fn normal() -> Priority {
    Priority::Normal
}

impl IntentRequest {
    /// Checks everything about the request; field paths begin with `prefix`. Gives the plan that would run.
    pub fn check(&self, services: &Services, prefix: &str) -> ApiResult<Planned<'_>> {
        let at = |field: &str| format!("{prefix}{field}");
        let mut faults = Vec::new();
        let length = self.intent.trim().chars().count();
        if !(1..=4_000).contains(&length) {
            faults.push(FieldError::new(at("intent"), "must have 1 to 4000 characters"));
        }
        if !self.context.is_object() {
            faults.push(FieldError::new(at("context"), "must be an object"));
        }
        if self.max_cost.is_some_and(|cost| !(0.0..=1_000_000.0).contains(&cost)) {
            faults.push(FieldError::new(at("max_cost"), "must be from 0 to 1000000 dollars"));
        }
        if let Some(url) = &self.callback_url {
            let http = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !http || url.len() > 2_000 {
                faults.push(FieldError::new(at("callback_url"), "must be an http or https URL"));
            }
        }
        // Not every time that can be written can be stored, and texts of times sort only with years of four digits.
        if self.run_at.is_some_and(|at| !(1970..=9999).contains(&at.year())) {
            faults.push(FieldError::new(at("run_at"), "must be in the years 1970 to 9999"));
        }
        if let Some(plan) = &self.plan {
            faults.extend(services.catalogue.check(plan, &at("plan")));
        }
        if !faults.is_empty() {
            return Err(ApiError::invalid(faults));
        }
        Ok(services.planner.plan(self.intent.trim(), &self.context, self.plan.as_ref()))
    }

    /// The row to store.
    pub fn into_new(self, user_id: UserId, charged: Charged, id: WorkflowId) -> NewWorkflow {
        NewWorkflow {
            id,
            user_id,
            intent: self.intent.trim().to_owned(),
            context: self.context,
            priority: self.priority,
            plan: self.plan,
            max_cost: self.max_cost.map(|dollars| (dollars * 1_000_000.0).round() as i64),
            callback_url: self.callback_url,
            charged,
            run_at: self.run_at,
        }
    }
}

impl Estimate {
    /// What a plan would cost, and how long it would typically take.
    pub fn of(plan: &Plan, services: &Services) -> Self {
        let cost: i64 = services.catalogue.costs(plan).into_iter().sum();
        let millis = longest(plan, |action| services.catalogue.get(action).map_or(0, |action| action.typical_ms));
        Self { estimated_cost: super::dollars(cost), estimated_time: millis as f64 / 1_000.0 }
    }
}

/// The length of the longest way through the plan.
fn longest(plan: &Plan, millis: impl Fn(&str) -> u64) -> u64 {
    let mut ends = std::collections::BTreeMap::new();
    // A plan of n steps settles after n rounds at the latest, since its graph has no cycle.
    for _ in 0..plan.steps.len() {
        for step in &plan.steps {
            let start = step.needs.iter().filter_map(|need| ends.get(need.as_str())).max().copied().unwrap_or(0);
            ends.insert(step.id.as_str(), start + millis(&step.action));
        }
    }
    ends.into_values().max().unwrap_or(0)
}
