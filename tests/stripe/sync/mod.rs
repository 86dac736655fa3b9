//! What becomes of what Stripe says: states of a customer as Stripe would answer them, written as the program writes
//! them, on both engines and without a server.
//!
//! Each customer has a tag, which is in the ids of all that is theirs, so that one test can have several of them.

mod ends;
mod inbox;
mod invoices;
mod order;
mod sessions;
mod subscription;
mod work;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::domain::entitlement::Subscribed;
use shared::domain::money::Currency;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::email::Mail;
use shared::ids::UserId;
use shared::on;
use shared::store::payments::{self, Payment};
use shared::store::stripe_prices::{self, Sold};
use shared::store::{Tx, credits, stripe_customers};
use shared::stripe::sync::{State, Synced, write};
use sqlx::types::Json;

use crate::harness::engines::{App, start};

/// The prices that are ours, with what they buy and cost.
const PRICES: [(&str, Tier, BillingCycle, i64); 3] = [
    ("price_student", Tier::Student, BillingCycle::Monthly, 999),
    ("price_student_year", Tier::Student, BillingCycle::Annual, 9_999),
    ("price_employee", Tier::Employee, BillingCycle::Monthly, 2_999),
];

async fn begin(app: &App) -> Tx {
    app.services.db.begin().await.expect("a transaction")
}

/// A time of Stripe, so many days after the beginning of the test.
fn day(days: i64) -> i64 {
    at(days).timestamp()
}

fn at(days: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(days)
}

/// An object with some fields changed or added.
fn with(mut object: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// What a subscription is for, and the days of its period.
fn items(price: &str, from: i64, to: i64) -> Value {
    let price = json!({"id": price, "object": "price"});
    json!({"object": "list", "data": [
        {"id": "si_1", "price": price, "current_period_start": day(from), "current_period_end": day(to)},
    ]})
}

/// What Stripe says of a customer; what is left out is not there.
#[derive(Debug, Clone, Default)]
struct Seen {
    subscriptions: Vec<Value>,
    next: Vec<(String, &'static str)>,
    invoices: Vec<Value>,
    sessions: Vec<Value>,
    failed_sessions: Vec<String>,
    refunds: Vec<Value>,
    events: Vec<String>,
}

/// An account that Stripe knows.
struct Customer<'a> {
    app: &'a App,
    tag: String,
    user: UserId,
}

impl<'a> Customer<'a> {
    async fn new(app: &'a App, tag: &str) -> Self {
        let user = app.verified_user(&format!("{tag}@example.com")).await;
        let customer = Self { app, tag: tag.to_owned(), user };
        let mut tx = begin(app).await;
        let now = app.clock.now();
        stripe_customers::put(&mut tx, &customer.id("cus"), user, false, now).await.expect("a customer");
        for (price, tier, billing_cycle, amount) in PRICES {
            let (price, currency) = (price.to_owned(), Currency::USD);
            let sold = Sold { price, tier, billing_cycle, amount, currency, livemode: false };
            stripe_prices::put(&mut tx, &sold, now).await.expect("a price");
        }
        tx.commit().await.expect("a commit");
        customer
    }

    /// The id of something of this customer's.
    fn id(&self, what: &str) -> String {
        format!("{what}_{}", self.tag)
    }

    /// A subscription of a month that began with the test, with some fields changed.
    fn subscription(&self, fields: &Value) -> Value {
        let usual = json!({
            "id": self.id("sub"), "object": "subscription", "customer": self.id("cus"), "status": "active",
            "created": day(0), "items": items("price_student", 0, 31), "cancel_at_period_end": false,
            "latest_invoice": self.id("in1"),
        });
        with(usual, fields)
    }

    /// The paid invoice of that month, with some fields changed.
    fn invoice(&self, fields: &Value) -> Value {
        let usual = json!({
            "id": self.id("in1"), "object": "invoice", "customer": self.id("cus"), "number": "A-0001",
            "status": "paid", "billing_reason": "subscription_create", "amount_due": 999, "amount_paid": 999,
            "currency": "usd", "attempt_count": 1, "created": day(0), "status_transitions": {"paid_at": day(0)},
            "hosted_invoice_url": "https://invoice.example/1", "invoice_pdf": "https://invoice.example/1.pdf",
            "parent": {"subscription_details": {"subscription": self.id("sub")}},
            "lines": {"data": [{"amount": 999, "pricing": {"price_details": {"price": "price_student"}}}]},
            "payments": {"data": [{"payment": {"payment_intent": self.id("pi1")}}]},
        });
        with(usual, fields)
    }

    /// The invoice of the next month, made on its first day and paid a day later.
    fn renewal(&self, fields: &Value) -> Value {
        let next = self.invoice(&json!({
            "id": self.id("in2"), "number": "A-0002", "billing_reason": "subscription_cycle", "created": day(31),
            "status_transitions": {"paid_at": day(32)}, "hosted_invoice_url": "https://invoice.example/2",
            "payments": {"data": [{"payment": {"payment_intent": self.id("pi2")}}]},
        }));
        with(next, fields)
    }

    /// Takes a number, as everybody does before reading.
    async fn number(&self) -> i64 {
        let mut tx = begin(self.app).await;
        let number = stripe_customers::start_sync(&mut tx, &self.id("cus")).await.expect("a row");
        tx.commit().await.expect("a commit");
        number.expect("a number")
    }

    fn state(&self, seen: &Seen, number: i64) -> State {
        let objects = |objects: &Vec<Value>| Value::Array(objects.clone());
        State {
            customer: self.id("cus"),
            user: self.user,
            number,
            full: false,
            events: seen.events.clone(),
            subscriptions: serde_json::from_value(objects(&seen.subscriptions)).expect("subscriptions"),
            next_prices: seen.next.iter().map(|(id, price)| (id.clone(), (*price).to_owned())).collect(),
            invoices: serde_json::from_value(objects(&seen.invoices)).expect("invoices"),
            sessions: serde_json::from_value(objects(&seen.sessions)).expect("sessions"),
            failed_sessions: seen.failed_sessions.iter().cloned().collect(),
            refunds: serde_json::from_value(objects(&seen.refunds)).expect("refunds"),
        }
    }

    /// Writes what was read under this number.
    async fn write(&self, seen: &Seen, number: i64) -> Synced {
        let (state, now) = (self.state(seen, number), self.app.clock.now());
        let mut tx = begin(self.app).await;
        let synced = write(&mut tx, &self.app.services, &state, now).await.expect("a write");
        tx.commit().await.expect("a commit");
        // So that what is decided on later has a greater id.
        self.app.clock.advance(TimeDelta::milliseconds(1));
        synced
    }

    /// Reads and writes, as far as it can be told from outside.
    async fn sync(&self, seen: &Seen) -> Synced {
        let number = self.number().await;
        self.write(seen, number).await
    }

    async fn subscribed(&self) -> Option<Subscribed> {
        let mut tx = self.app.services.db.read().await.expect("a reader");
        credits::facts(&mut tx, self.user).await.expect("facts").subscribed
    }

    /// The subscription, where there must be one.
    async fn row(&self) -> Subscribed {
        self.subscribed().await.expect("a subscription")
    }

    /// Everything that was paid or given back, the oldest first.
    async fn payments(&self) -> Vec<Payment> {
        let filter = payments::Filter { user: Some(self.user), ..payments::Filter::default() };
        let mut tx = self.app.services.db.read().await.expect("a reader");
        let mut all = payments::list(&mut tx, &filter, 100).await.expect("payments");
        all.reverse();
        all
    }

    /// Kind and occasion of every mail that was decided on, in the order of the alphabet.
    async fn mails(&self) -> Vec<(String, String)> {
        let mut tx = self.app.services.db.read().await.expect("a reader");
        let sql = "select kind, occasion from mails where user_id = $1 order by kind, occasion";
        on!(tx, |c| sqlx::query_as(sql).bind(self.user).fetch_all(&mut *c).await.expect("mails"))
    }

    /// How many mails of a kind were decided on.
    async fn told(&self, kind: &str) -> usize {
        self.said(kind).await.len()
    }

    /// What the one mail of a kind says.
    async fn only(&self, kind: &str) -> Mail {
        let [mail] = <[Mail; 1]>::try_from(self.said(kind).await).expect("one mail");
        mail
    }

    /// The mails of a kind, in the order of deciding.
    async fn said(&self, kind: &str) -> Vec<Mail> {
        let mut tx = self.app.services.db.read().await.expect("a reader");
        let sql = "select payload from mails where user_id = $1 and kind = $2 order by created_at, id";
        let mails: Vec<Json<Mail>> = on!(tx, |c| {
            sqlx::query_scalar(sql).bind(self.user).bind(kind).fetch_all(&mut *c).await.expect("mails")
        });
        mails.into_iter().map(|mail| mail.0).collect()
    }
}

/// A kind of mail and its occasion.
fn mail(kind: &str, occasion: &str) -> (String, String) {
    (kind.to_owned(), occasion.to_owned())
}
