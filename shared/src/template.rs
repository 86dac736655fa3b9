//! Templates: the `{{ … }}` in a step's parameters, filled in just before the step runs.
//!
//! A template sees `intent`, `context`, `user` and `steps.<id>.output`, and nothing else: no files, no other templates,
//! no clock. The work it may cause is limited, so one may be rendered where others wait. Names that do not exist are
//! errors, for a mail with a hole in it is worse than none. To offer a function or a filter: add it in
//! [`Templates::default`], and charge fuel for what it does.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

/// The work that one template may cause, in units of minijinja: about one for an instruction or for 64 bytes.
const FUEL: u64 = 50_000;
/// The most bytes that may come out of one call.
const MAX_OUTPUT: usize = 1024 * 1024;
/// The most templates in one value.
const MAX_TEMPLATES: usize = 500;

/// Why a template gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("the template is not valid: {0}")]
    Syntax(String),
    /// It uses a name that has no value.
    #[error("`{0}` does not exist")]
    Missing(String),
    /// It would compute for too long.
    #[error("the template takes too much work")]
    TooMuchWork,
    /// Its result is too big.
    #[error("the result of the templates is larger than 1 MiB")]
    TooLarge,
    /// It failed in another way.
    #[error("the template failed: {0}")]
    Failed(String),
    /// A template within a value failed.
    #[error("{at}: {problem}")]
    At {
        /// Where the template stands: `with.url`.
        at: String,
        /// What is wrong with it.
        problem: Box<TemplateError>,
    },
}

/// Renders templates in a sandbox. A clone costs next to nothing.
#[derive(Debug, Clone)]
pub struct Templates {
    env: Arc<Environment<'static>>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        env.set_auto_escape_callback(|_| AutoEscape::None);
        // It would print everything that the template could see.
        env.remove_global("debug");
        Self { env: Arc::new(env) }
    }
}

/// What a template sees, and what may still come out of this call.
struct Scope<'a> {
    json: &'a Value,
    context: minijinja::Value,
    templates_left: Cell<usize>,
    bytes_left: Cell<usize>,
}

impl<'a> Scope<'a> {
    fn new(json: &'a Value) -> Self {
        let context = minijinja::Value::from(Serde(json));
        Self { json, context, templates_left: Cell::new(MAX_TEMPLATES), bytes_left: Cell::new(MAX_OUTPUT) }
    }

    fn count_template(&self) -> Result<(), TemplateError> {
        let left = self.templates_left.get().checked_sub(1).ok_or(TemplateError::TooMuchWork)?;
        self.templates_left.set(left);
        Ok(())
    }

    fn count_bytes(&self, bytes: usize) -> Result<(), TemplateError> {
        let left = self.bytes_left.get().checked_sub(bytes).ok_or(TemplateError::TooLarge)?;
        self.bytes_left.set(left);
        Ok(())
    }
}

impl Templates {
    /// The text that a template becomes.
    pub fn render_text(&self, template: &str, scope: &Value) -> Result<String, TemplateError> {
        self.text(template, &Scope::new(scope))
    }

    /// Replaces the templates in every string of `value`; a string that is one sole `{{ expr }}` becomes what the
    /// expression gives, be it a number, a list or an object.
    ///
    /// `value` is a step's `with`: an error names the place as `with.url`.
    pub fn render_value(&self, value: &Value, scope: &Value) -> Result<Value, TemplateError> {
        self.walk(value, &Scope::new(scope), "with")
    }

    /// Whether a condition holds. It may be written with or without braces around it.
    pub fn eval_bool(&self, expr: &str, scope: &Value) -> Result<bool, TemplateError> {
        let expr = sole_expression(expr).unwrap_or(expr);
        Ok(self.expression(expr, &Scope::new(scope))?.is_true())
    }

    /// Whether a text is a template that can be read.
    pub fn check_syntax(&self, template: &str) -> Result<(), TemplateError> {
        if sole_expression(template).is_some_and(|expr| self.env.compile_expression(expr).is_ok()) {
            return Ok(());
        }
        self.env.template_from_str(template).map(drop).map_err(|error| unreadable(&error))
    }

    /// Whether a condition can be read.
    pub fn check_expression(&self, expr: &str) -> Result<(), TemplateError> {
        let expr = sole_expression(expr).unwrap_or(expr);
        self.env.compile_expression(expr).map(drop).map_err(|error| unreadable(&error))
    }

    /// Whether a text has anything in it to be replaced.
    pub fn is_template(text: &str) -> bool {
        ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
    }

    /// Whether any template in `value` could read `steps`. May say yes when in doubt, never no.
    pub fn mentions_steps(value: &Value) -> bool {
        match value {
            Value::String(text) => Self::is_template(text) && text.contains("steps"),
            Value::Array(items) => items.iter().any(Self::mentions_steps),
            Value::Object(fields) => fields.values().any(Self::mentions_steps),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The steps that a template names, as far as that can be told without rendering it.
    pub(crate) fn steps_in_template(&self, template: &str) -> BTreeSet<String> {
        let names = self.env.template_from_str(template).map(|template| template.undeclared_variables(true));
        step_ids(&names.unwrap_or_default())
    }

    /// The steps that a condition names, as far as that can be told without evaluating it.
    pub(crate) fn steps_in_expression(&self, expr: &str) -> BTreeSet<String> {
        let expr = sole_expression(expr).unwrap_or(expr);
        let names = self.env.compile_expression(expr).map(|expr| expr.undeclared_variables(true));
        step_ids(&names.unwrap_or_default())
    }

    fn walk(&self, value: &Value, scope: &Scope<'_>, at: &str) -> Result<Value, TemplateError> {
        match value {
            Value::String(text) if Self::is_template(text) => self
                .string(text, scope)
                .map_err(|problem| TemplateError::At { at: at.to_owned(), problem: Box::new(problem) }),
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(i, item)| self.walk(item, scope, &format!("{at}[{i}]")));
                items.collect::<Result<_, TemplateError>>().map(Value::Array)
            }
            Value::Object(fields) => {
                let walked = |(name, field): (&String, &Value)| {
                    self.walk(field, scope, &format!("{at}.{name}")).map(|field| (name.clone(), field))
                };
                fields.iter().map(walked).collect::<Result<_, TemplateError>>().map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn string(&self, text: &str, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        match sole_expression(text).filter(|expr| self.env.compile_expression(expr).is_ok()) {
            Some(expr) => {
                scope.count_template()?;
                to_json(&self.expression(expr, scope)?, scope)
            }
            None => self.text(text, scope).map(Value::String),
        }
    }

    fn text(&self, template: &str, scope: &Scope<'_>) -> Result<String, TemplateError> {
        scope.count_template()?;
        let compiled = self.env.template_from_str(template).map_err(|error| unreadable(&error))?;
        let text = compiled
            .render(scope.context.clone())
            .map_err(|error| failure(&error, &compiled.undeclared_variables(true), scope.json))?;
        scope.count_bytes(text.len())?;
        Ok(text)
    }

    fn expression(&self, expr: &str, scope: &Scope<'_>) -> Result<minijinja::Value, TemplateError> {
        let compiled = self.env.compile_expression(expr).map_err(|error| unreadable(&error))?;
        let value = compiled
            .eval(scope.context.clone())
            .map_err(|error| failure(&error, &compiled.undeclared_variables(true), scope.json))?;
        match value.kind() {
            ValueKind::Undefined => Err(missing(&compiled.undeclared_variables(true), scope.json)),
            ValueKind::Invalid => Err(TemplateError::Failed(value.to_string())),
            _ => Ok(value),
        }
    }
}

/// The expression of a text that is nothing but `{{ expression }}`.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

/// Written out and read back with a limit: a value of the engine may be a recipe for far more than it holds.
fn to_json(value: &minijinja::Value, scope: &Scope<'_>) -> Result<Value, TemplateError> {
    let mut json = Limited { bytes: Vec::new(), limit: scope.bytes_left.get() };
    let failed = |error: &serde_json::Error| TemplateError::Failed(error.to_string());
    serde_json::to_writer(&mut json, value)
        .map_err(|error| if error.is_io() { TemplateError::TooLarge } else { failed(&error) })?;
    scope.count_bytes(json.bytes.len())?;
    serde_json::from_slice(&json.bytes).map_err(|error| failed(&error))
}

struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other("larger than allowed"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unreadable(error: &minijinja::Error) -> TemplateError {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Syntax(error.line().map_or_else(|| what.clone(), |line| format!("{what}, on line {line}")))
}

fn failure(error: &minijinja::Error, names: &HashSet<String>, scope: &Value) -> TemplateError {
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::TooMuchWork,
        ErrorKind::UndefinedError => missing(names, scope),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            TemplateError::Failed("a template cannot use other templates".into())
        }
        kind => {
            TemplateError::Failed(error.detail().map_or_else(|| kind.to_string(), |what| format!("{kind}: {what}")))
        }
    }
}

/// The engine says only that something is undefined; what, is found by looking up each name that the template uses.
fn missing(names: &HashSet<String>, scope: &Value) -> TemplateError {
    let sorted: BTreeSet<&String> = names.iter().collect();
    let absent = |name: &&&String| scope.pointer(&format!("/{}", name.replace('.', "/"))).is_none();
    sorted.iter().find(absent).map_or_else(
        || TemplateError::Failed("a value that it uses does not exist".into()),
        |name| TemplateError::Missing((**name).clone()),
    )
}

fn step_ids(names: &HashSet<String>) -> BTreeSet<String> {
    let id = |name: &String| Some(name.strip_prefix("steps.")?.split('.').next()?.to_owned());
    names.iter().filter_map(id).collect()
}

#[cfg(test)]
mod tests;
