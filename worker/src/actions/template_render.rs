//! `template.render`: gives a text that other steps can use.
//!
//! The template was rendered with all other parameters of the step. It must not be rendered again: what it inserted
//! came from outside, and may look like a template itself.

use serde_json::{Value, json};
use shared::actions::params::TemplateRender;

use super::{ActionError, Done, Run};

/// Gives the rendered text.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: TemplateRender = run.params()?;
    let text = match params.template {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(Done::Output(json!({ "text": text })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::run_of;

    fn text(template: &Value) -> Value {
        match run(&run_of("template.render", json!({"template": template}))).unwrap() {
            Done::Output(output) => output["text"].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_a_text_becomes_one() {
        assert_eq!(text(&json!("Total: 42")), "Total: 42");
        assert_eq!(text(&json!(42)), "42");
        assert_eq!(text(&json!({"a": [1]})), "{\"a\":[1]}");
    }

    #[test]
    fn a_text_is_not_rendered_a_second_time() {
        assert_eq!(text(&json!("{{ 1 + 1 }}")), "{{ 1 + 1 }}");
    }
}
