//! Our program against counterparts of Stripe that nobody here wrote, each for the part of Stripe that it behaves like:
//! `localstripe` for what is billed, `emulate` for pages where people pay, `stateful_mock` for idempotency keys, and
//! Stripe's own SDK for signatures (`signer`).
//!
//! They have the machine's clock and no other, so the service's clock is set to that, and stands. What a counterpart
//! does not know or says otherwise than Stripe is listed where it is run, in `tests/harness`; a test that meets such a
//! thing says so. For one more counterpart: a file here that uses [`connected`] or [`gateway`].

mod emulate;
mod localstripe;
mod signer;
mod stateful_mock;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use shared::clock::Clock;
use shared::config::StripeConfig;
use shared::store::stripe_events::{self, Filter, StoredEvent};
use shared::stripe::{Patience, Stripe};

use crate::harness::counterpart::TEST_KEY;
use crate::harness::engines::App;
use crate::journeys::client::{Answer, Client, send};
use crate::journeys::here::Here;

const WEBHOOK: &str = "/webhooks/stripe";
/// What webhooks are signed with.
const SECRET: &str = "whsec_counterparts";

/// What somebody would configure to have a counterpart in Stripe's place.
fn config(base_url: &str) -> StripeConfig {
    StripeConfig {
        secret_key: Some(TEST_KEY.into()),
        publishable_key: None,
        webhook_secrets: vec![SECRET.into()],
        api_base: base_url.parse().expect("an address"),
    }
}

/// The service with a counterpart in Stripe's place, in the present.
async fn connected(mut app: App, base_url: &str) -> Here {
    let mut all = (*app.services.config).clone();
    all.stripe = config(base_url);
    app.services.stripe = Stripe::new(&all.stripe).expect("a connection to Stripe").map(Arc::new);
    app.services.config = Arc::new(all);
    app.clock.advance(Clock::System.now() - app.clock.now());
    Here::new(app).await
}

/// Only the connection to a counterpart, with pauses of no length.
fn gateway(base_url: &str) -> Stripe {
    let stripe = Stripe::new(&config(base_url)).expect("a connection to Stripe").expect("a key");
    stripe.with_patience(Patience { first_pause: Duration::ZERO, ..Patience::default() })
}

/// Where the service takes webhooks.
fn webhook_url(here: &Here) -> String {
    let request = here.nobody.request(Method::POST, WEBHOOK).build().expect("a request");
    request.url().to_string()
}

/// Sends something to where webhooks are taken.
async fn tell(nobody: &Client, body: &str, signature: Option<&str>) -> Answer {
    let request = nobody.request(Method::POST, WEBHOOK).header("content-type", "application/json");
    let request = match signature {
        Some(signature) => request.header("Stripe-Signature", signature),
        None => request,
    };
    send(request.body(body.to_owned())).await
}

/// All events that were taken so far.
async fn stored(here: &Here) -> Vec<StoredEvent> {
    let mut reader = here.app.services.db.read().await.expect("a reader");
    stripe_events::list(&mut reader, &Filter::default(), 1_000).await.expect("events")
}

/// A text in an answer.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
