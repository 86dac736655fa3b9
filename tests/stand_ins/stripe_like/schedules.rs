//! Schedules: what becomes of a subscription when its present period ends.
//!
//! A schedule is made from a subscription, whose present period is its first phase. An update names all phases again;
//! the present one can be given an end no other than that of the period, and its price cannot be changed here.

use serde_json::{Value, json};

use super::form::{Metadata, Params};
use super::phases::{Phase, read_phases};
use super::proration::Terms;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{billing_mode, joined, nulls};
use super::world::World;

/// The phases of one subscription.
pub(super) struct Schedule {
    created: i64,
    customer: u64,
    subscription: u64,
    /// `active`, `completed`, `released` or `canceled`.
    status: &'static str,
    end_behavior: &'static str,
    phases: Vec<Phase>,
    /// The place of the present phase.
    current: usize,
    ended_at: Option<i64>,
    metadata: Metadata,
}

impl World {
    /// Enters the phase that begins where the present period ends. False: the schedule ends the subscription there.
    pub(super) fn enter_phase(&mut self, subscription: u64) -> bool {
        let row = &self.subscriptions[subscription];
        let at = row.period.1;
        let Some(schedule) = row.schedule else { return true };
        let plan = &self.schedules[schedule];
        if let Some(next) = plan.phases.iter().position(|phase| phase.start == at) {
            self.apply_phase(subscription, schedule, next);
            return true;
        }
        if plan.phases.last().is_some_and(|last| last.end > at) {
            return true;
        }
        if plan.end_behavior == "cancel" {
            self.end_schedule(schedule, "completed");
            return false;
        }
        self.end_schedule(schedule, "released");
        true
    }

    fn apply_phase(&mut self, subscription: u64, schedule: u64, next: usize) {
        let before = self.schedule_json(schedule);
        let terms = self.schedules[schedule].phases[next].terms;
        let restarts = self.restarts(&self.subscriptions[subscription], terms);
        self.schedules[schedule].current = next;
        let row = &mut self.subscriptions[subscription];
        (row.price, row.quantity) = (terms.price, terms.quantity);
        if restarts {
            (row.anchor, row.turns) = (row.period.1, 0);
        }
        self.note_change("subscription_schedule.updated", &before, self.schedule_json(schedule));
    }

    /// The present phase follows a subscription whose price was changed directly.
    pub(super) fn change_phase(&mut self, schedule: u64, terms: Terms) {
        let row = &mut self.schedules[schedule];
        let current = row.current;
        row.phases[current].terms = terms;
    }

    /// The schedule of a subscription that is cancelled.
    pub(super) fn cancel_schedule(&mut self, schedule: u64) {
        if self.schedules[schedule].status == "active" {
            self.end_schedule(schedule, "canceled");
        }
    }

    /// Ends the schedule; unless it is released, the subscription keeps naming it.
    fn end_schedule(&mut self, serial: u64, status: &'static str) {
        let row = &mut self.schedules[serial];
        row.status = status;
        row.ended_at = Some(self.now);
        if status == "released" {
            let subscription = row.subscription;
            self.subscriptions[subscription].schedule = None;
        }
        let kind = match status {
            "released" => "subscription_schedule.released",
            "canceled" => "subscription_schedule.canceled",
            _ => "subscription_schedule.completed",
        };
        self.note(kind, self.schedule_json(serial));
    }

    pub(super) fn schedule_json(&self, serial: u64) -> Value {
        let row = &self.schedules[serial];
        let subscription = self.subscriptions.id(row.subscription);
        let ended = |status: &str| row.ended_at.filter(|_| row.status == status);
        let current = &row.phases[row.current];
        let phases: Vec<Value> = row.phases.iter().map(|phase| self.phase_json(*phase)).collect();
        let settings = joined([
            json!({
                "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
                "billing_cycle_anchor": "automatic", "collection_method": "charge_automatically",
                "invoice_settings": {"account_tax_ids": null, "days_until_due": null, "issuer": {"type": "self"}},
            }),
            nulls(&["application_fee_percent", "billing_thresholds", "default_payment_method", "description"]),
            nulls(&["on_behalf_of", "transfer_data"]),
        ]);
        json!({
            "id": self.schedules.id(serial), "object": "subscription_schedule", "application": null,
            "billing_mode": billing_mode(row.created), "canceled_at": ended("canceled"),
            "completed_at": ended("completed"), "created": row.created,
            "current_phase": (row.status == "active")
                .then(|| json!({"start_date": current.start, "end_date": current.end})),
            "customer": self.customers.id(row.customer), "default_settings": settings,
            "end_behavior": row.end_behavior, "livemode": false, "metadata": row.metadata, "phases": phases,
            "released_at": ended("released"), "released_subscription": ended("released").map(|_| &subscription),
            "status": row.status, "subscription": (row.status != "released").then_some(&subscription),
            "test_clock": null,
        })
    }
}

pub(super) const CREATE: &[&str] = &["from_subscription"];

pub(super) fn create(world: &mut World, _: &str, params: &Params) -> Outcome {
    let subscription = world.subscriptions.named(params, "from_subscription")?;
    let row = &world.subscriptions[subscription];
    if row.status.ended() || row.schedule.is_some() {
        let message = "The subscription has ended, or has a schedule already.";
        return Err(Refusal::rule("from_subscription", message));
    }
    let schedule = Schedule {
        created: world.now,
        customer: row.customer,
        subscription,
        status: "active",
        end_behavior: if row.ends().is_some() { "cancel" } else { "release" },
        phases: vec![Phase { start: row.period.0, end: row.period.1, terms: row.terms() }],
        current: 0,
        ended_at: None,
        metadata: Metadata::new(),
    };
    let (customer, serial) = (row.customer, world.next_serial());
    let before = world.subscription_json(subscription);
    world.schedules.add(serial, Some(customer), schedule);
    world.subscriptions[subscription].schedule = Some(serial);
    world.note("subscription_schedule.created", world.schedule_json(serial));
    world.note_updated(subscription, &before);
    Ok(world.schedule_json(serial))
}

pub(super) const UPDATE: &[&str] = &[
    "end_behavior",
    "proration_behavior",
    "metadata[*]",
    "phases[*][items][*][price]",
    "phases[*][items][*][quantity]",
    "phases[*][start_date]",
    "phases[*][end_date]",
    "phases[*][duration][interval]",
    "phases[*][duration][interval_count]",
    "phases[*][proration_behavior]",
];

pub(super) fn update(world: &mut World, id: &str, params: &Params) -> Outcome {
    let serial = active(world, id)?;
    let row = &world.schedules[serial];
    let phases = read_phases(world, row.subscription, row.phases[row.current], params)?;
    let end_behavior = match params.get("end_behavior") {
        Some(_) => Some(params.choice("end_behavior", &["release", "cancel"])?),
        None => None,
    };
    let subscription = world.schedules[serial].subscription;
    let before = (world.schedule_json(serial), world.subscription_json(subscription));
    let row = &mut world.schedules[serial];
    row.end_behavior = end_behavior.unwrap_or(row.end_behavior);
    params.merge_metadata("metadata", &mut row.metadata);
    if !phases.is_empty() {
        (row.phases, row.current) = (phases, 0);
    }
    if end_behavior == Some("release") {
        // The subscription goes on after the schedule, so it does not end with the present period any more.
        let row = &mut world.subscriptions[subscription];
        (row.cancel_at_period_end, row.cancel_at, row.canceled_at) = (false, None, None);
        row.cancel_reason = None;
    }
    world.note_change("subscription_schedule.updated", &before.0, world.schedule_json(serial));
    world.note_updated(subscription, &before.1);
    Ok(world.schedule_json(serial))
}

fn active(world: &World, id: &str) -> Result<u64, Refusal> {
    let serial = world.schedules.at(id)?;
    let status = world.schedules[serial].status;
    if status != "active" {
        return Err(Refusal::rule("id", &format!("The subscription schedule is in the `{status}` status.")));
    }
    Ok(serial)
}

pub(super) fn release(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = active(world, id)?;
    let subscription = world.schedules[serial].subscription;
    let before = world.subscription_json(subscription);
    world.end_schedule(serial, "released");
    world.note_updated(subscription, &before);
    Ok(world.schedule_json(serial))
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.schedules.at(id)?;
    Ok(world.schedule_json(serial))
}
