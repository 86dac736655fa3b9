//! What Stripe says about invoices.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{List, Named, or_default, time};

/// An invoice, or only its id.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum MaybeInvoice {
    /// Its id.
    Id(String),
    /// All of it.
    Whole(Box<Invoice>),
}

/// An invoice.
#[derive(Debug, Clone, Deserialize)]
pub struct Invoice {
    /// Its id; a preview has none that lasts.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// Whose it is.
    pub customer: Option<Named>,
    /// Its number, as people see it.
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `uncollectible` or `void`.
    pub status: Option<String>,
    /// Why it was made: `subscription_create`, `subscription_cycle`, `subscription_update` and so on.
    pub billing_reason: Option<String>,
    /// What is to be paid.
    #[serde(default, deserialize_with = "or_default")]
    pub amount_due: i64,
    /// What was paid.
    #[serde(default, deserialize_with = "or_default")]
    pub amount_paid: i64,
    /// In which currency, in small letters.
    #[serde(default, deserialize_with = "or_default")]
    pub currency: String,
    /// How often it was tried to collect the money.
    #[serde(default, deserialize_with = "or_default")]
    pub attempt_count: i64,
    /// Where people see and pay it.
    pub hosted_invoice_url: Option<String>,
    /// The same as a file.
    pub invoice_pdf: Option<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// The beginning of what it covers.
    pub period_start: Option<i64>,
    /// The end of what it covers.
    pub period_end: Option<i64>,
    /// When it was paid and so on.
    pub status_transitions: Option<Transitions>,
    lines: Option<List<InvoiceLine>>,
    parent: Option<InvoiceParent>,
    subscription: Option<Named>,
    payments: Option<List<InvoicePayment>>,
    payment_intent: Option<Named>,
}

/// When an invoice changed its state.
#[derive(Debug, Clone, Deserialize)]
pub struct Transitions {
    /// When it was paid.
    pub paid_at: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
struct InvoiceLine {
    #[serde(default, deserialize_with = "or_default")]
    amount: i64,
    pricing: Option<LinePricing>,
    price: Option<Named>,
    plan: Option<Named>,
}

#[derive(Debug, Clone, Deserialize)]
struct LinePricing {
    price_details: Option<PriceDetails>,
}

#[derive(Debug, Clone, Deserialize)]
struct PriceDetails {
    price: Option<Named>,
}

#[derive(Debug, Clone, Deserialize)]
struct InvoiceParent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Clone, Deserialize)]
struct SubscriptionDetails {
    subscription: Option<Named>,
}

#[derive(Debug, Clone, Deserialize)]
struct InvoicePayment {
    status: Option<String>,
    payment: Option<InvoicePaymentSource>,
}

#[derive(Debug, Clone, Deserialize)]
struct InvoicePaymentSource {
    payment_intent: Option<Named>,
}

impl InvoiceLine {
    fn price(&self) -> Option<&str> {
        let details = self.pricing.as_ref().and_then(|pricing| pricing.price_details.as_ref());
        let named = details.and_then(|details| details.price.as_ref()).or(self.price.as_ref()).or(self.plan.as_ref());
        named.map(|named| named.0.as_str())
    }
}

impl InvoicePayment {
    fn intent(&self) -> Option<&Named> {
        self.payment.as_ref()?.payment_intent.as_ref()
    }
}

impl Invoice {
    /// The price of what costs most on it: where a plan was changed, that is the one that it was changed to.
    pub fn price(&self) -> Option<&str> {
        let lines = self.lines.iter().flat_map(|lines| &lines.data);
        lines.max_by_key(|line| line.amount)?.price()
    }

    /// When it was paid; when it was made, if that is not said.
    pub fn paid_at(&self) -> Option<DateTime<Utc>> {
        let paid_at = self.status_transitions.as_ref().and_then(|transitions| transitions.paid_at);
        time(paid_at.unwrap_or(self.created))
    }

    /// The subscription that it is for.
    pub fn subscription(&self) -> Option<&str> {
        let details = self.parent.as_ref().and_then(|parent| parent.subscription_details.as_ref());
        let named = details.and_then(|details| details.subscription.as_ref()).or(self.subscription.as_ref());
        named.map(|named| named.0.as_str())
    }

    /// The payment that paid it, or is to pay it, if that was asked for.
    pub fn payment_intent(&self) -> Option<&str> {
        let payments = || self.payments.iter().flat_map(|payments| &payments.data);
        let paid =
            payments().filter(|payment| payment.status.as_deref() == Some("paid")).find_map(InvoicePayment::intent);
        let named = paid.or_else(|| payments().find_map(InvoicePayment::intent)).or(self.payment_intent.as_ref());
        named.map(|named| named.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_invoice_names_its_subscription_and_payment_where_each_version_has_them() {
        let new = json!({"id": "in_1", "parent": {"subscription_details": {"subscription": "sub_1"}},
            "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}});
        let old =
            json!({"id": "in_1", "subscription": {"id": "sub_1", "object": "subscription"}, "payment_intent": "pi_1"});
        for invoice in [new, old] {
            let invoice: Invoice = serde_json::from_value(invoice).unwrap();
            assert_eq!((invoice.subscription(), invoice.payment_intent()), (Some("sub_1"), Some("pi_1")));
        }
    }

    #[test]
    fn an_invoice_is_for_the_price_that_costs_most_wherever_each_version_has_it() {
        let new = |price: &str| json!({"price_details": {"price": price, "product": "prod_1"}});
        for lines in [
            json!([{"amount": -500, "pricing": new("price_1")}, {"amount": 1_500, "pricing": new("price_2")}]),
            json!([{"amount": 1_500, "price": {"id": "price_2"}}, {"amount": -500, "price": {"id": "price_1"}}]),
            json!([{"amount": 1_500, "plan": {"id": "price_2"}, "price": null}]),
        ] {
            let invoice: Invoice = serde_json::from_value(json!({"id": "in_1", "lines": {"data": lines}})).unwrap();
            assert_eq!(invoice.price(), Some("price_2"));
        }
        let bare: Invoice = serde_json::from_value(json!({"id": "in_1"})).unwrap();
        assert_eq!(bare.price(), None);
    }

    #[test]
    fn of_several_payments_an_invoice_names_the_one_that_paid_it() {
        let payment = |status, intent| json!({"status": status, "payment": {"payment_intent": intent}});
        let payments = json!({"data": [payment("canceled", "pi_1"), payment("paid", "pi_2")]});
        let invoice: Invoice = serde_json::from_value(json!({"id": "in_1", "payments": payments})).unwrap();
        assert_eq!(invoice.payment_intent(), Some("pi_2"));
    }
}
