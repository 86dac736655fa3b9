//! Stories of money: what people and admins do over HTTP, what Stripe does and tells meanwhile, and what has become of
//! it.
//!
//! A file holds one theme, a test one sentence. The stand-in is ours: what passes here has to be tried with test keys
//! too.

mod cancelling;
mod closing;
mod codes;
mod failing;
mod other_hands;
mod planned;
mod plans;
mod privacy;
mod reconciling;
mod refunds;
mod repeating;
mod subscribing;
mod telling;
mod trouble;

use reqwest::Method;
use serde_json::{Value, json};

use super::world::Till;
use crate::journeys::client::{Answer, Client, send};
use crate::journeys::here::Account;

const SUBSCRIBE: &str = "/payments/subscribe";
const CHANGE: &str = "/payments/change-plan";
const CANCEL: &str = "/payments/cancel";
const REACTIVATE: &str = "/payments/reactivate";
const QR: &str = "/payments/qr-code";
const REFUNDS: &str = "/payments/refunds";
const HISTORY: &str = "/payments/history";
const INVOICES: &str = "/payments/invoices";
/// The card that pays.
const VISA: &str = "pm_card_visa";
/// What Stripe is asked for when a subscription is made.
const MAKING: &str = "POST /v1/subscriptions";

/// A month of a tier; how it is paid is still to be said.
fn month(tier: &str) -> Value {
    json!({"tier": tier, "billing_cycle": "monthly"})
}

/// The same, paid with a card.
fn with_card(tier: &str, card: &str) -> Value {
    json!({"tier": tier, "billing_cycle": "monthly", "payment_method": card})
}

/// Tries to subscribe with the card that pays.
async fn subscribe(client: &Client, tier: &str) -> Answer {
    client.post(SUBSCRIBE, &with_card(tier, VISA)).await
}

/// Somebody who has subscribed, of which Stripe has told.
async fn subscriber(till: &Till, name: &str, tier: &str) -> Account {
    let account = till.here.verified(name).await;
    subscribe(&account.client, tier).await.must(200);
    till.tell().await;
    account
}

/// Opens a page of Stripe where a month of a tier is subscribed to; gives its session.
async fn open_page(client: &Client, tier: &str) -> String {
    page(&client.post(SUBSCRIBE, &month(tier)).await.must(200)["checkout_url"])
}

/// The session of a page of Stripe.
fn page(url: &Value) -> String {
    let session = url.as_str().and_then(|url| url.split_once("/c/pay/")?.1.split('#').next());
    session.unwrap_or_else(|| panic!("no page: {url}")).to_owned()
}

/// Somebody's subscription.
async fn own(client: &Client) -> Value {
    client.get("/payments/subscription").await.must(200)
}

/// Tries to submit an intent.
async fn submit(client: &Client) -> Answer {
    client.post("/api/v1/intents", &json!({"intent": "Say hello"})).await
}

/// What is on the first page of a list.
async fn items(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.must(200)["items"].as_array().cloned().unwrap_or_default()
}

/// A request with an idempotency key.
async fn keyed(client: &Client, (path, key): (&str, &str), body: &Value) -> Answer {
    send(client.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
}

/// Checks that a body has these fields, whatever else it has.
fn says(body: &Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("fields") {
        assert_eq!(&body[name], value, "{name} in {body}");
    }
}

/// The text of a field.
fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}"))
}
