//! Checkout sessions and the customer portal. Sessions are paid in `paying`.

use serde_json::{Value, json};

use super::catalogue::WantedPrice;
use super::every::DAY;
use super::form::{Metadata, Params};
use super::lists::Page;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{automatic_tax, joined, nulls};
use super::world::World;

/// The shortest life of a session; the longest is a day.
const SHORTEST: i64 = 30 * 60;

/// One page on which somebody can pay.
pub(super) struct Session {
    pub(super) created: i64,
    /// `payment` or `subscription`.
    pub(super) mode: &'static str,
    /// `open`, `complete` or `expired`.
    pub(super) status: &'static str,
    /// `unpaid` or `paid`.
    pub(super) payment_status: &'static str,
    pub(super) customer: Option<u64>,
    pub(super) email: Option<String>,
    pub(super) price: u64,
    pub(super) quantity: i64,
    /// Minor units.
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment: Option<u64>,
    pub(super) subscription: Option<u64>,
    pub(super) expires_at: i64,
    /// What is written to the payment or the subscription that comes of the session.
    pub(super) handed_on: Metadata,
    metadata: Metadata,
    reference: Option<String>,
    success_url: String,
    cancel_url: Option<String>,
}

impl World {
    pub(super) fn session_json(&self, serial: u64) -> Value {
        let row = &self.sessions[serial];
        let invoice = row.subscription.and_then(|subscription| self.subscriptions[subscription].latest_invoice);
        let email = row.customer.and_then(|customer| self.customers[customer].email.clone()).or(row.email.clone());
        let details = json!({
            "address": null, "email": email, "name": null, "phone": null, "tax_exempt": "none", "tax_ids": null,
        });
        joined([
            json!({
                "id": self.sessions.id(serial), "object": "checkout.session", "mode": row.mode, "status": row.status,
                "payment_status": row.payment_status, "amount_subtotal": row.amount, "amount_total": row.amount,
                "automatic_tax": automatic_tax(), "cancel_url": row.cancel_url,
                "client_reference_id": row.reference, "created": row.created, "currency": row.currency,
                "custom_fields": [], "custom_text": nulls(&["after_submit", "shipping_address", "submit"]),
                "customer": row.customer.map(|customer| self.customers.id(customer)), "customer_details": details,
                "customer_email": row.email, "expires_at": row.expires_at,
            }),
            json!({
                "invoice": invoice.map(|invoice| self.invoices.id(invoice)), "livemode": false,
                "metadata": row.metadata, "payment_method_collection": "always", "payment_method_types": ["card"],
                "payment_intent": row.payment.map(|payment| self.payments.id(payment)),
                "phone_number_collection": {"enabled": false}, "shipping_options": [],
                "subscription": row.subscription.map(|subscription| self.subscriptions.id(subscription)),
                "success_url": row.success_url, "ui_mode": "hosted_page", "url": self.session_url(serial),
                "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            }),
            nulls(&["after_expiration", "allow_promotion_codes", "billing_address_collection", "client_secret"]),
            nulls(&["consent", "consent_collection", "currency_conversion", "customer_creation", "discounts"]),
            nulls(&["invoice_creation", "locale", "payment_link", "payment_method_options", "recovered_from"]),
            nulls(&["setup_intent", "shipping_address_collection", "shipping_cost", "submit_type"]),
        ])
    }

    /// The page of an open session. Stripe's addresses are about as long, which matters when they are drawn as a code.
    fn session_url(&self, serial: u64) -> Option<String> {
        let id = self.sessions.id(serial);
        let open = self.sessions[serial].status == "open";
        open.then(|| format!("https://checkout.stand-in.example/c/pay/{id}#{}", "fidkdWxOYHwnPyd1".repeat(20)))
    }

    pub(super) fn expire_session(&mut self, serial: u64) {
        self.sessions[serial].status = "expired";
        self.note("checkout.session.expired", self.session_json(serial));
    }
}

pub(super) const CREATE: &[&str] = &[
    "mode",
    "customer",
    "customer_email",
    "client_reference_id",
    "line_items[*][price]",
    "line_items[*][quantity]",
    "line_items[*][price_data][currency]",
    "line_items[*][price_data][unit_amount]",
    "line_items[*][price_data][product]",
    "line_items[*][price_data][product_data][name]",
    "line_items[*][price_data][recurring][interval]",
    "line_items[*][price_data][recurring][interval_count]",
    "success_url",
    "cancel_url",
    "expires_at",
    "metadata[*]",
    "payment_intent_data[metadata][*]",
    "subscription_data[metadata][*]",
];

pub(super) fn create(world: &mut World, _: &str, params: &Params) -> Outcome {
    params.need("mode")?;
    let mode = params.choice("mode", &["payment", "subscription"])?;
    let handed_on = if mode == "payment" { "payment_intent_data" } else { "subscription_data" };
    let other = if mode == "payment" { "subscription_data" } else { "payment_intent_data" };
    if params.under(other) != Params::default() {
        return Err(Refusal::rule(other, &format!("This cannot be used in `{mode}` mode.")));
    }
    let success_url = params.need("success_url")?.to_owned();
    let expires_at = params.number("expires_at")?.unwrap_or(world.now + DAY);
    if !(world.now + SHORTEST..=world.now + DAY).contains(&expires_at) {
        let message = "The `expires_at` timestamp must be from 30 minutes to 24 hours after the creation.";
        return Err(Refusal::rule("expires_at", message));
    }
    let customer = world.customers.maybe(params, "customer")?;
    let (price, quantity) = read_line(world, params, mode)?;
    let session = Session {
        created: world.now,
        mode,
        status: "open",
        payment_status: "unpaid",
        customer,
        email: params.text("customer_email"),
        price,
        quantity,
        amount: world.prices[price].unit_amount * quantity,
        currency: world.prices[price].currency.clone(),
        payment: None,
        subscription: None,
        expires_at,
        handed_on: params.under(handed_on).metadata("metadata"),
        metadata: params.metadata("metadata"),
        reference: params.text("client_reference_id"),
        success_url,
        cancel_url: params.text("cancel_url"),
    };
    let serial = world.next_serial();
    world.sessions.add(serial, customer, session);
    world.wake(expires_at, serial);
    Ok(world.session_json(serial))
}

/// The one line of a session; a price that is given in full is made.
fn read_line(world: &mut World, params: &Params, mode: &str) -> Result<(u64, i64), Refusal> {
    match params.groups("line_items").len() {
        0 => return Err(Refusal::missing("line_items")),
        1 => {}
        _ => return Err(Refusal::beyond("line_items", "sell more than one thing in a session")),
    }
    let quantity = params.number("line_items[0][quantity]")?;
    let quantity = quantity.ok_or_else(|| Refusal::missing("line_items[0][quantity]"))?;
    let data = params.under("line_items[0][price_data]");
    let fits = |once: bool| {
        let message = "A session in `subscription` mode wants a recurring price, one in `payment` mode does not.";
        if once == (mode == "payment") { Ok(()) } else { Err(Refusal::rule("line_items[0][price]", message)) }
    };
    if data == Params::default() {
        let price = world.prices.named(params, "line_items[0][price]")?;
        fits(world.prices[price].every.is_none())?;
        return Ok((price, quantity));
    }
    let wanted = WantedPrice::read(world, &data)?;
    fits(wanted.once())?;
    Ok((world.add_price(wanted), quantity))
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.sessions.at(id)?;
    Ok(world.session_json(serial))
}

pub(super) const LIST: &[&str] = &["customer", "status", "payment_intent", "subscription"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.sessions, params)?;
    let customer = world.customers.maybe(params, "customer")?;
    let payment = world.payments.maybe(params, "payment_intent")?;
    let subscription = world.subscriptions.maybe(params, "subscription")?;
    let rows = world.sessions.newest(customer).filter(|serial| {
        let row = &world.sessions[*serial];
        params.get("status").is_none_or(|status| row.status == status)
            && (payment.is_none() || row.payment == payment)
            && (subscription.is_none() || row.subscription == subscription)
            && page.spans(row.created)
    });
    Ok(page.list("/v1/checkout/sessions", rows, |serial| world.session_json(serial)))
}

pub(super) fn expire(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.sessions.at(id)?;
    let status = world.sessions[serial].status;
    if status != "open" {
        return Err(Refusal::rule("session", &format!("Only an open session can expire; this one is `{status}`.")));
    }
    world.expire_session(serial);
    Ok(world.session_json(serial))
}

pub(super) const PORTAL: &[&str] = &["customer", "return_url"];

pub(super) fn portal(world: &mut World, _: &str, params: &Params) -> Outcome {
    let customer = world.customers.named(params, "customer")?;
    let serial = world.next_serial();
    Ok(json!({
        "id": format!("bps_{serial}"), "object": "billing_portal.session", "configuration": "bpc_1",
        "created": world.now, "customer": world.customers.id(customer), "flow": null, "livemode": false,
        "locale": null, "on_behalf_of": null, "return_url": params.get("return_url"),
        "url": format!("https://billing.stand-in.example/p/session/bps_{serial}"),
    }))
}
