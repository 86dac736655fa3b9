//! Pieces of the JSON that several objects share.

use serde_json::{Value, json};

/// One object made of several: `json!` cannot hold as many fields as some of Stripe's objects have.
pub(super) fn joined<const N: usize>(parts: [Value; N]) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// An object whose fields are all null.
pub(super) fn nulls(names: &[&str]) -> Value {
    Value::Object(names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect())
}

/// A whole list, as objects hold it.
pub(super) fn list(data: &[Value], url: &str) -> Value {
    json!({"object": "list", "data": data, "has_more": false, "url": url})
}

/// Somebody's address and name, none of which is known.
pub(super) fn billing_details() -> Value {
    let address = nulls(&["city", "country", "line1", "line2", "postal_code", "state"]);
    joined([json!({"address": address}), nulls(&["email", "name", "phone", "tax_id"])])
}

/// What a subscription, an invoice and a session say of taxes: none are computed.
pub(super) fn automatic_tax() -> Value {
    json!({"disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null})
}

/// How Stripe bills subscriptions made with this version of its interface.
pub(super) fn billing_mode(since: i64) -> Value {
    json!({"flexible": {"proration_discounts": "included"}, "type": "flexible", "updated_at": since})
}
