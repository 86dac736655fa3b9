//! The list of actions: what a step can do, what that costs, and an example of each.
//!
//! A new action is a function and a line in [`actions`], a struct in `params.rs`, and an arm in
//! `worker/src/actions/mod.rs`.

use schemars::schema_for;
use serde::Serialize;
use serde_json::{Value, json};

use super::params;

/// One thing that a step can do.
#[derive(Debug, Clone, Serialize)]
pub struct ActionInfo {
    /// The name that plans use.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What one run costs, in micro-dollars.
    pub cost_micros: i64,
    /// How long it mostly takes, in milliseconds; waiting for people or time does not count.
    pub typical_ms: u64,
    /// The JSON Schema of its parameters.
    pub params: Value,
    /// The JSON Schema of its output.
    pub output: Value,
    /// Parameters that work.
    pub example: Value,
}

/// Every action.
pub(super) fn actions() -> Vec<ActionInfo> {
    vec![approval(), data_extract(), email_send(), http_request(), human_task(), template_render(), wait()]
}

fn email_send() -> ActionInfo {
    ActionInfo {
        name: "email.send",
        summary: "Sends a mail.",
        cost_micros: 200,
        typical_ms: 800,
        params: schema_for!(params::EmailSend).to_value(),
        output: object(&json!({
            "message_id": {"type": "string", "description": "The mail's Message-ID."},
            "to": {"type": "array", "items": {"type": "string"}, "description": "Where it went."},
        })),
        example: json!({
            "to": "{{ user.email }}",
            "subject": "Weekly sales",
            "body": "Total: {{ steps.sales.output.json.total }}",
        }),
    }
}

fn http_request() -> ActionInfo {
    ActionInfo {
        name: "http.request",
        summary: "Sends an HTTP request to a public address and takes in the answer.",
        cost_micros: 100,
        typical_ms: 500,
        params: schema_for!(params::HttpRequest).to_value(),
        output: object(&json!({
            "status": {"type": "integer", "description": "The status code."},
            "headers": {"type": "object", "description": "The headers, with names in lower case."},
            "json": {"description": "The body, if it is JSON."},
            "text": {"type": "string", "description": "The body, if it is other text."},
            "bytes": {"type": "integer", "description": "The size of the body."},
        })),
        example: json!({"method": "GET", "url": "https://example.com/sales.json", "query": {"week": 14}}),
    }
}

fn template_render() -> ActionInfo {
    ActionInfo {
        name: "template.render",
        summary: "Fills in a template and gives the text.",
        cost_micros: 0,
        typical_ms: 5,
        params: schema_for!(params::TemplateRender).to_value(),
        output: object(&json!({"text": {"type": "string", "description": "The text."}})),
        example: json!({"template": "Total: {{ steps.sales.output.json.total }}"}),
    }
}

fn data_extract() -> ActionInfo {
    ActionInfo {
        name: "data.extract",
        summary: "Takes one value out of a larger one.",
        cost_micros: 0,
        typical_ms: 5,
        params: schema_for!(params::DataExtract).to_value(),
        output: object(&json!({"value": {"description": "What was found, or the default."}})),
        example: json!({"from": "{{ steps.sales.output.json }}", "path": "regions[0].total", "default": 0}),
    }
}

fn wait() -> ActionInfo {
    ActionInfo {
        name: "wait",
        summary: "Waits for a while, or for a moment.",
        cost_micros: 0,
        typical_ms: 5,
        params: schema_for!(params::Wait).to_value(),
        output: object(&json!({
            "waited_until": {"type": "string", "format": "date-time", "description": "When the wait was over."},
        })),
        example: json!({"seconds": 3600}),
    }
}

fn human_task() -> ActionInfo {
    ActionInfo {
        name: "human.task",
        summary: "Asks a person to do something, and waits until it is done.",
        cost_micros: 0,
        typical_ms: 5,
        params: schema_for!(params::HumanTask).to_value(),
        output: json!({"type": "object", "description": "What the person gave when the task was done."}),
        example: json!({"instructions": "Check the figures in the report."}),
    }
}

fn approval() -> ActionInfo {
    ActionInfo {
        name: "approval",
        summary: "Asks for a yes or a no, and waits for it.",
        cost_micros: 0,
        typical_ms: 5,
        params: schema_for!(params::Approval).to_value(),
        output: json!({"type": "object", "description": "The decision, with its note if there is one."}),
        example: json!({"message": "Send the report to all customers?"}),
    }
}

fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}
