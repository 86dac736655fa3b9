//! Says in plain words what a schema has against a value.
//!
//! The words for each sort of fault are in [`message`]; what has no words there falls back on the description of the
//! field, so a good first sentence in `params.rs` is all that a new parameter needs.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::domain::plan::FieldError;

/// The faults that `error` stands for; `schema` is the one that was broken, `at` the path of the value it was for.
pub(super) fn explain(error: &ValidationError<'_>, schema: &Value, at: &str) -> Vec<FieldError> {
    let at = path(error, at);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_fields(schema);
            let unknown = |name: &String| {
                FieldError::new(format!("{at}.{name}"), format!("is not known here; there are {known}"))
            };
            unexpected.iter().map(unknown).collect()
        }
        ValidationErrorKind::Required { property } => {
            vec![FieldError::new(format!("{at}.{}", property.as_str().unwrap_or_default()), "is missing")]
        }
        _ => vec![FieldError::new(at, message(error, schema))],
    }
}

fn message(error: &ValidationError<'_>, schema: &Value) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            format!("must be {}, not {}", expected_types(kind), type_name(JsonType::from(error.instance().as_ref())))
        }
        ValidationErrorKind::MinLength { limit: 1 } | ValidationErrorKind::MinItems { limit: 1 } => {
            "must not be empty".into()
        }
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} entries"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} entries"),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::Format { format } => format_message(format),
        _ => described(error, schema),
    }
}

fn format_message(format: &str) -> String {
    match format {
        "email" => "must be a mail address, such as ada@example.com".into(),
        "date-time" => "must be a time with its zone, such as 2026-01-31T09:00:00Z".into(),
        other => format!("must have the format \"{other}\""),
    }
}

/// What the broken part of the schema says about itself; values are left out, they may be long or secret.
fn described(error: &ValidationError<'_>, schema: &Value) -> String {
    let keyword = error.schema_path().as_str();
    let part = keyword.rsplit_once('/').and_then(|(part, _)| schema.pointer(part));
    match part.and_then(|part| part["description"].as_str()) {
        Some(description) => format!("does not fit: {}", first_sentence(description)),
        None => error.masked().to_string(),
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn path(error: &ValidationError<'_>, at: &str) -> String {
    let step = |segment: LocationSegment<'_>| match segment {
        LocationSegment::Property(name) => format!(".{name}"),
        LocationSegment::Index(index) => format!("[{index}]"),
    };
    let steps: Vec<String> = error.instance_path().iter().map(step).collect();
    format!("{at}{}", steps.concat())
}

fn known_fields(schema: &Value) -> String {
    let names = schema["properties"].as_object().map(|fields| fields.keys().map(String::as_str).collect::<Vec<_>>());
    names.unwrap_or_default().join(", ")
}

fn expected_types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(only) => type_name(*only).into(),
        TypeKind::Multiple(several) => {
            // An optional field may also be null, which is not worth a word.
            let names: Vec<_> = several.iter().filter(|kind| *kind != JsonType::Null).map(type_name).collect();
            names.join(" or ")
        }
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    }
}
