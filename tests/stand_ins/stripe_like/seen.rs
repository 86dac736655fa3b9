//! What a test can see of the stand-in: the truth about its objects, its events, and the requests it got.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{StripeLike, known};
use crate::harness::stand_in_http::Recorded;

/// Something that happened, as it would be delivered.
#[derive(Clone, Debug)]
pub struct Happened {
    /// `evt_` and a number.
    pub id: String,
    /// The type, `invoice.paid` for example.
    pub kind: &'static str,
    /// Unix seconds of the stand-in's clock.
    pub created: i64,
    /// The text to sign and to send.
    pub raw: Arc<str>,
}

/// Where one subscription really stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// `sub_` and a number.
    pub id: String,
    /// As Stripe names it.
    pub status: &'static str,
    /// The id of the price.
    pub price: String,
    /// The price's lookup key.
    pub lookup_key: Option<String>,
    /// Unix seconds.
    pub period_end: i64,
    /// When it ends by itself; unix seconds.
    pub ends: Option<i64>,
}

impl StripeLike {
    /// All events so far, oldest first.
    pub fn events(&self) -> Vec<Happened> {
        self.events_after(0)
    }

    /// All events but the first `count`, oldest first.
    pub fn events_after(&self, count: usize) -> Vec<Happened> {
        self.shared.with(|state| {
            let events = &state.world.events;
            let shown = events.oldest().skip(count).map(|(serial, event)| Happened {
                id: events.id(serial),
                kind: event.kind,
                created: event.created,
                raw: Arc::clone(&event.raw),
            });
            shown.collect()
        })
    }

    /// The truth: each customer's subscriptions, oldest first; customers without any are left out.
    pub fn subscriptions(&self) -> BTreeMap<String, Vec<Standing>> {
        self.shared.with(|state| {
            let world = &state.world;
            let mut standings: BTreeMap<String, Vec<Standing>> = BTreeMap::new();
            for (serial, row) in world.subscriptions.oldest() {
                let standing = Standing {
                    id: world.subscriptions.id(serial),
                    status: row.status.text(),
                    price: world.prices.id(row.price),
                    lookup_key: world.prices[row.price].lookup_key.clone(),
                    period_end: row.period.1,
                    ends: row.ends(),
                };
                standings.entry(world.customers.id(row.customer)).or_default().push(standing);
            }
            standings
        })
    }

    /// All invoices, oldest first, in Stripe's shape and with their payments.
    pub fn invoices(&self) -> Vec<Value> {
        self.shared.with(|state| {
            let world = &state.world;
            let shown = world.invoices.oldest().map(|(serial, _)| {
                let mut invoice = world.invoice_json(serial);
                invoice["payments"] = world.invoice_payments_json(serial);
                invoice
            });
            shown.collect()
        })
    }

    /// A Checkout session in Stripe's shape.
    pub fn session(&self, session: &str) -> Value {
        self.act(|world| world.session_json(known(&world.sessions, session)))
    }

    /// All refunds, oldest first, in Stripe's shape.
    pub fn refunds(&self) -> Vec<Value> {
        self.act(|world| world.refunds.oldest().map(|(serial, _)| world.refund_json(serial)).collect())
    }

    /// All requests so far, in the order of their arrival, also those that were refused or lost.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.with(|state| state.requests.clone())
    }

    /// The requests that change something and came without an idempotency key. There should be none.
    pub fn keyless(&self) -> Vec<Recorded> {
        let changes = |request: &Recorded| request.method != "GET" && request.idempotency_key().is_none();
        self.requests().into_iter().filter(changes).collect()
    }
}

impl Happened {
    /// The event as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.raw).unwrap_or_else(|error| panic!("our own event: {error}"))
    }
}
