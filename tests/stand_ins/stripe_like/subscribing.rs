//! How subscriptions are made: by a request, and by a Checkout session that is paid.

use super::every::DAY;
use super::form::{Metadata, Params};
use super::methods::Verdict;
use super::proration::Terms;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::subscriptions::{Status, Subscription};
use super::world::World;

/// What somebody wants to subscribe to.
pub(super) struct Order {
    pub(super) customer: u64,
    pub(super) terms: Terms,
    pub(super) method: Option<u64>,
    pub(super) metadata: Metadata,
    pub(super) trial_days: i64,
}

/// What is done about a first payment that does not succeed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unpaid {
    /// The subscription is made and waits for it.
    Waits,
    /// The same, and no payment is tried.
    WaitsUntried,
    /// Nothing is made.
    Refused,
}

impl World {
    /// Makes the subscription and its first invoice.
    pub(super) fn subscribe(&mut self, order: Order, unpaid: Unpaid) -> Result<u64, Refusal> {
        let method = order.method.or(self.customers[order.customer].method);
        let verdict = self.verdict(order.customer, method);
        let due = self.cost(order.terms) + self.customers[order.customer].balance;
        let (terms, trial) = (order.terms, order.trial_days > 0);
        if due > 0 && !trial {
            check_method(method, verdict, unpaid)?;
        }
        let serial = self.add_subscription(order);
        let mut line = self.whole_line(terms, self.subscriptions[serial].period);
        if trial {
            line.amount = 0;
        }
        let draft = self.drafted(serial, "subscription_create", vec![line], (self.now, self.now));
        let untried = unpaid == Unpaid::WaitsUntried && draft.due > 0;
        let invoice = self.issue(draft);
        let verdict = if untried { Verdict::NeedsAction } else { self.collect(invoice, verdict) };
        self.subscriptions[serial].status = match verdict {
            Verdict::Paid if trial => Status::Trialing,
            Verdict::Paid => Status::Active,
            _ => Status::Incomplete,
        };
        self.wake_subscription(serial);
        self.note("customer.subscription.created", self.subscription_json(serial));
        Ok(serial)
    }

    fn add_subscription(&mut self, order: Order) -> u64 {
        let (serial, now) = (self.next_serial(), self.now);
        let every = self.every(order.terms.price);
        let mut row = Subscription {
            customer: order.customer,
            status: Status::Incomplete,
            created: now,
            price: order.terms.price,
            quantity: order.terms.quantity,
            method: order.method,
            metadata: order.metadata,
            anchor: now,
            turns: 0,
            period: (now, now),
            trial: None,
            cancel_at_period_end: false,
            cancel_at: None,
            canceled_at: None,
            ended_at: None,
            cancel_reason: None,
            latest_invoice: None,
            schedule: None,
        };
        row.begin_at(now, every);
        if order.trial_days > 0 {
            // Paid periods are counted from the end of the trial.
            let end = now + order.trial_days * DAY;
            row.trial = Some((now, end));
            (row.anchor, row.turns, row.period) = (end, 0, (now, end));
        }
        self.subscriptions.add(serial, Some(order.customer), row);
        serial
    }

    /// A payment method that belongs to the customer.
    pub(super) fn own_method(&self, params: &Params, customer: u64) -> Result<Option<u64>, Refusal> {
        let param = "default_payment_method";
        let method = self.methods.maybe(params, param)?;
        if method.is_some_and(|method| self.methods[method].customer != customer) {
            return Err(Refusal::coded("resource_missing", param, "That payment method is not the customer's."));
        }
        Ok(method)
    }
}

fn check_method(method: Option<u64>, verdict: Verdict, unpaid: Unpaid) -> Result<(), Refusal> {
    match (unpaid, method) {
        (Unpaid::WaitsUntried, _) | (Unpaid::Waits, Some(_)) => Ok(()),
        (Unpaid::Refused, Some(_)) => verdict.or_refuse(),
        (_, None) => {
            let message = "This customer has no payment method that could be used.";
            Err(Refusal::coded("resource_missing", "customer", message))
        }
    }
}

pub(super) const CREATE: &[&str] = &[
    "customer",
    "items[*][price]",
    "items[*][quantity]",
    "default_payment_method",
    "payment_behavior",
    "off_session",
    "trial_period_days",
    "metadata[*]",
];

pub(super) fn create(world: &mut World, _: &str, params: &Params) -> Outcome {
    let customer = world.customers.named(params, "customer")?;
    match params.groups("items").len() {
        0 => return Err(Refusal::missing("items")),
        1 => {}
        _ => return Err(Refusal::beyond("items", "subscribe to more than one item")),
    }
    let price = world.prices.named(params, "items[0][price]")?;
    world.check_recurring(price, "items[0][price]")?;
    let quantity = params.number("items[0][quantity]")?.unwrap_or(1);
    let unpaid =
        match params.choice("payment_behavior", &["allow_incomplete", "default_incomplete", "error_if_incomplete"])? {
            "error_if_incomplete" => Unpaid::Refused,
            "default_incomplete" => Unpaid::WaitsUntried,
            _ => Unpaid::Waits,
        };
    let order = Order {
        customer,
        terms: Terms { price, quantity },
        method: world.own_method(params, customer)?,
        metadata: params.metadata("metadata"),
        trial_days: params.number("trial_period_days")?.unwrap_or(0),
    };
    let serial = world.subscribe(order, unpaid)?;
    Ok(world.subscription_json(serial))
}
