//! How subscriptions are changed and cancelled.

use super::form::Params;
use super::proration::Terms;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::subscriptions::{Status, item_id};
use super::world::World;

/// Another price or quantity.
pub(super) struct Change {
    pub(super) terms: Terms,
    /// Whether the difference is paid now.
    pub(super) invoiced: bool,
    /// Whether nothing is changed where that payment does not succeed.
    pub(super) refused_unpaid: bool,
    /// The moment from which the difference is counted.
    pub(super) at: i64,
}

/// What is to become of the subscription's end.
pub(super) enum Wish {
    AtPeriodEnd(bool),
    At(Option<i64>),
}

/// The price and quantity that a request names for the one item.
pub(super) fn wanted_terms(world: &World, serial: u64, params: &Params) -> Result<Terms, Refusal> {
    let row = &world.subscriptions[serial];
    if params.groups("items").len() != 1 {
        return Err(Refusal::beyond("items", "have anything but one item"));
    }
    match params.get("items[0][id]") {
        Some(id) if id == item_id(serial) => {}
        Some(id) => return Err(Refusal::no_such("subscription_item", id, "items[0][id]")),
        None => return Err(Refusal::beyond("items[0][id]", "add a second item, which one without its id would be")),
    }
    let price = world.prices.maybe(params, "items[0][price]")?.unwrap_or(row.price);
    world.check_recurring(price, "items[0][price]")?;
    if world.prices[price].currency != world.prices[row.price].currency {
        return Err(Refusal::rule("items[0][price]", "The currency of a subscription cannot change."));
    }
    Ok(Terms { price, quantity: params.number("items[0][quantity]")?.unwrap_or(row.quantity) })
}

impl Change {
    fn read(world: &World, serial: u64, params: &Params) -> Result<Option<Self>, Refusal> {
        if params.groups("items").is_empty() {
            return Ok(None);
        }
        let prorated = params.choice("proration_behavior", &["create_prorations", "always_invoice", "none"])?;
        if prorated == "create_prorations" {
            return Err(Refusal::beyond("proration_behavior", "put the difference on the next invoice"));
        }
        let unpaid = params.choice("payment_behavior", &["allow_incomplete", "error_if_incomplete"])?;
        Ok(Some(Self {
            terms: wanted_terms(world, serial, params)?,
            invoiced: prorated == "always_invoice",
            refused_unpaid: unpaid == "error_if_incomplete",
            at: params.number("proration_date")?.unwrap_or(world.now),
        }))
    }
}

impl Wish {
    fn read(world: &World, serial: u64, params: &Params) -> Result<Option<Self>, Refusal> {
        let row = &world.subscriptions[serial];
        let wish = match (params.flag("cancel_at_period_end")?, params.raw("cancel_at")) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Refusal::rule("cancel_at", "Pass either cancel_at_period_end or cancel_at, not both."));
            }
            (Some(cancel), None) => Self::AtPeriodEnd(cancel),
            (None, Some("")) => Self::At(None),
            (None, Some("min_period_end" | "max_period_end")) => Self::At(Some(row.period.1)),
            (None, Some(_)) => Self::At(params.number("cancel_at")?),
        };
        if row.schedule.is_some() {
            let message = "A schedule manages the subscription, so its cancellation is changed in the schedule only.";
            return Err(Refusal::rule("cancel_at_period_end", message));
        }
        Ok(Some(wish))
    }
}

impl World {
    /// Changes the price or quantity. Where it is refused, nothing has changed.
    pub(super) fn change_terms(&mut self, serial: u64, change: &Change) -> Result<(), Refusal> {
        let row = &self.subscriptions[serial];
        let (period, every) = (row.period, self.every(change.terms.price));
        let restarts = row.status != Status::Trialing && self.restarts(row, change.terms);
        let mut lines = Vec::new();
        if change.invoiced {
            lines = self.change_lines(row, change.terms, change.at);
        } else if restarts {
            lines.push(self.whole_line(change.terms, (self.now, every.after(self.now, 1))));
        }
        let (nothing_due, verdict) = (lines.is_empty(), self.prospect(serial));
        let draft = self.drafted(serial, "subscription_update", lines, period);
        if change.refused_unpaid && draft.due > 0 {
            verdict.or_refuse()?;
        }
        let now = self.now;
        let row = &mut self.subscriptions[serial];
        (row.price, row.quantity) = (change.terms.price, change.terms.quantity);
        let schedule = row.schedule;
        if restarts {
            row.begin_at(now, every);
            self.wake_subscription(serial);
        }
        if let Some(schedule) = schedule {
            self.change_phase(schedule, change.terms);
        }
        if !nothing_due {
            let invoice = self.issue(draft);
            let verdict = self.collect(invoice, verdict);
            self.follow(invoice, verdict);
        }
        Ok(())
    }

    /// Sets or takes back a cancellation. Each way of it is taken back the way it was set.
    pub(super) fn apply_wish(&mut self, serial: u64, wish: &Wish) {
        let now = self.now;
        let row = &mut self.subscriptions[serial];
        let sets = match *wish {
            Wish::AtPeriodEnd(cancel) => {
                row.cancel_at_period_end = cancel;
                cancel
            }
            Wish::At(at) => {
                row.cancel_at = at;
                at.is_some()
            }
        };
        if sets {
            row.canceled_at = Some(now);
            row.cancel_reason = Some("cancellation_requested");
        } else if row.ends().is_none() {
            (row.canceled_at, row.cancel_reason) = (None, None);
        }
        self.wake_subscription(serial);
    }

    /// Ends the subscription now. What it still owes is not tried any more.
    pub(super) fn end_subscription(&mut self, serial: u64, reason: Option<&'static str>) {
        let now = self.now;
        let row = &mut self.subscriptions[serial];
        row.status = Status::Canceled;
        row.ended_at = Some(now);
        row.canceled_at = row.canceled_at.or(Some(now));
        row.cancel_reason = reason.or(row.cancel_reason);
        let (customer, schedule) = (row.customer, row.schedule);
        let invoices: Vec<u64> = self.invoices.newest(Some(customer)).collect();
        for invoice in invoices {
            if self.invoices[invoice].subscription == serial {
                self.invoices[invoice].next_attempt = None;
            }
        }
        if let Some(schedule) = schedule {
            self.cancel_schedule(schedule);
        }
        self.note("customer.subscription.deleted", self.subscription_json(serial));
    }
}

pub(super) const UPDATE: &[&str] = &[
    "items[*][id]",
    "items[*][price]",
    "items[*][quantity]",
    "proration_behavior",
    "proration_date",
    "payment_behavior",
    "cancel_at_period_end",
    "cancel_at",
    "default_payment_method",
    "off_session",
    "metadata[*]",
];

pub(super) fn update(world: &mut World, id: &str, params: &Params) -> Outcome {
    let serial = world.subscriptions.at(id)?;
    let (ended, former, customer) = {
        let row = &world.subscriptions[serial];
        (row.status.ended(), row.method, row.customer)
    };
    if ended {
        return Err(Refusal::rule("id", "A canceled subscription cannot be changed like that."));
    }
    let wish = Wish::read(world, serial, params)?;
    let change = Change::read(world, serial, params)?;
    let method = world.own_method(params, customer)?;
    let before = world.subscription_json(serial);
    world.subscriptions[serial].method = method.or(former);
    if let Some(change) = change
        && let Err(refusal) = world.change_terms(serial, &change)
    {
        world.subscriptions[serial].method = former;
        return Err(refusal);
    }
    if let Some(wish) = wish {
        world.apply_wish(serial, &wish);
    }
    params.merge_metadata("metadata", &mut world.subscriptions[serial].metadata);
    world.note_updated(serial, &before);
    Ok(world.subscription_json(serial))
}

pub(super) const CANCEL: &[&str] = &["invoice_now", "prorate", "cancellation_details[comment]"];

pub(super) fn cancel(world: &mut World, id: &str, params: &Params) -> Outcome {
    let serial = world.subscriptions.at(id)?;
    if world.subscriptions[serial].status.ended() {
        // What is cancelled counts as deleted, so it can be read but not cancelled again.
        return Err(Refusal::not_found("subscription", id));
    }
    for param in ["invoice_now", "prorate"] {
        if params.flag(param)? == Some(true) {
            return Err(Refusal::beyond(param, "make an invoice when a subscription is cancelled"));
        }
    }
    world.end_subscription(serial, Some("cancellation_requested"));
    Ok(world.subscription_json(serial))
}
