//! Why Stripe did not do what it was asked for.

use serde::Deserialize;

/// The result of a call to Stripe.
pub type StripeResult<T> = Result<T, StripeError>;

/// Why Stripe did not do what it was asked for (<https://docs.stripe.com/api/errors>).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// The payment was refused: nothing was paid. `message` is for the payer.
    #[error("the payment was declined: {message}")]
    Declined {
        /// Stripe's code, `card_declined` for instance.
        code: Option<String>,
        /// What the bank said, `insufficient_funds` for instance.
        decline_code: Option<String>,
        /// For the payer.
        message: String,
    },
    /// The payer has to confirm the payment on a page of the bank: nothing was paid.
    #[error("the payer must confirm the payment: {0}")]
    NeedsAction(String),
    /// The request itself is wrong.
    #[error("Stripe refused the request ({code:?}, {param:?}): {message}")]
    Invalid {
        /// Stripe's code, `resource_missing` for instance.
        code: Option<String>,
        /// The parameter that it is about.
        param: Option<String>,
        /// Stripe's words.
        message: String,
    },
    /// What the call is about does not exist. What it merely names and does not exist is [`StripeError::Invalid`].
    #[error("Stripe knows nothing of it: {0}")]
    NotFound(String),
    /// The key is wrong or may not do this.
    #[error("Stripe refused the API key: {0}")]
    Unauthorized(String),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request: {0}")]
    KeyReused(String),
    /// Stripe could not be reached, or was out of order, until patience was over. Whether it was done is not known:
    /// asking again with the same key tells. `saved`: Stripe answered 5xx, and would answer so again under this key.
    #[error("Stripe is out of reach: {message}")]
    Unavailable {
        /// What happened last.
        message: String,
        /// Whether Stripe has saved this outcome under the key.
        saved: bool,
    },
    /// The answer is not what it should be. What was asked for may have been done.
    #[error("Stripe's answer cannot be read: {0}")]
    Unreadable(String),
}

impl StripeError {
    /// Whether trying again with the same idempotency key may help.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { saved: false, .. })
    }

    /// What went wrong without Stripe's own words, which may name people: for logs.
    pub(super) fn outline(&self) -> String {
        match self {
            Self::Declined { code, decline_code, .. } => format!("declined: {code:?}, {decline_code:?}"),
            Self::NeedsAction(_) => "needs the payer's confirmation".to_owned(),
            Self::Invalid { code, param, .. } => format!("invalid: {code:?}, {param:?}"),
            Self::NotFound(_) => "not found".to_owned(),
            Self::Unauthorized(_) => "the API key was refused".to_owned(),
            Self::KeyReused(_) => "the idempotency key was used for another request".to_owned(),
            Self::Unavailable { message, .. } => format!("unavailable: {message}"),
            Self::Unreadable(_) => "the answer cannot be read".to_owned(),
        }
    }
}

/// Codes of payments that the payer has to confirm.
const NEEDS_ACTION: [&str; 3] = [
    "authentication_required",
    "invoice_payment_intent_requires_action",
    "subscription_payment_intent_requires_action",
];

/// The body of an error.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

/// What an error says.
#[derive(Debug, Default, Deserialize)]
struct ErrorDetail {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    message: Option<String>,
}

/// What an answer means whose status is not that of success.
pub(super) fn refusal(status: u16, body: &str) -> StripeError {
    let ErrorDetail { kind, code, decline_code, param, message } =
        serde_json::from_str::<ErrorBody>(body).unwrap_or_default().error;
    let message = message.unwrap_or_else(|| format!("status {status}"));
    let is_named = param.as_deref().is_some_and(|param| param != "id");
    match (status, kind.as_deref(), code.as_deref()) {
        (409 | 429, ..) => StripeError::Unavailable { message: format!("status {status}"), saved: false },
        (424 | 500..=599, ..) => StripeError::Unavailable { message: format!("status {status}"), saved: true },
        (_, Some("idempotency_error"), _) => StripeError::KeyReused(message),
        (401 | 403, ..) => StripeError::Unauthorized(message),
        (.., Some(code)) if NEEDS_ACTION.contains(&code) => StripeError::NeedsAction(message),
        (402, ..) | (_, Some("card_error"), _) => StripeError::Declined { code, decline_code, message },
        (404, ..) => StripeError::NotFound(message),
        (_, _, Some("resource_missing")) if !is_named => StripeError::NotFound(message),
        (400..=499, ..) => StripeError::Invalid { code, param, message },
        _ => StripeError::Unreadable(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(status: u16, error: &Value) -> StripeError {
        refusal(status, &json!({"error": error}).to_string())
    }

    fn invalid(code: Option<&str>, param: Option<&str>, message: &str) -> StripeError {
        StripeError::Invalid {
            code: code.map(str::to_owned),
            param: param.map(str::to_owned),
            message: message.to_owned(),
        }
    }

    fn unavailable(status: u16, saved: bool) -> StripeError {
        StripeError::Unavailable { message: format!("status {status}"), saved }
    }

    #[test]
    fn a_declined_payment_says_why() {
        let error = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.", "param": null, "charge": "ch_1"});
        let expected = StripeError::Declined {
            code: Some("card_declined".into()),
            decline_code: Some("insufficient_funds".into()),
            message: "Your card has insufficient funds.".into(),
        };
        assert_eq!(refused(402, &error), expected);
        assert_eq!(refused(400, &error), expected);
    }

    #[test]
    fn a_payment_that_must_be_confirmed_is_told_from_a_declined_one() {
        for code in NEEDS_ACTION {
            let error = json!({"type": "card_error", "code": code, "message": "Confirm."});
            assert_eq!(refused(402, &error), StripeError::NeedsAction("Confirm.".into()), "{code}");
        }
    }

    #[test]
    fn what_the_call_is_about_is_told_from_what_it_names() {
        let missing = |param| json!({"code": "resource_missing", "param": param, "message": "No such thing"});
        assert_eq!(refused(404, &missing("id")), StripeError::NotFound("No such thing".into()));
        assert_eq!(refused(404, &missing("payment_method")), StripeError::NotFound("No such thing".into()));
        assert_eq!(refused(400, &missing("id")), StripeError::NotFound("No such thing".into()));
        let named = invalid(Some("resource_missing"), Some("customer"), "No such thing");
        assert_eq!(refused(400, &missing("customer")), named);
    }

    #[test]
    fn other_refusals_are_told_apart_by_status_and_type() {
        let said = |kind: &str| json!({"type": kind, "message": "Words."});
        let words = || "Words.".to_owned();
        for (status, kind, expected) in [
            (400, "invalid_request_error", invalid(None, None, "Words.")),
            (422, "invalid_request_error", invalid(None, None, "Words.")),
            (400, "idempotency_error", StripeError::KeyReused(words())),
            // An earlier attempt under the same key is still at work.
            (409, "idempotency_error", unavailable(409, false)),
            (409, "invalid_request_error", unavailable(409, false)),
            (429, "invalid_request_error", unavailable(429, false)),
            (401, "invalid_request_error", StripeError::Unauthorized(words())),
            (403, "invalid_request_error", StripeError::Unauthorized(words())),
            (424, "api_error", unavailable(424, true)),
            (500, "api_error", unavailable(500, true)),
            (302, "api_error", StripeError::Unreadable("status 302".into())),
        ] {
            assert_eq!(refused(status, &said(kind)), expected, "{status} {kind}");
        }
    }

    #[test]
    fn a_refusal_without_a_readable_reason_is_still_one() {
        for body in ["", "<html>", "{}", r#"{"error": "invalid_grant"}"#, "[]", "null"] {
            assert_eq!(refusal(400, body), invalid(None, None, "status 400"), "{body}");
            assert_eq!(refusal(503, body), unavailable(503, true), "{body}");
        }
    }

    #[test]
    fn only_what_was_not_saved_may_pass_under_the_same_key() {
        assert!(unavailable(429, false).may_pass());
        assert!(!unavailable(500, true).may_pass());
        assert!(!StripeError::NeedsAction(String::new()).may_pass());
    }

    #[test]
    fn logs_have_the_codes_and_none_of_stripes_words() {
        let error = json!({"type": "invalid_request_error", "code": "email_invalid", "param": "email",
            "message": "Invalid email address: ada@example.com"});
        assert_eq!(refused(400, &error).outline(), r#"invalid: Some("email_invalid"), Some("email")"#);
    }
}
