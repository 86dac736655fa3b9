//! The phases of a schedule, as a request names them and as they look.

use serde_json::{Value, json};

use super::every::Every;
use super::form::{Metadata, Params};
use super::proration::Terms;
use super::refusal::Refusal;
use super::shape::{joined, nulls};
use super::world::World;

/// A stretch of time with a price.
#[derive(Clone, Copy)]
pub(super) struct Phase {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) terms: Terms,
}

impl World {
    pub(super) fn phase_json(&self, phase: Phase) -> Value {
        let price = self.prices.id(phase.terms.price);
        let item = json!({
            "billing_thresholds": null, "discounts": [], "metadata": Metadata::new(), "plan": price, "price": price,
            "quantity": phase.terms.quantity, "tax_rates": [],
        });
        joined([
            json!({
                "add_invoice_items": [], "currency": self.prices[phase.terms.price].currency,
                "default_tax_rates": [], "discounts": [], "end_date": phase.end, "items": [item],
                "metadata": Metadata::new(), "proration_behavior": "create_prorations", "start_date": phase.start,
            }),
            nulls(&["application_fee_percent", "automatic_tax", "billing_cycle_anchor", "billing_thresholds"]),
            nulls(&["collection_method", "default_payment_method", "description", "invoice_settings"]),
            nulls(&["on_behalf_of", "transfer_data", "trial_end"]),
        ])
    }
}

/// The phases that a request names; none where it names none.
pub(super) fn read_phases(
    world: &World,
    subscription: u64,
    current: Phase,
    params: &Params,
) -> Result<Vec<Phase>, Refusal> {
    let groups = params.groups("phases");
    let mut phases: Vec<Phase> = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        let start = match phases.last() {
            Some(former) => former.end,
            None => current.start,
        };
        let given = group.number("start_date")?;
        if given.is_some_and(|given| given != start) || (place == 0 && given.is_none()) {
            let why = "the first phase starts where the present one did, each other where the one before ends";
            return Err(Refusal::invalid(&format!("phases[{place}][start_date]"), why));
        }
        phases.push(read_phase(world, group, start)?);
    }
    if let Some(first) = phases.first() {
        let period_end = world.subscriptions[subscription].period.1;
        if first.terms != current.terms || (phases.len() > 1 && first.end != period_end) {
            let what = "change the present phase, or end it anywhere but at the end of the period";
            return Err(Refusal::beyond("phases[0]", what));
        }
    }
    Ok(phases)
}

fn read_phase(world: &World, params: &Params, start: i64) -> Result<Phase, Refusal> {
    let price = world.prices.named(params, "items[0][price]")?;
    world.check_recurring(price, "items[0][price]")?;
    let terms = Terms { price, quantity: params.number("items[0][quantity]")?.unwrap_or(1) };
    let end = match (params.number("end_date")?, params.get("duration[interval]")) {
        (Some(_), Some(_)) => return Err(Refusal::invalid("phases", "a phase has either an end_date or a duration")),
        (Some(end), None) => end,
        (None, Some(unit)) => {
            let count = params.number("duration[interval_count]")?.unwrap_or(1);
            let every = Every::read(unit, count);
            every.ok_or_else(|| Refusal::invalid("phases", "there is no such duration"))?.after(start, 1)
        }
        (None, None) => world.every(price).after(start, 1),
    };
    if end <= start {
        return Err(Refusal::invalid("phases", "a phase ends after it starts"));
    }
    Ok(Phase { start, end, terms })
}
