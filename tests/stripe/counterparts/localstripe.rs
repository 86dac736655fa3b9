//! localstripe in Stripe's place: customers, cards, subscriptions with their invoices, refunds, webhooks and the list
//! of events, in stories that go through our API.
//!
//! Its webhooks come by themselves, about a second late; [`Site::hear`] waits for them. What is done to it directly is
//! what happens on Stripe's own pages or at a bank. For one more story: a test in the file that it belongs to.

mod buying;
mod changing;
mod missed;
mod refunds;
mod refused;

use ::scheduler::once;
use serde_json::{Value, json};
use shared::domain::payment::EventStatus;
use shared::store::stripe_events::StoredEvent;

use super::{SECRET, connected, stored, text, webhook_url};
use crate::harness::counterpart::{answer, client, get, post};
use crate::harness::engines::App;
use crate::harness::localstripe::Localstripe;
use crate::journeys::address;
use crate::journeys::client::eventually;
use crate::journeys::here::{Account, Here};

const SUBSCRIBE: &str = "/payments/subscribe";
/// The subject of the mail that confirms the student plan.
const ACTIVE: &str = "Your student plan is active";
/// The subject of the mail that tells of its end.
const ENDED: &str = "Your student plan has ended";
/// The name that its price has.
const PRICE: &str = "autoos:student:monthly:usd:999";
/// A card that pays.
const VISA: &str = "pm_card_visa";
/// A card that is declined when a customer wants to use it.
const DECLINED: &str = "pm_card_visa_chargeDeclined";

/// The student plan, a month at a time, paid with a card.
fn student(card: &str) -> Value {
    json!({"tier": "student", "billing_cycle": "monthly", "payment_method": card})
}

/// What is on a list of ours.
async fn items(account: &Account, path: &str) -> Vec<Value> {
    account.client.get(path).await.must(200)["items"].as_array().cloned().unwrap_or_default()
}

/// What somebody has paid and got back.
async fn history(account: &Account) -> Vec<Value> {
    items(account, "/payments/history").await
}

/// The subscription as its owner sees it.
async fn current(account: &Account) -> Value {
    account.client.get("/payments/subscription").await.must(200)
}

/// The service with localstripe in Stripe's place.
struct Site {
    here: Here,
    stripe: Localstripe,
}

impl Site {
    /// Without webhooks.
    async fn open(app: App) -> Self {
        let stripe = Localstripe::start().await;
        Self { here: connected(app, stripe.base_url()).await, stripe }
    }

    /// With webhooks, from the beginning.
    async fn told(app: App) -> Self {
        let site = Self::open(app).await;
        site.stripe.send_webhooks(&webhook_url(&site.here), SECRET).await;
        site
    }

    /// What localstripe says.
    async fn get(&self, path: &str) -> Value {
        let (status, answer) = get(&format!("{}{path}", self.stripe.base_url())).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// What is on a list of localstripe's.
    async fn rows(&self, path: &str) -> Vec<Value> {
        self.get(path).await["data"].as_array().cloned().unwrap_or_default()
    }

    /// Does something at localstripe.
    async fn post(&self, path: &str, form: &str) -> Value {
        let (status, answer) = post(&format!("{}{path}", self.stripe.base_url()), form).await;
        assert_eq!(status, 200, "{path} {form}: {answer}");
        answer
    }

    /// Ends something at localstripe.
    async fn delete(&self, path: &str) {
        let (status, answer) = answer(client().delete(format!("{}{path}", self.stripe.base_url()))).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }

    /// The one customer that somebody is at localstripe.
    async fn customer(&self, name: &str) -> String {
        let mut customers = self.rows("/v1/customers?limit=100").await;
        customers.retain(|customer| customer["email"] == address(name));
        assert_eq!(customers.len(), 1, "{customers:?}");
        text(&customers[0]["id"])
    }

    /// All subscriptions of a customer at localstripe.
    async fn subscriptions(&self, customer: &str) -> Vec<Value> {
        self.rows(&format!("/v1/subscriptions?customer={customer}&status=all&limit=100")).await
    }

    /// Buys the student plan with a card that pays.
    async fn subscribe(&self, account: &Account) -> Value {
        account.client.post(SUBSCRIBE, &student(VISA)).await.must(200)["subscription"].clone()
    }

    /// Tries to buy the student plan in vain, so that customer and price are there; gives the customer.
    async fn introduce(&self, name: &str, account: &Account) -> String {
        account.client.post(SUBSCRIBE, &student(DECLINED)).await.problem(402, "payment_declined");
        self.customer(name).await
    }

    /// Buys the student plan for a customer without us; gives the subscription.
    async fn subscribe_elsewhere(&self, customer: &str) -> String {
        let prices = self.rows(&format!("/v1/prices?lookup_keys[]={PRICE}&active=true")).await;
        let attach = format!("/v1/payment_methods/{VISA}/attach");
        let card = text(&self.post(&attach, &format!("customer={customer}")).await["id"]);
        let price = text(&prices[0]["id"]);
        let form = format!("customer={customer}&items[0][price]={price}&default_payment_method={card}");
        text(&self.post("/v1/subscriptions", &form).await["id"])
    }

    /// Waits until all that has happened at localstripe has been told by webhook, and does what follows from it; gives
    /// all events.
    async fn hear(&self) -> Vec<StoredEvent> {
        let happened = self.rows("/v1/events?limit=1000").await;
        eventually(async || {
            self.here.app.run_until_idle().await;
            let told = stored(&self.here).await;
            let is_done = |event: &StoredEvent| event.status != EventStatus::Pending;
            let is_told = |event: &Value| told.iter().any(|one| event["id"] == one.id && is_done(one));
            let missing = happened.iter().filter(|event| !is_told(event)).count();
            if missing == 0 { Ok(told) } else { Err(format!("{missing} of {} events are missing", happened.len())) }
        })
        .await
    }

    /// Does a duty of the scheduler and what follows from it; gives what the duty says.
    async fn duty(&self, name: &str) -> String {
        let app = &self.here.app;
        let said = once(&app.services, name, app.clock.now()).await.expect("a duty");
        app.run_until_idle().await;
        said
    }

    /// The student plan runs: paid for once, with its invoice, confirmed by one mail, and in place of the trial.
    async fn has_student_plan(&self, name: &str, account: &Account) {
        let own = current(account).await;
        for (field, value) in [
            ("tier", json!("student")),
            ("status", json!("active")),
            ("billing_cycle", json!("monthly")),
            ("billed_by", json!("stripe")),
            ("entitles", json!(true)),
            ("cancel_at_period_end", json!(false)),
        ] {
            assert_eq!(own[field], value, "{field} in {own}");
        }
        assert_eq!(account.client.get("/payments/trial").await.must(200)["is_active"], false);
        let (paid, invoices) = (history(account).await, items(account, "/payments/invoices").await);
        assert_eq!((paid.len(), invoices.len()), (1, 1), "{paid:?} {invoices:?}");
        for (field, value) in [
            ("kind", json!("invoice")),
            ("status", json!("paid")),
            ("tier", json!("student")),
            ("amount_minor", json!(999)),
            ("currency", json!("USD")),
        ] {
            assert_eq!(paid[0][field], value, "{field} in {}", paid[0]);
        }
        let all = json!({"amount_minor": 999, "currency": "USD"});
        assert_eq!((&invoices[0]["status"], &invoices[0]["amount_paid"]), (&json!("paid"), &all), "{}", invoices[0]);
        assert_eq!(self.here.mails(name, ACTIVE).await.len(), 1);
    }

    /// Nothing was granted, paid or confirmed; the trial goes on.
    async fn is_on_trial(&self, name: &str, account: &Account) {
        assert_eq!(account.client.get("/payments/trial").await.must(200)["is_active"], true);
        let preview = account.client.post("/api/v1/intents/preview", &json!({"intent": "Say hello"})).await.must(200);
        assert_eq!(preview["entitled"], json!({"allowed": true, "credits_remaining": 9}));
        assert_eq!(history(account).await, Vec::<Value>::new());
        assert_eq!(self.here.mails(name, ACTIVE).await.len(), 0);
    }
}
