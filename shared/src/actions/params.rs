//! What each action takes: one struct per action, from which its JSON Schema is made.
//!
//! The comments are part of the schema: people and the planner read them, and the first sentence of a field becomes
//! the message when its value has the wrong form. Fields may be added with a default; none may be renamed. A new
//! action begins with a struct here and goes on in `list.rs`.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

/// The longest wait, in seconds: 366 days.
pub const MAX_WAIT_SECONDS: u64 = 366 * 86_400;
/// The size of an answer that `http.request` takes unless told otherwise.
const DEFAULT_MAX_BYTES: u64 = 1024 * 1024;

/// Sends a mail.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSend {
    /// One mail address, or a list of 1 to 20 of them.
    pub to: Recipients,
    /// The subject, in 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub subject: String,
    /// The message as plain text.
    #[schemars(length(max = 100_000))]
    pub body: String,
    /// The same message as HTML, shown instead of the text where that is possible.
    #[schemars(length(max = 100_000))]
    pub html: Option<String>,
}

/// One mail address, or a list of 1 to 20 of them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Recipients {
    /// One address.
    One(#[schemars(email)] String),
    /// Several addresses.
    Many(#[schemars(length(min = 1, max = 20), inner(email))] Vec<String>),
}

impl Recipients {
    /// The addresses, however they were written.
    pub fn into_list(self) -> Vec<String> {
        match self {
            Self::One(address) => vec![address],
            Self::Many(addresses) => addresses,
        }
    }
}

/// Sends an HTTP request and takes in the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// GET, POST, PUT, PATCH, DELETE or HEAD.
    #[serde(default)]
    pub method: Method,
    /// A full http or https URL without a user name or password: `https://example.com/path`.
    #[schemars(length(max = 8000), regex(pattern = r"^https?://[^\s@/?#]+([/?#].*)?$"))]
    pub url: String,
    /// Headers to send. Those that manage the connection, and `Idempotency-Key`, are not for you to set.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Parameters to add to the URL's query.
    #[serde(default)]
    pub query: BTreeMap<String, Scalar>,
    /// The body: a text is sent as it is, anything else as JSON.
    pub body: Option<Value>,
    /// The statuses that mean success: 200 to 299 if left out.
    #[schemars(length(min = 1, max = 100), inner(range(min = 100, max = 599)))]
    pub expect_status: Option<Vec<u16>>,
    /// Whether any other status is a failure of the step.
    #[serde(default = "yes")]
    pub fail_on_status: bool,
    /// Whether a server that cannot be reached is an output (`status` 0 and `error`) instead of a failed attempt.
    #[serde(default)]
    pub capture_errors: bool,
    /// The largest answer that is taken, in bytes.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1, max = 5_242_880))]
    pub max_bytes: u64,
}

impl HttpRequest {
    /// Whether a status means success.
    pub fn expects(&self, status: u16) -> bool {
        self.expect_status.as_ref().map_or((200..300).contains(&status), |expected| expected.contains(&status))
    }
}

/// GET, POST, PUT, PATCH, DELETE or HEAD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Creates, or does something.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
    /// Reads the headers only.
    Head,
}

/// A text, a number, or true or false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(Number),
    /// True or false.
    Flag(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Fills in a template.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateRender {
    /// A text with `{{ … }}` in it. What is not a text becomes one, as JSON.
    pub template: Value,
}

/// Takes one value out of another.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataExtract {
    /// The value to look into, mostly a template such as `{{ steps.fetch.output.json }}`.
    pub from: Value,
    /// Where to look: a JSON pointer (`/items/0/name`), or names with dots (`items[0].name`).
    #[schemars(length(max = 1000))]
    pub path: String,
    /// What to give when nothing is there; without it the step fails.
    #[serde(default, deserialize_with = "present")]
    pub default: Option<Value>,
}

/// Give either `seconds` or `until`, not both.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["seconds"]}, {"required": ["until"]}]))]
pub struct Wait {
    /// How long to wait, in seconds, at most 366 days.
    #[schemars(range(max = MAX_WAIT_SECONDS))]
    pub seconds: Option<u64>,
    /// The moment to wait for: `2026-01-31T09:00:00Z`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<DateTime<Utc>>,
}

/// Asks a person to do something, and waits until it is done.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HumanTask {
    /// What is to be done.
    #[schemars(length(min = 1, max = 10_000))]
    pub instructions: String,
    /// Who is to do it, if not you.
    #[schemars(length(min = 1, max = 200))]
    pub assignee: Option<String>,
}

/// Asks for a yes or a no, and waits for it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What is to be approved.
    #[schemars(length(min = 1, max = 2000))]
    pub message: String,
}

const fn yes() -> bool {
    true
}

const fn default_max_bytes() -> u64 {
    DEFAULT_MAX_BYTES
}

/// Tells `null`, which is a value like any other, from a field that was left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
