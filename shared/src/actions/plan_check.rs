//! Checks the templates of a plan before it runs: that each can be read, and uses only steps that are over by then.
//!
//! A template that reads a step by a computed name (`steps[context.which]`) cannot be judged here; it fails when it is
//! rendered, if it must.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::plan::{FieldError, Plan, PlanStep};
use crate::template::Templates;

/// What is wrong with the templates of one step, which stands at `at` within its plan.
pub(super) fn template_faults(templates: &Templates, plan: &Plan, step: &PlanStep, at: &str) -> Vec<FieldError> {
    let mut check = Check { templates, plan, step, over: steps_before(plan, step), errors: Vec::new() };
    check.value(&step.with, &format!("{at}.with"));
    if let Some(condition) = &step.when {
        check.condition(condition, &format!("{at}.when"));
    }
    check.errors
}

struct Check<'a> {
    templates: &'a Templates,
    plan: &'a Plan,
    step: &'a PlanStep,
    over: BTreeSet<&'a str>,
    errors: Vec<FieldError>,
}

impl Check<'_> {
    fn value(&mut self, value: &Value, at: &str) {
        match value {
            Value::String(text) if Templates::is_template(text) => self.template(text, at),
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(item, &format!("{at}[{i}]"));
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.value(field, &format!("{at}.{name}"));
                }
            }
            _ => {}
        }
    }

    fn template(&mut self, text: &str, at: &str) {
        match self.templates.check_syntax(text) {
            Ok(()) => self.steps(&self.templates.steps_in_template(text), at),
            Err(error) => self.errors.push(FieldError::new(at, error.to_string())),
        }
    }

    fn condition(&mut self, expr: &str, at: &str) {
        match self.templates.check_expression(expr) {
            Ok(()) => self.steps(&self.templates.steps_in_expression(expr), at),
            Err(error) => self.errors.push(FieldError::new(at, error.to_string())),
        }
    }

    fn steps(&mut self, used: &BTreeSet<String>, at: &str) {
        for id in used.iter().filter(|id| !self.over.contains(id.as_str())) {
            let exists = self.plan.steps.iter().any(|step| step.id == *id);
            let message = if exists {
                format!(
                    "uses `steps.{id}`, but \"{}\" does not need \"{id}\", directly or through other steps",
                    self.step.id
                )
            } else {
                format!("uses `steps.{id}`, but there is no step \"{id}\"")
            };
            self.errors.push(FieldError::new(at, message));
        }
    }
}

/// The steps that are over when `step` starts: those it needs, those they need, and so on.
fn steps_before<'a>(plan: &'a Plan, step: &'a PlanStep) -> BTreeSet<&'a str> {
    let mut before = BTreeSet::new();
    let mut left: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    while let Some(id) = left.pop() {
        if before.insert(id) {
            let needed = plan.steps.iter().filter(|step| step.id == id).flat_map(|step| &step.needs);
            left.extend(needed.map(String::as_str));
        }
    }
    before
}
