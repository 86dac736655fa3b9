//! What Stripe answers, as far as we look at it.
//!
//! A field that is missing, new or of another version must not lose a payment: everything but ids may be absent, states
//! stay text, and what moved between versions is found in both places. Times are seconds since 1970, amounts are minor
//! units of the currency, as Stripe counts them.

mod schedule;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

pub use self::schedule::{Phase, PhaseItem, Schedule};

/// A value; null is the same as absent.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// What is on it.
    #[serde(default = "Vec::new")]
    pub data: Vec<T>,
    /// Whether there are more pages.
    #[serde(default, deserialize_with = "or_default")]
    pub has_more: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { data: Vec::new(), has_more: false }
    }
}

/// An object that is named by its id, or given as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(pub String);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Id(String),
            Whole { id: String },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Id(id) | Either::Whole { id } => Self(id),
        })
    }
}

/// Any object of which only the id matters.
#[derive(Debug, Clone, Deserialize)]
pub struct Object {
    /// Its id.
    pub id: String,
}

/// A price.
#[derive(Debug, Clone, Deserialize)]
pub struct Price {
    /// Its id.
    pub id: String,
    /// The name that we gave it.
    pub lookup_key: Option<String>,
    /// What one costs.
    pub unit_amount: Option<i64>,
    /// In which currency, in small letters.
    pub currency: Option<String>,
}

/// A subscription.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub customer: Option<Named>,
    /// Where it stands, as Stripe names it.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub items: List<Item>,
    /// Whether it ends with the period.
    #[serde(default, deserialize_with = "or_default")]
    pub cancel_at_period_end: bool,
    /// The plan for what it becomes.
    pub schedule: Option<Named>,
    /// The newest invoice; whole, if it was asked for.
    pub latest_invoice: Option<MaybeInvoice>,
    /// When it ends by itself; how newer pages of Stripe say that it ends with the period.
    cancel_at: Option<i64>,
    /// Where the period was until 2025-03-31.
    current_period_start: Option<i64>,
    /// Where the period was until 2025-03-31.
    current_period_end: Option<i64>,
}

/// What a subscription is for.
#[derive(Debug, Clone, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    price: Option<Object>,
    plan: Option<Object>,
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

impl Item {
    /// The id of its price; a plan of old is one.
    pub fn price(&self) -> Option<&str> {
        self.price.as_ref().or(self.plan.as_ref()).map(|price| price.id.as_str())
    }
}

impl Subscription {
    /// What it is for; we sell one thing at a time.
    pub fn item(&self) -> Option<&Item> {
        self.items.data.first()
    }

    /// The period that is billed, from its start to its end.
    pub fn period(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let item = self.item();
        let start = item.and_then(|item| item.current_period_start).or(self.current_period_start)?;
        let end = item.and_then(|item| item.current_period_end).or(self.current_period_end)?;
        Some((time(start)?, time(end)?))
    }

    /// Whether it ends with the period instead of being renewed, in whichever way that was said.
    pub fn ends_with_period(&self) -> bool {
        let end = self.period().map(|(_, end)| end);
        let stops_by = self.cancel_at.and_then(time).zip(end).is_some_and(|(stop, end)| stop <= end);
        self.cancel_at_period_end || stops_by
    }

    /// Whether it goes on: it is paid for, or Stripe still tries to get it paid.
    pub fn is_live(&self) -> bool {
        !matches!(self.status.as_str(), "canceled" | "incomplete_expired" | "")
    }
}

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

/// A page of Stripe where something is paid.
#[derive(Debug, Clone, Deserialize)]
pub struct CheckoutSession {
    /// Its id.
    pub id: String,
    /// Who pays.
    pub customer: Option<Named>,
    /// Its address, while it is open.
    pub url: Option<String>,
    /// `open`, `complete` or `expired`.
    pub status: Option<String>,
    /// `paid`, `unpaid` or `no_payment_required`.
    pub payment_status: Option<String>,
    /// What is or was paid.
    pub amount_total: Option<i64>,
    /// In which currency, in small letters.
    pub currency: Option<String>,
    /// The payment.
    pub payment_intent: Option<Named>,
}

/// The pages where a customer looks after payments.
#[derive(Debug, Clone, Deserialize)]
pub struct Portal {
    /// Where they begin, for a short time.
    pub url: String,
}

/// Money that was given back.
#[derive(Debug, Clone, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: String,
    /// How much.
    #[serde(default, deserialize_with = "or_default")]
    pub amount: i64,
    /// In which currency, in small letters.
    #[serde(default, deserialize_with = "or_default")]
    pub currency: String,
    /// `pending`, `requires_action`, `succeeded`, `failed` or `canceled`.
    pub status: Option<String>,
    /// The payment that it was made of.
    pub payment_intent: Option<Named>,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// What we wrote on it.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
}

/// Something that happened, as far as it is known by what Stripe sends.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Its id, the same however often it is sent.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// Whether real money is meant.
    pub livemode: Option<bool>,
    /// The version that its shape is of.
    pub api_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    data: EventData,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct EventData {
    #[serde(default, deserialize_with = "or_default")]
    object: EventObject,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct EventObject {
    id: Option<String>,
    object: Option<String>,
    customer: Option<Named>,
    payment_intent: Option<Named>,
}

impl Event {
    /// The id of the object that it is about.
    pub fn object_id(&self) -> Option<&str> {
        self.data.object.id.as_deref()
    }

    /// The customer that it is about, if it says so.
    pub fn customer(&self) -> Option<&str> {
        let object = &self.data.object;
        let itself = object.id.as_deref().filter(|_| object.object.as_deref() == Some("customer"));
        object.customer.as_ref().map(|named| named.0.as_str()).or(itself)
    }

    /// The payment that it is about, if it says so.
    pub fn payment_intent(&self) -> Option<&str> {
        self.data.object.payment_intent.as_ref().map(|named| named.0.as_str())
    }
}

/// A time of Stripe; none if there is no such time.
pub fn time(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_period_is_found_where_each_version_has_it() {
        let item =
            json!({"id": "si_1", "price": {"id": "price_1"}, "current_period_start": 100, "current_period_end": 200});
        let new: Subscription = serde_json::from_value(json!({"id": "sub_1", "items": {"data": [item]}})).unwrap();
        let old: Subscription = serde_json::from_value(json!({
            "id": "sub_1", "current_period_start": 100, "current_period_end": 200,
            "items": {"data": [{"id": "si_1", "plan": {"id": "price_1"}}]},
        }))
        .unwrap();
        for subscription in [new, old] {
            assert_eq!(subscription.period(), time(100).zip(time(200)));
            assert_eq!(subscription.item().and_then(Item::price), Some("price_1"));
        }
    }

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
    fn a_subscription_ends_with_its_period_in_whichever_way_that_is_said() {
        let item = json!({"id": "si_1", "current_period_start": 100, "current_period_end": 200});
        for (flag, cancel_at, ends) in
            [(false, None, false), (true, None, true), (false, Some(200), true), (false, Some(201), false)]
        {
            let subscription: Subscription = serde_json::from_value(json!({
                "id": "sub_1", "items": {"data": [item]}, "cancel_at_period_end": flag, "cancel_at": cancel_at,
            }))
            .unwrap();
            assert_eq!(subscription.ends_with_period(), ends, "{flag} {cancel_at:?}");
        }
    }

    #[test]
    fn of_several_payments_an_invoice_names_the_one_that_paid_it() {
        let payment = |status, intent| json!({"status": status, "payment": {"payment_intent": intent}});
        let payments = json!({"data": [payment("canceled", "pi_1"), payment("paid", "pi_2")]});
        let invoice: Invoice = serde_json::from_value(json!({"id": "in_1", "payments": payments})).unwrap();
        assert_eq!(invoice.payment_intent(), Some("pi_2"));
    }

    #[test]
    fn an_event_is_read_from_little_and_says_whom_it_is_about() {
        let event: Event = serde_json::from_value(json!({"id": "evt_1", "type": "x.y", "created": null})).unwrap();
        assert_eq!((event.customer(), event.object_id()), (None, None));
        for object in [json!({"id": "cus_1", "object": "customer"}), json!({"id": "in_1", "customer": "cus_1"})] {
            let event = json!({"id": "evt_1", "type": "x.y", "data": {"object": object}});
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(event.customer(), Some("cus_1"));
        }
    }
}
