//! `data.extract`: takes one value out of a larger one.
//!
//! A path that begins with `/` is a JSON pointer (RFC 6901); any other is names and numbers with dots or brackets
//! between them. The empty path is the whole value.

use serde_json::{Value, json};
use shared::actions::params::DataExtract;

use super::{ActionError, Done, Run};

/// Gives what is at the path, or the default.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: DataExtract = run.params()?;
    let found = find(&params.from, &params.path).cloned().or(params.default);
    let value = found.ok_or_else(|| {
        ActionError::Fail(format!("There is nothing at \"{}\" in the value, and no default was given.", params.path))
    })?;
    Ok(Done::Output(json!({ "value": value })))
}

fn find<'a>(from: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path.starts_with('/') {
        return from.pointer(path);
    }
    path.split(['.', '[', ']']).filter(|name| !name.is_empty()).try_fold(from, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::run_of;

    fn extract(with: Value) -> Result<Done, ActionError> {
        run(&run_of("data.extract", with))
    }

    #[test]
    fn pointers_and_dotted_paths_find_the_same() {
        let from = json!({"items": [{"name": "first"}, {"na/me": 2, "n": null}], "0": "zero"});
        for (path, expected) in [
            ("/items/0/name", json!("first")),
            ("items.0.name", json!("first")),
            ("items[0].name", json!("first")),
            ("/items/1/na~1me", json!(2)),
            ("items[1].na/me", json!(2)),
            ("items[1].n", Value::Null),
            ("0", json!("zero")),
            ("", from.clone()),
        ] {
            let found = extract(json!({"from": from, "path": path})).unwrap();
            assert_eq!(found, Done::Output(json!({"value": expected})), "{path}");
        }
    }

    #[test]
    fn where_nothing_is_the_default_counts_even_if_it_is_null() {
        for path in ["missing", "a.b.c", "/a/x", "list[7]", "list.x"] {
            let with = |default: &Value| json!({"from": {"a": 1, "list": [1]}, "path": path, "default": default});
            assert_eq!(extract(with(&json!(0))).unwrap(), Done::Output(json!({"value": 0})));
            assert_eq!(extract(with(&Value::Null)).unwrap(), Done::Output(json!({"value": null})));
        }
    }

    #[test]
    fn without_a_default_the_step_fails_and_says_where() {
        let error = extract(json!({"from": {}, "path": "a.b"})).unwrap_err();
        assert!(matches!(&error, ActionError::Fail(message) if message.contains("\"a.b\"")), "{error}");
    }
}
