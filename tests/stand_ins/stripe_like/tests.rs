//! What other tests may rely on: the stand-in's own behaviour, asked over HTTP as our program asks it.
//!
//! Each file below holds one subject; `Bench` is a running stand-in with a client and the few things that most tests
//! begin with. Its clock stands at 15 January 2027, 8:00, so that the first month has 31 days.

mod catalogue;
mod changing;
mod checkout;
mod events;
mod faults;
mod keys;
mod refunds;
mod schedules;
mod subscribing;
mod time;

use serde_json::Value;

use super::{API_VERSION, AfterRetries, Fault, SECRET_KEY, StripeLike};

/// The time at which each test begins; unix seconds.
const START: i64 = 1_800_000_000;

const DAY: i64 = 24 * 60 * 60;

/// Half of the month that begins at `START`.
const HALF_MONTH: i64 = 31 * DAY / 2;

struct Bench {
    stripe: StripeLike,
    http: reqwest::Client,
}

impl Bench {
    async fn start() -> Self {
        let stripe = StripeLike::start().await;
        assert!(stripe.now() > 1_700_000_000, "it starts at the present");
        stripe.set_now(START);
        Self { stripe, http: reqwest::Client::builder().no_proxy().build().expect("client") }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
        key: Option<&str>,
    ) -> reqwest::Result<reqwest::Response> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.stripe.base_url()));
        let request = request.bearer_auth(SECRET_KEY).header("Stripe-Version", API_VERSION).body(body.to_owned());
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        request.send().await
    }

    async fn call(&self, method: &str, path: &str, body: &str, key: Option<&str>) -> (u16, Value) {
        let answer = self.send(method, path, body, key).await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, object) = self.call("GET", path, "", None).await;
        assert_eq!(status, 200, "{object}");
        object
    }

    async fn try_post(&self, path: &str, body: &str) -> (u16, Value) {
        let key = format!("key-{}", self.stripe.requests().len());
        self.call("POST", path, body, Some(&key)).await
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        let (status, object) = self.try_post(path, body).await;
        assert_eq!(status, 200, "{object}");
        object
    }

    /// The id of what was made.
    async fn make(&self, path: &str, body: &str) -> String {
        text(&self.post(path, body).await["id"])
    }

    async fn price(&self, amount: i64, interval: &str) -> String {
        let body = format!(
            "currency=usd&unit_amount={amount}&recurring[interval]={interval}&product_data[name]=Plan\
             &lookup_key=plan:{interval}:{amount}"
        );
        self.make("/v1/prices", &body).await
    }

    /// A customer and a card of that kind.
    async fn payer(&self, card: &str) -> (String, String) {
        let customer = self.make("/v1/customers", "email=payer@example.com").await;
        let attach = format!("/v1/payment_methods/{card}/attach");
        let method = self.make(&attach, &format!("customer={customer}")).await;
        (customer, method)
    }

    /// A customer with an active subscription to that price.
    async fn subscriber(&self, price: &str) -> (String, String) {
        let (customer, method) = self.payer("pm_card_visa").await;
        let body = format!(
            "customer={customer}&items[0][price]={price}&default_payment_method={method}\
             &payment_behavior=error_if_incomplete"
        );
        (customer, self.make("/v1/subscriptions", &body).await)
    }

    /// The status of the customer's only subscription.
    fn status(&self, customer: &str) -> &'static str {
        let standings = self.stripe.subscriptions();
        assert_eq!(standings[customer].len(), 1, "{standings:?}");
        standings[customer][0].status
    }

    /// The types of the events after the first `count`.
    fn kinds_after(&self, count: usize) -> Vec<&'static str> {
        self.stripe.events_after(count).iter().map(|event| event.kind).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().expect("a list").iter().map(|object| text(&object["id"])).collect()
}
