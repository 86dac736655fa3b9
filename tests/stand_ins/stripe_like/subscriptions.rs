//! Subscriptions: what they are, how they look, and how they are read. They are made in `subscribing`, changed in
//! `changing`, and carried through time in `time`.

use serde_json::{Value, json};

use super::every::{DAY, Every};
use super::form::{Metadata, Params};
use super::lists::Page;
use super::proration::Terms;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{automatic_tax, billing_mode, joined, list as whole_list, nulls};
use super::world::World;

/// How long an unpaid beginning is waited for.
const INCOMPLETE_FOR: i64 = DAY - 60 * 60;

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Incomplete,
    IncompleteExpired,
    Trialing,
    Active,
    PastDue,
    Unpaid,
    Canceled,
}

impl Status {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Canceled => "canceled",
        }
    }

    pub(super) fn ended(self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }
}

/// One subscription with its one item.
pub(super) struct Subscription {
    pub(super) customer: u64,
    pub(super) status: Status,
    pub(super) created: i64,
    pub(super) price: u64,
    pub(super) quantity: i64,
    pub(super) method: Option<u64>,
    pub(super) metadata: Metadata,
    /// The moment from which periods are counted, and how many intervals after it the present period ends.
    pub(super) anchor: i64,
    pub(super) turns: u32,
    pub(super) period: (i64, i64),
    pub(super) trial: Option<(i64, i64)>,
    pub(super) cancel_at_period_end: bool,
    /// A cancellation at a moment of its own, as the customer portal makes them.
    pub(super) cancel_at: Option<i64>,
    pub(super) canceled_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) cancel_reason: Option<&'static str>,
    pub(super) latest_invoice: Option<u64>,
    pub(super) schedule: Option<u64>,
}

impl Subscription {
    /// When it has to be looked at next.
    pub(super) fn due(&self) -> Option<i64> {
        match self.status {
            Status::Canceled | Status::IncompleteExpired => None,
            Status::Incomplete => Some(self.created + INCOMPLETE_FOR),
            _ => Some(self.cancel_at.map_or(self.period.1, |at| at.min(self.period.1))),
        }
    }

    /// The moment at which it ends by itself, if it does.
    pub(super) fn ends(&self) -> Option<i64> {
        if self.cancel_at_period_end { Some(self.period.1) } else { self.cancel_at }
    }

    pub(super) fn terms(&self) -> Terms {
        Terms { price: self.price, quantity: self.quantity }
    }

    /// Counts periods from `anchor` on; the present one begins there.
    pub(super) fn begin_at(&mut self, anchor: i64, every: Every) {
        self.anchor = anchor;
        self.turns = 1;
        self.period = (anchor, every.after(anchor, 1));
    }
}

impl World {
    /// How often that price is paid; only prices that are paid again and again are subscribed to.
    pub(super) fn every(&self, price: u64) -> Every {
        self.prices[price].every.unwrap_or_else(|| panic!("{} is paid once", self.prices.id(price)))
    }

    /// Has the subscription looked at when it is due.
    pub(super) fn wake_subscription(&mut self, serial: u64) {
        if let Some(at) = self.subscriptions[serial].due() {
            self.wake(at, serial);
        }
    }

    /// Records what has changed since `before`.
    pub(super) fn note_updated(&mut self, serial: u64, before: &Value) {
        self.note_change("customer.subscription.updated", before, self.subscription_json(serial));
    }

    pub(super) fn subscription_json(&self, serial: u64) -> Value {
        let row = &self.subscriptions[serial];
        let details = json!({"comment": null, "feedback": null, "reason": row.cancel_reason});
        let payment_settings = json!({
            "payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off",
        });
        joined([
            json!({
                "id": self.subscriptions.id(serial), "object": "subscription", "status": row.status.text(),
                "automatic_tax": automatic_tax(), "billing_cycle_anchor": row.anchor,
                "billing_mode": billing_mode(row.created), "billing_schedules": [], "cancel_at": row.ends(),
                "cancel_at_period_end": row.cancel_at_period_end, "canceled_at": row.canceled_at,
                "cancellation_details": details, "collection_method": "charge_automatically",
                "created": row.created, "currency": self.prices[row.price].currency,
                "customer": self.customers.id(row.customer), "default_tax_rates": [], "discounts": [],
            }),
            json!({
                "default_payment_method": row.method.map(|method| self.methods.id(method)),
                "ended_at": row.ended_at,
                "invoice_settings": {"account_tax_ids": null, "issuer": {"type": "self"}},
                "items": self.items_json(serial),
                "latest_invoice": row.latest_invoice.map(|invoice| self.invoices.id(invoice)), "livemode": false,
                "metadata": row.metadata, "payment_settings": payment_settings,
                "schedule": row.schedule.map(|schedule| self.schedules.id(schedule)), "start_date": row.created,
                "trial_start": row.trial.map(|trial| trial.0), "trial_end": row.trial.map(|trial| trial.1),
                "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            }),
            nulls(&["application", "application_fee_percent", "billing_cycle_anchor_config", "billing_thresholds"]),
            nulls(&["days_until_due", "default_source", "description", "next_pending_invoice_item_invoice"]),
            nulls(&["on_behalf_of", "pause_collection", "pending_invoice_item_interval", "pending_setup_intent"]),
            nulls(&["pending_update", "test_clock", "transfer_data"]),
        ])
    }

    fn items_json(&self, serial: u64) -> Value {
        let row = &self.subscriptions[serial];
        let id = self.subscriptions.id(serial);
        let item = json!({
            "id": item_id(serial), "object": "subscription_item", "billed_until": row.period.1,
            "billing_thresholds": null, "created": row.created, "current_period_start": row.period.0,
            "current_period_end": row.period.1, "discounts": [], "metadata": Metadata::new(),
            "plan": self.plan_json(row.price), "price": self.price_json(row.price), "quantity": row.quantity,
            "subscription": id, "tax_rates": [],
        });
        whole_list(&[item], &format!("/v1/subscription_items?subscription={id}"))
    }
}

/// The id of a subscription's one item.
pub(super) fn item_id(subscription: u64) -> String {
    format!("si_{subscription}")
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.subscriptions.at(id)?;
    Ok(world.subscription_json(serial))
}

pub(super) const LIST: &[&str] = &["customer", "status", "price"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.subscriptions, params)?;
    let customer = world.customers.maybe(params, "customer")?;
    let price = world.prices.maybe(params, "price")?;
    let status = params.get("status");
    if status.is_some_and(|status| !known_status(status)) {
        return Err(Refusal::invalid("status", "there is no such status"));
    }
    let rows = world.subscriptions.newest(customer).filter(|serial| {
        let row = &world.subscriptions[*serial];
        let wanted = match status {
            None => row.status != Status::Canceled,
            Some("all") => true,
            Some("ended") => row.status.ended(),
            Some(status) => row.status.text() == status,
        };
        wanted && price.is_none_or(|price| row.price == price) && page.spans(row.created)
    });
    Ok(page.list("/v1/subscriptions", rows, |serial| world.subscription_json(serial)))
}

fn known_status(text: &str) -> bool {
    const KNOWN: [&str; 10] = [
        "all",
        "ended",
        "incomplete",
        "incomplete_expired",
        "trialing",
        "active",
        "past_due",
        "unpaid",
        "canceled",
        "paused",
    ];
    KNOWN.contains(&text)
}
