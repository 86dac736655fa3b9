//! Refunds. They succeed at once, and fail later only where the test has the payer's bank send the money back.

use serde_json::{Value, json};

use super::form::{Metadata, Params};
use super::lists::Page;
use super::payments::charge_id;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{joined, nulls};
use super::world::World;

/// Money that went back.
pub(super) struct Refund {
    payment: u64,
    /// Minor units.
    amount: i64,
    reason: Option<String>,
    metadata: Metadata,
    created: i64,
    failed: bool,
}

impl World {
    /// Gives back `amount`, or all that was not given back yet.
    pub(super) fn refund(
        &mut self,
        payment: u64,
        amount: Option<i64>,
        reason: Option<String>,
        metadata: Metadata,
    ) -> Result<u64, Refusal> {
        let row = &self.payments[payment];
        let left = row.amount - row.refunded;
        let amount = amount.unwrap_or(left);
        if !row.succeeded() {
            return Err(Refusal::rule("payment_intent", "The payment has no successful charge to refund."));
        }
        if left == 0 {
            return Err(Refusal::coded("charge_already_refunded", "payment_intent", "All of it was refunded already."));
        }
        if amount <= 0 || amount > left {
            return Err(Refusal::rule("amount", "The amount must be between 1 and what was not refunded yet."));
        }
        let customer = row.customer;
        let serial = self.next_serial();
        self.payments[payment].refunded += amount;
        let refund = Refund { payment, amount, reason, metadata, created: self.now, failed: false };
        self.refunds.add(serial, customer, refund);
        self.note("charge.refunded", self.charge_json(payment));
        self.note("refund.created", self.refund_json(serial));
        self.note("refund.updated", self.refund_json(serial));
        Ok(serial)
    }

    /// The payer's bank sends the money back.
    pub(super) fn fail_refund(&mut self, serial: u64) {
        let row = &mut self.refunds[serial];
        row.failed = true;
        let (payment, amount) = (row.payment, row.amount);
        self.payments[payment].refunded -= amount;
        self.note("refund.updated", self.refund_json(serial));
        self.note("refund.failed", self.refund_json(serial));
    }

    pub(super) fn refund_json(&self, serial: u64) -> Value {
        let row = &self.refunds[serial];
        let reference = json!({"card": {"reference_status": "pending", "type": "refund"}, "type": "card"});
        joined([
            json!({
                "id": self.refunds.id(serial), "object": "refund", "amount": row.amount,
                "charge": charge_id(row.payment), "created": row.created,
                "currency": self.payments[row.payment].currency, "destination_details": reference,
                "metadata": row.metadata, "payment_intent": self.payments.id(row.payment), "reason": row.reason,
                "status": if row.failed { "failed" } else { "succeeded" },
            }),
            nulls(&["balance_transaction", "receipt_number", "source_transfer_reversal", "transfer_reversal"]),
        ])
    }

    /// The payment that `payment_intent` or `charge` names.
    fn refundable(&self, params: &Params) -> Result<Option<u64>, Refusal> {
        if let Some(id) = params.get("charge") {
            let payment = self.charge_serial(id).ok_or_else(|| Refusal::no_such("charge", id, "charge"))?;
            return Ok(Some(payment));
        }
        self.payments.maybe(params, "payment_intent")
    }
}

pub(super) const CREATE: &[&str] = &["payment_intent", "charge", "amount", "reason", "metadata[*]"];

pub(super) fn create(world: &mut World, _: &str, params: &Params) -> Outcome {
    let payment = world.refundable(params)?.ok_or_else(|| Refusal::missing("payment_intent"))?;
    let known = ["duplicate", "fraudulent", "requested_by_customer"];
    if params.get("reason").is_some_and(|reason| !known.contains(&reason)) {
        return Err(Refusal::invalid("reason", "there is no such reason"));
    }
    let (amount, reason) = (params.number("amount")?, params.text("reason"));
    let serial = world.refund(payment, amount, reason, params.metadata("metadata"))?;
    Ok(world.refund_json(serial))
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.refunds.at(id)?;
    Ok(world.refund_json(serial))
}

pub(super) const LIST: &[&str] = &["payment_intent", "charge"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.refunds, params)?;
    let payment = world.refundable(params)?;
    let customer = payment.and_then(|payment| world.payments[payment].customer);
    let rows = world.refunds.newest(customer).filter(|serial| {
        let row = &world.refunds[*serial];
        payment.is_none_or(|payment| row.payment == payment) && page.spans(row.created)
    });
    Ok(page.list("/v1/refunds", rows, |serial| world.refund_json(serial)))
}
