//! Payments: each is a `PaymentIntent`, and once it succeeded also the charge with the same number.

use serde_json::{Value, json};

use super::form::{Metadata, Params};
use super::methods::Verdict;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{billing_details, joined, nulls};
use super::world::World;

/// Money that is asked for, or was paid.
pub(super) struct Payment {
    pub(super) customer: Option<u64>,
    /// Minor units.
    pub(super) amount: i64,
    pub(super) refunded: i64,
    pub(super) currency: String,
    /// `requires_payment_method`, `requires_action`, `processing` or `succeeded`.
    pub(super) status: &'static str,
    error: Option<&'static str>,
    metadata: Metadata,
    created: i64,
}

impl Payment {
    pub(super) fn succeeded(&self) -> bool {
        self.status == "succeeded"
    }
}

impl World {
    pub(super) fn open_payment(
        &mut self,
        customer: Option<u64>,
        amount: i64,
        currency: String,
        metadata: Metadata,
    ) -> u64 {
        let serial = self.next_serial();
        let payment = Payment {
            customer,
            amount,
            refunded: 0,
            currency,
            status: "requires_payment_method",
            error: None,
            metadata,
            created: self.now,
        };
        self.payments.add(serial, customer, payment);
        self.note("payment_intent.created", self.payment_json(serial));
        serial
    }

    /// Records what came of trying the payment.
    pub(super) fn conclude(&mut self, serial: u64, verdict: Verdict) {
        let row = &mut self.payments[serial];
        (row.status, row.error) = match verdict {
            Verdict::Paid => ("succeeded", None),
            Verdict::Declined(code) => ("requires_payment_method", Some(code)),
            Verdict::NeedsAction => ("requires_action", None),
        };
        if verdict == Verdict::Paid {
            self.note("charge.succeeded", self.charge_json(serial));
            self.note("payment_intent.succeeded", self.payment_json(serial));
        } else {
            self.note("payment_intent.payment_failed", self.payment_json(serial));
        }
    }

    /// The number behind the id of a charge.
    pub(super) fn charge_serial(&self, id: &str) -> Option<u64> {
        let serial = id.strip_prefix("ch_")?.parse().ok()?;
        (self.payments.has(serial) && self.payments[serial].succeeded()).then_some(serial)
    }

    pub(super) fn payment_json(&self, serial: u64) -> Value {
        let row = &self.payments[serial];
        let id = self.payments.id(serial);
        let error = row.error.map(|code| {
            json!({
                "type": "card_error", "code": "card_declined", "decline_code": code,
                "message": "Your card was declined.",
            })
        });
        joined([
            json!({
                "id": id, "object": "payment_intent", "amount": row.amount, "amount_capturable": 0,
                "amount_received": if row.succeeded() { row.amount } else { 0 }, "capture_method": "automatic",
                "client_secret": format!("{id}_secret"), "confirmation_method": "automatic", "created": row.created,
                "currency": row.currency, "customer": row.customer.map(|customer| self.customers.id(customer)),
                "last_payment_error": error, "latest_charge": row.succeeded().then(|| charge_id(serial)),
                "livemode": false, "metadata": row.metadata, "payment_method_types": ["card"], "status": row.status,
            }),
            nulls(&["application", "application_fee_amount", "automatic_payment_methods", "canceled_at"]),
            nulls(&["cancellation_reason", "description", "next_action", "on_behalf_of", "payment_method"]),
            nulls(&["processing", "receipt_email", "review", "setup_future_usage", "shipping", "source"]),
            nulls(&["statement_descriptor", "statement_descriptor_suffix", "transfer_data", "transfer_group"]),
        ])
    }

    pub(super) fn charge_json(&self, serial: u64) -> Value {
        let row = &self.payments[serial];
        let card = json!({"brand": "visa", "country": "US", "exp_month": 12, "exp_year": 2040, "last4": "4242"});
        joined([
            json!({
                "id": charge_id(serial), "object": "charge", "amount": row.amount, "amount_captured": row.amount,
                "amount_refunded": row.refunded, "billing_details": billing_details(), "captured": true,
                "created": row.created, "currency": row.currency,
                "customer": row.customer.map(|customer| self.customers.id(customer)), "disputed": false,
                "fraud_details": {}, "livemode": false, "metadata": row.metadata, "paid": true,
                "payment_intent": self.payments.id(serial),
                "payment_method_details": {"card": card, "type": "card"},
                "receipt_url": format!("https://pay.stand-in.example/receipts/{}", charge_id(serial)),
                "refunded": row.refunded == row.amount, "status": "succeeded",
            }),
            nulls(&["application", "application_fee", "application_fee_amount", "balance_transaction"]),
            nulls(&["calculated_statement_descriptor", "description", "failure_balance_transaction", "failure_code"]),
            nulls(&["failure_message", "on_behalf_of", "outcome", "payment_method", "receipt_email"]),
            nulls(&["receipt_number", "review", "shipping", "source_transfer", "statement_descriptor"]),
            nulls(&["statement_descriptor_suffix", "transfer_data", "transfer_group"]),
        ])
    }
}

/// The id of the charge of a payment that succeeded.
pub(super) fn charge_id(payment: u64) -> String {
    format!("ch_{payment}")
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.payments.at(id)?;
    Ok(world.payment_json(serial))
}

pub(super) fn get_charge(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.charge_serial(id).ok_or_else(|| Refusal::not_found("charge", id))?;
    Ok(world.charge_json(serial))
}
