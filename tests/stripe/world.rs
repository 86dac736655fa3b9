//! A till: the service in this process with our own stand-in as its Stripe, both by one clock, and Stripe's own SDK,
//! which signs what the stand-in tells.
//!
//! Nothing is told by itself: [`Till::tell`] hands on what has happened since the last time, or a test takes that
//! ([`Till::news`]) and hands it on late, twice, in another order or never. At the end of a story the rest is told, and
//! what is known here is compared with the stand-in's truth: see [`Till::close`] and `truth.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::scheduler::{DutyError, once};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use shared::job::Lane;
use shared::store::stripe_events::{self, EventStatus, Filter};
use shared::store::{Tx, outbox, stripe_customers};
use shared::stripe::{Patience, Stripe};

use crate::harness::engines::{App, Settings, start};
use crate::harness::stripe_sdk::Signer;
use crate::journeys::address;
use crate::journeys::client::{Answer, Client, PASSWORD, eventually, send};
use crate::journeys::here::{Account, Here};
use crate::stand_ins::stripe_like::{Happened, SECRET_KEY, Standing, StripeLike};

/// Makes `name::sqlite` and `name::postgres` of one story. Settings that differ from the default are named behind
/// `with`.
macro_rules! stories {
    ($(async fn $name:ident($till:ident: &Till $(with $settings:expr)?) $body:block)+) => { $(
        mod $name {
            #[allow(clippy::wildcard_imports, unused_imports, reason = "not every story needs all of its file")]
            use super::*;

            async fn body($till: &$crate::stripe::world::Till) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let till = $crate::stripe::world::Till::sqlite(&[$($settings)?]).await;
                body(&till).await;
                till.close().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let till = $crate::stripe::world::Till::postgres(&[$($settings)?]).await;
                body(&till).await;
                till.close().await;
            }
        }
    )+ };
}
pub(crate) use stories;

/// What webhooks are signed with.
pub const SECRET: &str = "whsec_of_the_till";

/// Nothing waits: pauses are of no length here.
const HASTE: Patience =
    Patience { attempt: Duration::from_secs(10), total: Duration::from_secs(25), first_pause: Duration::ZERO };

/// One process signs for all tests; it ends with them.
static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::start);

/// The service and its Stripe.
pub struct Till {
    pub here: Here,
    pub stripe: StripeLike,
    /// How many of Stripe's events have been taken.
    taken: AtomicUsize,
}

impl Till {
    pub async fn sqlite(groups: &[Settings]) -> Self {
        let stripe = stand_in().await;
        let app = App::sqlite_with(groups, settings(&stripe)).await;
        Self::new(stripe, app).await
    }

    pub async fn postgres(groups: &[Settings]) -> Self {
        let stripe = stand_in().await;
        let app = App::postgres_with(groups, settings(&stripe)).await;
        Self::new(stripe, app).await
    }

    async fn new(stripe: StripeLike, mut app: App) -> Self {
        let connection = Stripe::new(&app.services.config.stripe).expect("a connection to Stripe").expect("a key");
        app.services.stripe = Some(Arc::new(connection.with_patience(HASTE)));
        Self { here: Here::new(app).await, stripe, taken: AtomicUsize::new(0) }
    }

    pub fn app(&self) -> &App {
        &self.here.app
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.app().clock.now()
    }

    /// Lets time pass for both.
    pub fn pass(&self, time: TimeDelta) {
        self.here.pass(time);
        self.stripe.set_now(self.now().timestamp());
    }

    /// Lets time pass for both until a moment.
    pub fn pass_until(&self, at: &str) {
        let at: DateTime<Utc> = at.parse().expect("a time");
        self.pass(at - self.now());
    }

    /// Lets a second pass.
    pub fn tick(&self) {
        self.pass(TimeDelta::seconds(1));
    }

    /// Somebody with a fresh session, for stories that last longer than one.
    pub async fn again(&self, name: &str) -> Client {
        self.here.nobody.with_tokens(&self.here.sign_in(name, PASSWORD).await.must(200)["tokens"])
    }

    /// What has happened at Stripe since the last time; whoever takes it tells it, or nobody does.
    pub fn news(&self) -> Vec<Happened> {
        let news = self.stripe.events_after(self.taken.load(Ordering::Relaxed));
        self.taken.fetch_add(news.len(), Ordering::Relaxed);
        news
    }

    /// Tells what has happened at Stripe since the last time, and does what follows.
    pub async fn tell(&self) {
        self.deliver(&self.news()).await;
    }

    /// Tells these events in this order, and does what follows.
    pub async fn deliver(&self, events: &[Happened]) {
        for event in events {
            self.send(&event.raw).await.must(200);
        }
        self.app().run_until_idle().await;
    }

    /// Tells anything as Stripe does.
    pub async fn send(&self, raw: &str) -> Answer {
        signed(&self.here.nobody, raw, (SECRET, self.now().timestamp())).await
    }

    /// Does a duty now.
    pub async fn try_duty(&self, name: &str) -> Result<String, DutyError> {
        once(&self.app().services, name, self.now()).await
    }

    /// Does a duty now, and what follows; gives its summary.
    pub async fn duty(&self, name: &str) -> String {
        let summary = self.try_duty(name).await.expect("a duty");
        self.app().run_until_idle().await;
        summary
    }

    /// How many mails of a kind somebody has been sent, or will be.
    pub async fn told(&self, name: &str, kind: &str) -> usize {
        let to = address(name);
        self.app().mails(kind).await.into_iter().filter(|(other, _)| *other == to).count()
    }

    /// Somebody's customer.
    pub async fn customer(&self, of: &Account) -> String {
        let mut tx = self.reader().await;
        stripe_customers::get(&mut tx, of.id, false).await.expect("a row").expect("a customer")
    }

    /// All subscriptions that somebody has had, the oldest first, as they really are.
    pub async fn standings(&self, of: &Account) -> Vec<Standing> {
        let customer = self.customer(of).await;
        self.stripe.subscriptions().remove(&customer).unwrap_or_default()
    }

    /// The newest of these.
    pub async fn standing(&self, of: &Account) -> Standing {
        self.standings(of).await.pop().expect("a subscription")
    }

    /// How many events of a type there have been at Stripe.
    pub fn happened(&self, kind: &str) -> usize {
        self.stripe.events().iter().filter(|event| event.kind == kind).count()
    }

    /// Waits until Stripe has been asked for something after so many requests: a method and how the path begins.
    pub async fn asked(&self, since: usize, line: &str) {
        eventually(async || {
            let seen = self.stripe.requests().split_off(since);
            let is_it = seen.iter().any(|request| format!("{} {}", request.method, request.path).starts_with(line));
            if is_it { Ok(()) } else { Err(format!("{} requests, and none of them is {line}", seen.len())) }
        })
        .await;
    }

    /// Makes something at Stripe, as another program might that has the key; gives it.
    pub async fn make(&self, path: &str, body: &str) -> Value {
        let other = Client::new(self.stripe.base_url()).with_bearer(SECRET_KEY);
        let key = format!("another-program-{}", self.stripe.requests().len());
        let request = other.request(Method::POST, path).header("Stripe-Version", "2026-09-30.endive");
        send(request.header("Idempotency-Key", key).body(body.to_owned())).await.must(200)
    }

    pub async fn reader(&self) -> Tx {
        self.app().services.db.read().await.expect("a reader")
    }

    /// Tells the rest. Then nothing waits, nothing has been asked of Stripe that would be done twice if it were
    /// repeated, and what is known here is true.
    pub async fn close(&self) {
        loop {
            let news = self.news();
            if news.is_empty() {
                break;
            }
            self.deliver(&news).await;
        }
        let keyless = self.stripe.keyless();
        assert!(keyless.is_empty(), "without an idempotency key: {keyless:?}");
        let mut tx = self.reader().await;
        let pending = Filter { status: Some(EventStatus::Pending), before: None };
        assert_eq!(stripe_events::list(&mut tx, &pending, 10).await.expect("events"), [], "events that wait");
        assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 0, "jobs that wait");
        drop(tx);
        self.compare().await;
        self.app().check_invariants().await;
    }
}

/// Tells something as Stripe does, with a signature by its SDK.
pub async fn signed(client: &Client, raw: &str, (secret, time): (&str, i64)) -> Answer {
    let request = client.request(Method::POST, "/webhooks/stripe").header("content-type", "application/json");
    send(request.header("Stripe-Signature", SIGNER.header(raw, secret, time)).body(raw.to_owned())).await
}

/// A Stripe of which nobody has asked anything yet.
async fn stand_in() -> StripeLike {
    let stripe = StripeLike::start().await;
    stripe.set_now(start().timestamp());
    stripe
}

fn settings(stripe: &StripeLike) -> Vec<(&'static str, String)> {
    vec![
        ("STRIPE_API_BASE", stripe.base_url().to_owned()),
        ("STRIPE_SECRET_KEY", SECRET_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
    ]
}
