//! Invoices: what they are, how they look, and how they are read. They are made and paid in `billing`.

use serde_json::{Value, json};

use super::changing::wanted_terms;
use super::form::{Metadata, Params};
use super::lists::Page;
use super::proration::Terms;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{automatic_tax, joined, list as whole_list, nulls};
use super::subscriptions::item_id;
use super::world::World;

/// One line of an invoice.
pub(super) struct Line {
    /// Minor units; below zero for credit.
    pub(super) amount: i64,
    pub(super) text: String,
    pub(super) terms: Terms,
    pub(super) period: (i64, i64),
    pub(super) proration: bool,
}

/// One invoice for a subscription.
pub(super) struct Invoice {
    pub(super) customer: u64,
    pub(super) subscription: u64,
    /// `draft`, `open`, `paid` or `void`.
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) currency: String,
    pub(super) lines: Vec<Line>,
    pub(super) period: (i64, i64),
    pub(super) created: i64,
    pub(super) number: Option<String>,
    /// What is to be paid after the customer's credit; minor units, as are the balances.
    pub(super) due: i64,
    pub(super) starting_balance: i64,
    pub(super) ending_balance: Option<i64>,
    pub(super) attempts: u32,
    pub(super) next_attempt: Option<i64>,
    pub(super) payment: Option<u64>,
    pub(super) finalized_at: Option<i64>,
    pub(super) paid_at: Option<i64>,
    pub(super) voided_at: Option<i64>,
}

impl Invoice {
    pub(super) fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    fn paid(&self) -> i64 {
        if self.status == "paid" { self.due } else { 0 }
    }
}

impl World {
    pub(super) fn invoice_json(&self, serial: u64) -> Value {
        self.show_invoice(&self.invoices.id(serial), &self.invoices[serial])
    }

    fn show_invoice(&self, id: &str, row: &Invoice) -> Value {
        let lines: Vec<Value> =
            row.lines.iter().enumerate().map(|(at, line)| self.line_json(id, row, at, line)).collect();
        let link = row.number.as_ref().map(|_| format!("https://invoice.stand-in.example/i/{id}"));
        joined([
            json!({
                "id": id, "object": "invoice", "status": row.status, "billing_reason": row.reason,
                "amount_due": row.due, "amount_overpaid": 0, "amount_paid": row.paid(),
                "amount_remaining": row.due - row.paid(), "amount_shipping": 0, "attempt_count": row.attempts,
                "attempted": row.attempts > 0, "auto_advance": row.next_attempt.is_some(),
                "automatic_tax": automatic_tax(), "collection_method": "charge_automatically",
                "created": row.created, "currency": row.currency, "customer": self.customers.id(row.customer),
                "customer_email": self.customers[row.customer].email, "default_tax_rates": [], "discounts": [],
            }),
            json!({
                "hosted_invoice_url": link, "invoice_pdf": link.as_ref().map(|link| format!("{link}/pdf")),
                "issuer": {"type": "self"}, "lines": whole_list(&lines, &format!("/v1/invoices/{id}/lines")),
                "livemode": false, "metadata": Metadata::new(), "next_payment_attempt": row.next_attempt,
                "number": row.number, "parent": self.parent_json(row), "payment_settings": payment_settings(),
                "period_start": row.period.0, "period_end": row.period.1, "post_payment_credit_notes_amount": 0,
                "pre_payment_credit_notes_amount": 0, "starting_balance": row.starting_balance,
                "ending_balance": row.ending_balance, "status_transitions": transitions(row),
                "subtotal": row.total(), "subtotal_excluding_tax": row.total(), "total": row.total(),
                "total_excluding_tax": row.total(), "total_discount_amounts": [],
            }),
            json!({"total_pretax_credit_amounts": [], "total_taxes": [], "effective_at": row.finalized_at}),
            nulls(&["account_country", "account_name", "account_tax_ids", "application", "confirmation_secret"]),
            nulls(&["automatically_finalizes_at", "custom_fields", "customer_address", "customer_name"]),
            nulls(&["customer_phone", "customer_shipping", "customer_tax_exempt", "default_payment_method"]),
            nulls(&["default_source", "description", "due_date", "footer", "from_invoice", "last_finalization_error"]),
            nulls(&["latest_revision", "on_behalf_of", "receipt_number", "rendering", "shipping_cost"]),
            nulls(&["shipping_details", "statement_descriptor", "test_clock", "webhooks_delivered_at"]),
        ])
    }

    fn parent_json(&self, row: &Invoice) -> Value {
        let details = json!({
            "metadata": self.subscriptions[row.subscription].metadata,
            "subscription": self.subscriptions.id(row.subscription),
        });
        json!({"quote_details": null, "subscription_details": details, "type": "subscription_details"})
    }

    fn line_json(&self, id: &str, row: &Invoice, at: usize, line: &Line) -> Value {
        let details = json!({
            "invoice_item": null, "proration": line.proration, "proration_details": {"credited_items": null},
            "subscription": self.subscriptions.id(row.subscription), "subscription_item": item_id(row.subscription),
        });
        let price = json!({"price": self.prices.id(line.terms.price), "product": self.product_of(line.terms.price)});
        json!({
            "id": format!("il_{id}_{at}"), "object": "line_item", "amount": line.amount, "currency": row.currency,
            "description": line.text, "discount_amounts": [], "discountable": !line.proration, "discounts": [],
            "invoice": id, "livemode": false, "metadata": Metadata::new(),
            "parent": {
                "invoice_item_details": null, "subscription_item_details": details,
                "type": "subscription_item_details",
            },
            "period": {"start": line.period.0, "end": line.period.1}, "pretax_credit_amounts": [],
            "pricing": {
                "price_details": price, "type": "price_details",
                "unit_amount_decimal": self.prices[line.terms.price].unit_amount.to_string(),
            },
            "quantity": line.terms.quantity, "subtotal": line.amount, "taxes": [],
        })
    }

    /// The payments of an invoice, which it shows only where it is asked to.
    pub(super) fn invoice_payments_json(&self, serial: u64) -> Value {
        let row = &self.invoices[serial];
        let id = self.invoices.id(serial);
        let payments = row.payment.map(|payment| {
            json!({
                "id": format!("inpay_{serial}"), "object": "invoice_payment", "amount_requested": row.due,
                "amount_paid": row.paid_at.map(|_| row.due), "created": row.finalized_at, "currency": row.currency,
                "invoice": id, "is_default": true, "livemode": false,
                "payment": {"type": "payment_intent", "payment_intent": self.payments.id(payment)},
                "status": if row.paid_at.is_some() { "paid" } else { "open" },
                "status_transitions": {"canceled_at": null, "paid_at": row.paid_at},
            })
        });
        let payments: Vec<Value> = payments.into_iter().collect();
        whole_list(&payments, &format!("/v1/invoice_payments?invoice={id}"))
    }
}

fn payment_settings() -> Value {
    nulls(&["default_mandate", "payment_method_options", "payment_method_types"])
}

fn transitions(row: &Invoice) -> Value {
    json!({
        "finalized_at": row.finalized_at, "marked_uncollectible_at": null, "paid_at": row.paid_at,
        "voided_at": row.voided_at,
    })
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.invoices.at(id)?;
    Ok(world.invoice_json(serial))
}

pub(super) const LIST: &[&str] = &["customer", "subscription", "status"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.invoices, params)?;
    let customer = world.customers.maybe(params, "customer")?;
    let subscription = world.subscriptions.maybe(params, "subscription")?;
    let status = params.get("status");
    let rows = world.invoices.newest(customer).filter(|serial| {
        let row = &world.invoices[*serial];
        subscription.is_none_or(|subscription| row.subscription == subscription)
            && status.is_none_or(|status| row.status == status)
            && page.spans(row.created)
    });
    Ok(page.list("/v1/invoices", rows, |serial| world.invoice_json(serial)))
}

pub(super) const PREVIEW: &[&str] = &[
    "customer",
    "subscription",
    "subscription_details[items][*][id]",
    "subscription_details[items][*][price]",
    "subscription_details[items][*][quantity]",
    "subscription_details[proration_behavior]",
    "subscription_details[proration_date]",
];

/// The invoice that the same change would make now.
pub(super) fn preview(world: &mut World, _: &str, params: &Params) -> Outcome {
    let serial = world.subscriptions.named(params, "subscription")?;
    let row = &world.subscriptions[serial];
    if world.customers.maybe(params, "customer")?.is_some_and(|customer| customer != row.customer) {
        return Err(Refusal::rule("subscription", "The subscription does not belong to that customer."));
    }
    let details = params.under("subscription_details");
    if details.choice("proration_behavior", &["create_prorations", "always_invoice", "none"])? != "always_invoice" {
        let param = "subscription_details[proration_behavior]";
        return Err(Refusal::beyond(param, "preview anything but a change with always_invoice"));
    }
    let at = details.number("proration_date")?.unwrap_or(world.now);
    let terms = wanted_terms(world, serial, &details)?;
    let lines = world.change_lines(&world.subscriptions[serial], terms, at);
    let invoice = world.drafted(serial, "subscription_update", lines, world.subscriptions[serial].period);
    Ok(world.show_invoice("upcoming_in_1", &invoice))
}
