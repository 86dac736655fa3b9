//! Customers.

use serde_json::{Value, json};

use super::form::{Metadata, Params};
use super::lists::Page;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{joined, nulls};
use super::world::World;

/// Somebody who can pay.
pub(super) struct Customer {
    pub(super) created: i64,
    pub(super) email: Option<String>,
    name: Option<String>,
    metadata: Metadata,
    /// Minor units; below zero it is credit that the next invoices use up.
    pub(super) balance: i64,
    pub(super) method: Option<u64>,
    /// How many invoices have a number.
    pub(super) numbered: u32,
    /// Whether the latest invoice could not be paid.
    pub(super) delinquent: bool,
}

impl World {
    pub(super) fn add_customer(&mut self, email: Option<String>, name: Option<String>, metadata: Metadata) -> u64 {
        let serial = self.next_serial();
        let customer = Customer {
            created: self.now,
            email,
            name,
            metadata,
            balance: 0,
            method: None,
            numbered: 0,
            delinquent: false,
        };
        self.customers.add(serial, None, customer);
        self.note("customer.created", self.customer_json(serial));
        serial
    }

    pub(super) fn customer_json(&self, serial: u64) -> Value {
        let customer = &self.customers[serial];
        let method = customer.method.map(|method| self.methods.id(method));
        joined([
            json!({
                "id": self.customers.id(serial), "object": "customer", "balance": customer.balance,
                "created": customer.created, "delinquent": customer.delinquent, "email": customer.email,
                "invoice_prefix": invoice_prefix(serial), "livemode": false, "metadata": customer.metadata,
                "name": customer.name, "next_invoice_sequence": customer.numbered + 1, "preferred_locales": [],
                "tax_exempt": "none",
                "invoice_settings": {
                    "custom_fields": null, "default_payment_method": method, "footer": null, "rendering_options": null,
                },
            }),
            nulls(&["address", "currency", "default_source", "description", "phone", "shipping", "test_clock"]),
        ])
    }
}

/// What the numbers of a customer's invoices begin with.
pub(super) fn invoice_prefix(customer: u64) -> String {
    format!("CUS{customer:05}")
}

pub(super) const CREATE: &[&str] = &["email", "name", "metadata[*]"];

pub(super) fn create(world: &mut World, _: &str, params: &Params) -> Outcome {
    let email = params.text("email");
    if email.as_ref().is_some_and(|email| !email.contains('@')) {
        return Err(Refusal::coded("email_invalid", "email", "Invalid email address."));
    }
    let serial = world.add_customer(email, params.text("name"), params.metadata("metadata"));
    Ok(world.customer_json(serial))
}

pub(super) const UPDATE: &[&str] = &["email", "name", "metadata[*]", "invoice_settings[default_payment_method]"];

pub(super) fn update(world: &mut World, id: &str, params: &Params) -> Outcome {
    let serial = world.customers.at(id)?;
    let method = world.methods.maybe(params, "invoice_settings[default_payment_method]")?;
    let before = world.customer_json(serial);
    let customer = &mut world.customers[serial];
    customer.email = params.text("email").or(customer.email.take());
    customer.name = params.text("name").or(customer.name.take());
    customer.method = method.or(customer.method);
    params.merge_metadata("metadata", &mut customer.metadata);
    world.note_change("customer.updated", &before, world.customer_json(serial));
    Ok(world.customer_json(serial))
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.customers.at(id)?;
    Ok(world.customer_json(serial))
}

pub(super) const LIST: &[&str] = &["email"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.customers, params)?;
    let email = params.get("email");
    let rows = world.customers.newest(None).filter(|serial| {
        let customer = &world.customers[*serial];
        page.spans(customer.created) && (email.is_none() || customer.email.as_deref() == email)
    });
    Ok(page.list("/v1/customers", rows, |serial| world.customer_json(serial)))
}
