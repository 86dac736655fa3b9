//! The catalogue of actions: which there are, what they take, and whether a plan uses them right.
//!
//! It is what `GET /api/v1/actions` shows, what the planner may choose from and what the worker checks against; how an
//! action is carried out is in `worker/src/actions`. To add one, begin in `params.rs`.

mod explain;
mod list;
pub mod params;
mod plan_check;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

pub use list::ActionInfo;

use crate::domain::plan::{FieldError, MAX_STEPS, Plan};
use crate::template::Templates;

/// All actions, with their schemas ready for use. Make it once and share it.
#[derive(Debug)]
pub struct Catalogue {
    actions: Vec<ActionInfo>,
    /// One for each of `actions`, in the same order.
    validators: Vec<Validator>,
    templates: Templates,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// The catalogue of this version of the program.
    pub fn new() -> Self {
        let actions = list::actions();
        let validators = actions.iter().map(|action| compile(&action.params)).collect();
        Self { actions, validators, templates: Templates::default() }
    }

    /// Every action, by name.
    pub fn all(&self) -> &[ActionInfo] {
        &self.actions
    }

    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&ActionInfo> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// What one run of each step costs, in micro-dollars, in the plan's order.
    pub fn costs(&self, plan: &Plan) -> Vec<i64> {
        plan.steps.iter().map(|step| self.get(&step.action).map_or(0, |action| action.cost_micros)).collect()
    }

    /// Everything that is wrong with a plan, before anything has run; field paths begin with `prefix`.
    ///
    /// A parameter that is a template is checked for what can be known now: that it can be read, and that it uses only
    /// steps that are over by then. Whether its result fits is checked when it is rendered.
    pub fn check(&self, plan: &Plan, prefix: &str) -> Vec<FieldError> {
        let mut errors = plan.check_graph(prefix);
        if plan.steps.len() > MAX_STEPS {
            return errors;
        }
        for (i, step) in plan.steps.iter().enumerate() {
            let at = format!("{prefix}.steps[{i}]");
            if self.get(&step.action).is_none() {
                errors.push(self.unknown_action(&step.action, &format!("{at}.action")));
            } else if step.with.is_object() {
                errors.extend(self.faults(&step.action, &step.with, &format!("{at}.with"), left_to_rendering));
            }
            errors.extend(plan_check::template_faults(&self.templates, plan, step, &at));
        }
        errors
    }

    /// Everything that is wrong with parameters that are final; field paths begin with `at`.
    pub fn check_params(&self, action: &str, with: &Value, at: &str) -> Vec<FieldError> {
        if self.get(action).is_none() {
            return vec![self.unknown_action(action, at)];
        }
        self.faults(action, with, at, |_, _| false)
    }

    fn faults(
        &self,
        action: &str,
        with: &Value,
        at: &str,
        ignored: impl Fn(&ValidationErrorKind, &Value) -> bool,
    ) -> Vec<FieldError> {
        let known = self.actions.iter().zip(&self.validators).find(|(info, _)| info.name == action);
        let Some((info, validator)) = known else { return Vec::new() };
        let errors = validator.iter_errors(with).filter(|error| !ignored(error.kind(), error.instance()));
        errors.flat_map(|error| explain::explain(&error, &info.params, at)).collect()
    }

    fn unknown_action(&self, name: &str, at: &str) -> FieldError {
        let names: Vec<_> = self.actions.iter().map(|action| action.name).collect();
        FieldError::new(at, format!("there is no action \"{name}\"; there are {}", names.join(", ")))
    }
}

#[expect(clippy::expect_used, reason = "the schemas are part of the program, and a test compiles all of them")]
fn compile(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema of the catalogue is valid")
}

/// Whether a fault may be gone once the templates in the value are rendered.
fn left_to_rendering(kind: &ValidationErrorKind, value: &Value) -> bool {
    let is_template = |value: &Value| value.as_str().is_some_and(Templates::is_template);
    // A list of which one entry is a template fits none of several forms either.
    let several_forms = matches!(kind, ValidationErrorKind::AnyOf { .. });
    is_template(value) || (several_forms && value.as_array().is_some_and(|items| items.iter().any(is_template)))
}

#[cfg(test)]
mod tests;
