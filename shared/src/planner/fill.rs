//! Filling: puts what was captured from an intent into the `<<name>>` places of a recipe's steps.
//!
//! A step's texts are templates that are rendered when the step runs, and an intent is written by anyone. So a
//! capture must never become template code: within text it goes in as it is when it holds no `{` (without which no
//! template code can begin) and as a quoted literal otherwise; within an expression it always goes in as a literal.
//! Places where neither is possible (inside quotes, comments and raw blocks, or right after a `{`) are faults of the
//! recipe. Keep [`State`] in step with the lexer of minijinja.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use super::capture::{Captured, Captures};
use super::phrase::is_name;

/// Why a recipe's step cannot be filled.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum FillError {
    #[error("<<{0}>> is not always captured and has no default")]
    Unknown(String),
    #[error("<<{0}>> stands inside quotes, a comment or a raw block, or right after a {{")]
    Misplaced(String),
}

/// What the places of a recipe are filled with.
pub(super) struct Filling<'a> {
    /// From the intent: data, whatever it looks like.
    pub captures: &'a Captures,
    /// From the recipe: its author may write templates.
    pub defaults: &'a BTreeMap<String, Value>,
}

/// One filled place in each of its three forms.
struct Filler {
    alone: Value,
    in_text: String,
    in_code: String,
}

/// Where in a template a reader is. A template has closed an expression only when its brackets are closed too.
#[derive(Clone, Copy)]
enum State {
    Text,
    Comment,
    Code { close: Option<&'static str>, depth: usize },
    Quoted { close: Option<&'static str>, depth: usize, mark: char },
}

impl Filling<'_> {
    /// `value` with every text in it filled.
    pub(super) fn value(&self, value: &Value) -> Result<Value, FillError> {
        Ok(match value {
            Value::String(text) => self.text(text)?,
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let filled = fields.iter().map(|(key, item)| self.value(item).map(|item| (key.clone(), item)));
                Value::Object(filled.collect::<Result<_, _>>()?)
            }
            other => other.clone(),
        })
    }

    /// An expression, such as the `when` of a step, filled.
    pub(super) fn expression(&self, code: &str) -> Result<String, FillError> {
        self.fill(code, State::Code { close: None, depth: 0 })
    }

    fn text(&self, text: &str) -> Result<Value, FillError> {
        match place(text) {
            Some((name, "")) => Ok(self.filler(name)?.alone),
            _ => Ok(Value::String(self.fill(text, State::Text)?)),
        }
    }

    fn fill(&self, template: &str, mut state: State) -> Result<String, FillError> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while !rest.is_empty() {
            if let Some((name, after)) = place(rest) {
                let value = self.filler(name)?;
                match state {
                    State::Text if !filled.ends_with('{') && !template.contains("endraw") => {
                        filled.push_str(&value.in_text);
                    }
                    State::Code { .. } => filled.push_str(&value.in_code),
                    _ => return Err(FillError::Misplaced(name.to_owned())),
                }
                rest = after;
            } else {
                let (head, tail) = rest.split_at(state.step(rest));
                filled.push_str(head);
                rest = tail;
            }
        }
        Ok(filled)
    }

    fn filler(&self, name: &str) -> Result<Filler, FillError> {
        if let Some(captured) = self.captures.get(name) {
            return Ok(Filler {
                alone: inert_value(&captured.value),
                in_text: inert(&captured.text),
                in_code: captured.value.to_string(),
            });
        }
        let default = self.defaults.get(name).ok_or_else(|| FillError::Unknown(name.to_owned()))?;
        let Captured { text, value } = Captured::fallback(default);
        Ok(Filler { in_code: value.to_string(), in_text: text, alone: value })
    }
}

impl State {
    /// Moves over what `rest` begins with and returns its length in bytes.
    fn step(&mut self, rest: &str) -> usize {
        let next = rest.chars().next().map_or(0, char::len_utf8);
        let (state, length) = match *self {
            Self::Text if rest.starts_with("{{") => (Self::Code { close: Some("}}"), depth: 0 }, 2),
            Self::Text if rest.starts_with("{%") => (Self::Code { close: Some("%}"), depth: 0 }, 2),
            Self::Text if rest.starts_with("{#") => (Self::Comment, 2),
            Self::Comment if rest.starts_with("#}") => (Self::Text, 2),
            Self::Code { close, depth } => Self::step_in_code(rest, close, depth, next),
            Self::Quoted { close, depth, mark } if rest.starts_with(mark) => (Self::Code { close, depth }, next),
            Self::Quoted { .. } if rest.starts_with('\\') => {
                (*self, rest.chars().take(2).map(char::len_utf8).sum::<usize>())
            }
            unchanged => (unchanged, next),
        };
        *self = state;
        length
    }

    fn step_in_code(rest: &str, close: Option<&'static str>, depth: usize, next: usize) -> (Self, usize) {
        if let Some(mark) = close
            && depth == 0
            && rest.starts_with(mark)
        {
            return (Self::Text, mark.len());
        }
        let state = match rest.chars().next() {
            Some(mark @ ('"' | '\'')) => Self::Quoted { close, depth, mark },
            Some('(' | '[' | '{') => Self::Code { close, depth: depth + 1 },
            Some(')' | ']' | '}') => Self::Code { close, depth: depth.saturating_sub(1) },
            _ => Self::Code { close, depth },
        };
        (state, next)
    }
}

/// `text` as a template that renders to `text`.
pub(super) fn inert(text: &str) -> String {
    if text.contains('{') { format!("{{{{ {} }}}}", Value::from(text)) } else { text.to_owned() }
}

fn inert_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(inert(text)),
        other => other.clone(),
    }
}

/// The name of the `<<name>>` that `text` begins with, and what follows it.
fn place(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix("<<")?.split_once(">>")?;
    is_name(name).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;
    use serde_json::json;

    use super::*;
    use crate::planner::capture::Kind;

    const ATTACKS: &[&str] = &[
        "{{ user.secret }}",
        "{% for x in user %}{{ x }}{% endfor %}",
        "{# gone #}",
        "\"}}{{ user.secret }}{{\"",
        "'}}{{ user.secret }}",
        "\\\"}} {{ user.secret }}",
        "{",
        "{ {",
        "}} {{ user.secret",
        "% if true %}",
        "# }{{ user.secret }}",
        "<<y>>",
        "{% raw %}{{ user.secret }}{% endraw %}",
        "a\nb\t\u{0}é😀 {{- user.secret -}} ",
    ];

    fn fill(template: &str, x: &str) -> Result<Value, FillError> {
        let captured = |text| Kind::Text.read(text).unwrap();
        let captures = Captures::from([("x".to_owned(), captured(x)), ("y".to_owned(), captured("why"))]);
        let defaults = BTreeMap::from([("z".to_owned(), json!("{{ user.email }}"))]);
        Filling { captures: &captures, defaults: &defaults }.value(&json!(template))
    }

    fn render(template: &Value) -> String {
        let scope = json!({"user": {"secret": "LEAKED", "email": "me@example.com"}});
        let scope = minijinja::Value::from(minijinja::value::Serde(&scope));
        Environment::new().render_str(template.as_str().unwrap(), scope).unwrap()
    }

    #[test]
    fn a_capture_is_never_run_as_template_code() {
        for attack in ATTACKS {
            let text = Kind::Text.read(attack).unwrap().text;
            for (template, expected) in [
                ("<<x>>", text.clone()),
                ("say <<x>>!", format!("say {text}!")),
                ("<<x>><<x>>", format!("{text}{text}")),
                ("{{ <<x>> }}", text.clone()),
                ("{{ [<<x>>, {\"a\": {\"b\": 1}}][0] }}<<x>>", format!("{text}{text}")),
                ("{{ \"}}\" ~ <<x>> }}", format!("}}}}{text}")),
                ("{% if <<x>> %}<<x>>{% endif %}", text.clone()),
                ("{# note #}<<x>>", text.clone()),
            ] {
                assert_eq!(render(&fill(template, attack).unwrap()), expected, "{template} with {attack}");
            }
        }
    }

    #[test]
    fn a_place_where_no_literal_can_stand_is_a_fault() {
        for template in
            ["{{ \"<<x>>\" }}", "{{ 'it\\'s <<x>>' }}", "{# <<x>> #}", "{<<x>>", "{% raw %}<<x>>{% endraw %}"]
        {
            assert_eq!(fill(template, "a"), Err(FillError::Misplaced("x".to_owned())), "{template}");
        }
    }

    #[test]
    fn plain_captures_read_plainly_and_defaults_may_be_templates() {
        assert_eq!(fill("a <<x>> b", "50% #1").unwrap(), json!("a 50% #1 b"));
        assert_eq!(render(&fill("to <<z>>", "a").unwrap()), "to me@example.com");
        assert_eq!(fill("<<not a place>> << x >>", "a").unwrap(), json!("<<not a place>> << x >>"));
        assert_eq!(fill("<<w>>", "a"), Err(FillError::Unknown("w".to_owned())));
    }

    #[test]
    fn a_capture_alone_keeps_its_type_and_an_expression_gets_a_literal() {
        let captures = Captures::from([
            ("n".to_owned(), Kind::Number.read("3").unwrap()),
            ("t".to_owned(), Kind::Time.read("in 5 minutes").unwrap()),
        ]);
        let filling = Filling { captures: &captures, defaults: &BTreeMap::new() };
        assert_eq!(filling.value(&json!({"a": ["<<n>>", "<<t>>"]})), Ok(json!({"a": [3, {"seconds": 300}]})));
        assert_eq!(filling.value(&json!("<<n>> times <<t>>")), Ok(json!("3 times in 5 minutes")));
        assert_eq!(filling.expression("steps.a.output.status != <<n>>"), Ok("steps.a.output.status != 3".to_owned()));
    }
}
