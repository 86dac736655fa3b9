//! Payment methods: the cards that Stripe offers for tests, and what comes of paying with them.
//!
//! `pm_card_visa`, `pm_card_mastercard` and `pm_card_amex` pay. `pm_card_chargeDeclined` is refused when it is attached
//! already, as Stripe does; the card that can be attached and is declined when it is to pay is
//! `pm_card_chargeCustomerFail`. `pm_card_authenticationRequired` can be attached and always asks the customer to act.

use serde_json::{Value, json};

use super::form::{Metadata, Params};
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{billing_details, joined, nulls};
use super::world::World;

/// What happens when a card is to pay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Paid,
    /// With Stripe's decline code.
    Declined(&'static str),
    NeedsAction,
}

impl Verdict {
    /// The error for a request that was to fail rather than to leave something unpaid.
    pub(super) fn or_refuse(self) -> Result<(), Refusal> {
        match self {
            Self::Paid => Ok(()),
            Self::Declined(code) => Err(Refusal::declined(code)),
            Self::NeedsAction => Err(Refusal::needs_action()),
        }
    }
}

/// A card attached to a customer.
pub(super) struct Method {
    created: i64,
    pub(super) customer: u64,
    brand: &'static str,
    behaves: Verdict,
}

impl World {
    /// Attaches a card that pays.
    pub(super) fn attach_visa(&mut self, customer: u64) -> u64 {
        self.add_method(customer, "visa", Verdict::Paid)
    }

    fn add_method(&mut self, customer: u64, brand: &'static str, behaves: Verdict) -> u64 {
        let serial = self.next_serial();
        self.methods.add(serial, Some(customer), Method { created: self.now, customer, brand, behaves });
        self.note("payment_method.attached", self.method_json(serial));
        serial
    }

    /// What would come of paying with that card now.
    pub(super) fn verdict(&self, customer: u64, method: Option<u64>) -> Verdict {
        match method {
            Some(method) if !self.failing.contains(&customer) => self.methods[method].behaves,
            _ => Verdict::Declined("generic_decline"),
        }
    }

    pub(super) fn method_json(&self, serial: u64) -> Value {
        let method = &self.methods[serial];
        let unchecked = nulls(&["address_line1_check", "address_postal_code_check"]);
        let card = json!({
            "brand": method.brand, "checks": joined([unchecked, json!({"cvc_check": "pass"})]), "country": "US",
            "display_brand": method.brand, "exp_month": 12, "exp_year": 2040, "fingerprint": "standInFingerprint",
            "funding": "credit", "generated_from": null, "last4": "4242", "wallet": null,
            "networks": {"available": [method.brand], "preferred": null},
            "three_d_secure_usage": {"supported": true},
        });
        json!({
            "id": self.methods.id(serial), "object": "payment_method", "allow_redisplay": "unspecified",
            "billing_details": billing_details(), "card": card, "created": method.created,
            "customer": self.customers.id(method.customer), "livemode": false, "metadata": Metadata::new(),
            "type": "card",
        })
    }
}

pub(super) const ATTACH: &[&str] = &["customer"];

pub(super) fn attach(world: &mut World, id: &str, params: &Params) -> Outcome {
    let customer = world.customers.named(params, "customer")?;
    if let Some(attached) = world.methods.serial(id) {
        if world.methods[attached].customer != customer {
            return Err(Refusal::rule("customer", "The payment method is attached to another customer already."));
        }
        return Ok(world.method_json(attached));
    }
    let (brand, behaves) = match id {
        "pm_card_visa" => ("visa", Verdict::Paid),
        "pm_card_mastercard" => ("mastercard", Verdict::Paid),
        "pm_card_amex" => ("amex", Verdict::Paid),
        "pm_card_chargeCustomerFail" => ("visa", Verdict::Declined("generic_decline")),
        "pm_card_authenticationRequired" => ("visa", Verdict::NeedsAction),
        "pm_card_chargeDeclined" | "pm_card_visa_chargeDeclined" => return Err(Refusal::declined("generic_decline")),
        "pm_card_visa_chargeDeclinedInsufficientFunds" => return Err(Refusal::declined("insufficient_funds")),
        _ => return Err(Refusal::not_found("PaymentMethod", id)),
    };
    let serial = world.add_method(customer, brand, behaves);
    Ok(world.method_json(serial))
}
