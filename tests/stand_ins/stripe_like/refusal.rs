//! What Stripe answers when it does not do what it was asked: a status and one error object.
//!
//! Statuses follow Stripe: 400 for what is wrong with the request and for an id in a parameter that names nothing, 401
//! without the key, 402 where the card is the reason, 404 for an id in the path that names nothing.

use serde_json::{Value, json};

const INVALID: &str = "invalid_request_error";
const CARD: &str = "card_error";

/// A refused request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Whether the answer is kept under the idempotency key: not where the parameters were never accepted.
    pub(super) saved: bool,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    decline_code: Option<&'static str>,
    message: String,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: String) -> Self {
        Self { status, saved: true, kind, code: None, param: None, decline_code: None, message }
    }

    fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    fn unsaved(mut self) -> Self {
        self.saved = false;
        self
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(401, INVALID, message.to_owned()).unsaved()
    }

    pub(super) fn no_version() -> Self {
        Self::new(400, INVALID, "The stand-in wants a Stripe-Version header with each request.".to_owned()).unsaved()
    }

    pub(super) fn long_key() -> Self {
        Self::new(400, INVALID, "An idempotency key has at most 255 characters.".to_owned()).unsaved()
    }

    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self::new(404, INVALID, format!("Unrecognized request URL ({method}: {path}).")).unsaved()
    }

    pub(super) fn unknown(param: &str) -> Self {
        let message = format!("Received unknown parameter: {param}");
        Self::new(400, INVALID, message).code("parameter_unknown").about(param).unsaved()
    }

    pub(super) fn missing(param: &str) -> Self {
        let message = format!("Missing required param: {param}.");
        Self::new(400, INVALID, message).code("parameter_missing").about(param).unsaved()
    }

    pub(super) fn invalid(param: &str, why: &str) -> Self {
        Self::new(400, INVALID, format!("Invalid {param}: {why}.")).about(param).unsaved()
    }

    /// Something that Stripe can do and this stand-in cannot.
    pub(super) fn beyond(param: &str, what: &str) -> Self {
        Self::new(400, INVALID, format!("The stand-in cannot do this: {what}.")).about(param).unsaved()
    }

    /// A rule of Stripe's that the request breaks.
    pub(super) fn rule(param: &str, message: &str) -> Self {
        Self::new(400, INVALID, message.to_owned()).about(param)
    }

    /// A rule of Stripe's that has a code of its own.
    pub(super) fn coded(code: &'static str, param: &str, message: &str) -> Self {
        Self::rule(param, message).code(code)
    }

    /// The id in the path names nothing.
    pub(super) fn not_found(noun: &str, id: &str) -> Self {
        Self::new(404, INVALID, format!("No such {noun}: '{id}'")).code("resource_missing").about("id")
    }

    /// The id in a parameter names nothing.
    pub(super) fn no_such(noun: &str, id: &str, param: &str) -> Self {
        Self::new(400, INVALID, format!("No such {noun}: '{id}'")).code("resource_missing").about(param)
    }

    pub(super) fn declined(decline_code: &'static str) -> Self {
        let declined = Self::new(402, CARD, "Your card was declined.".to_owned()).code("card_declined");
        Self { decline_code: Some(decline_code), ..declined }
    }

    pub(super) fn needs_action() -> Self {
        let message = "The customer has to act before the payment of this subscription can succeed.";
        Self::new(402, CARD, message.to_owned()).code("subscription_payment_intent_requires_action")
    }

    pub(super) fn reused_key() -> Self {
        let message = "This idempotency key was first used with other parameters or for another path.";
        Self::new(400, "idempotency_error", message.to_owned()).unsaved()
    }

    /// A failure that the test ordered; only a 500 counts as begun, so only that is kept under the key.
    pub(super) fn ordered(status: u16) -> Self {
        let (kind, code) = match status {
            409 => ("idempotency_error", Some("idempotency_key_in_use")),
            429 => (INVALID, Some("rate_limit")),
            400..500 => (INVALID, None),
            _ => ("api_error", None),
        };
        let failed = Self::new(status, kind, format!("The test ordered a failure with status {status}."));
        Self { code, saved: status == 500, ..failed }
    }

    pub(super) fn json(&self) -> Value {
        let mut error = json!({"type": self.kind, "message": self.message});
        for (name, value) in
            [("code", self.code), ("param", self.param.as_deref()), ("decline_code", self.decline_code)]
        {
            if let Some(value) = value {
                error[name] = json!(value);
            }
        }
        json!({"error": error})
    }
}
