//! Invoices of the stand-in, as far as they are looked at.

use serde_json::Value;

/// An invoice.
pub(super) struct Bill {
    pub(super) id: String,
    pub(super) customer: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) due: i64,
    pub(super) paid: i64,
    pub(super) attempts: i64,
    /// Unix seconds.
    pub(super) created: i64,
    /// Unix seconds.
    pub(super) paid_at: Option<i64>,
}

impl Bill {
    pub(super) fn read(invoice: &Value) -> Self {
        let number = |name: &str| invoice[name].as_i64().unwrap_or_else(|| panic!("no {name} in {invoice}"));
        Self {
            id: text(&invoice["id"]),
            customer: text(&invoice["customer"]),
            status: text(&invoice["status"]),
            reason: text(&invoice["billing_reason"]),
            due: number("amount_due"),
            paid: number("amount_paid"),
            attempts: number("attempt_count"),
            created: number("created"),
            paid_at: invoice["status_transitions"]["paid_at"].as_i64(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
