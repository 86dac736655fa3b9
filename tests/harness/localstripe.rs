//! localstripe, a server by others that behaves like Stripe, for customers, payment methods, subscriptions, their
//! invoices, refunds, events and signed webhooks. It knows no Checkout, no portal and no schedules: what it does not
//! know is 404 in plain text. It ignores idempotency keys.
//!
//! Otherwise than Stripe it begins a subscription that cannot be paid at once and leaves it `incomplete`, also where an
//! error was asked for; it refunds more than was paid; it has no events about changed subscriptions, refunds and
//! `invoice.paid`, and its list has those first that happened first; its invoices do not say why they were made.
//!
//! Before it stands `price_translator.rs`, which is ours, because localstripe knows plans and not prices. localstripe
//! is run as a program and not built upon, as its licence (GPL) has it.

use std::process::Command;

use serde_json::json;

use super::counterpart::{Counterpart, client};
use super::installed;
use super::price_translator::PriceTranslator;

/// A running localstripe without any data, and the translator before it; both stop when dropped.
pub struct Localstripe {
    server: Counterpart,
    translator: PriceTranslator,
}

impl Localstripe {
    /// Starts both and waits until they answer. The translator lives in the runtime of the test that started it.
    pub async fn start() -> Self {
        // It listens on all interfaces, of IPv4 and IPv6, which it does not let one change. It also writes its data to
        // `/tmp/localstripe.pickle`, which it does not read again when it starts from scratch.
        let server = Counterpart::start(|port, _| {
            let mut command = Command::new(installed::localstripe().join("bin/python"));
            command.args(["-m", "localstripe", "--from-scratch", "--port", &port.to_string()]);
            command
        });
        let server = server.await;
        let translator = PriceTranslator::start(server.base_url()).await;
        Self { server, translator }
    }

    /// The address to use as that of Stripe's API, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.translator.base_url()
    }

    /// Sends every event from now on to this address, about a second after it happened and only once, signed with the
    /// secret. A second call replaces the address of the first.
    pub async fn send_webhooks(&self, url: &str, secret: &str) {
        let endpoint = client().post(format!("{}/_config/webhooks/tests", self.base_url()));
        let answer = endpoint.json(&json!({"url": url, "secret": secret})).send().await.expect("answers");
        assert!(answer.status().is_success(), "webhooks to {url}: {}", answer.status());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::harness::counterpart::{TEST_KEY, get, post};
    use crate::harness::stand_in_http::{Recorded, StandInHttp};
    use crate::harness::stripe_sdk::Signer;
    use crate::journeys::client::eventually;

    const SECRET: &str = "whsec_localstripe";

    /// Answers of localstripe to whoever expects success.
    struct Account(Localstripe);

    impl Account {
        async fn open() -> Self {
            let this = Self(Localstripe::start().await);
            this.post("/v1/products", "id=autoos&name=AUTOOS").await;
            this
        }

        async fn post(&self, path: &str, form: &str) -> Value {
            let (status, answer) = post(&format!("{}{path}", self.0.base_url()), form).await;
            assert_eq!(status, 200, "{path} {form}: {answer}");
            answer
        }

        async fn get(&self, path: &str) -> Value {
            let (status, answer) = get(&format!("{}{path}", self.0.base_url())).await;
            assert_eq!(status, 200, "{path}: {answer}");
            answer
        }

        async fn price(&self, key: &str, amount: u32) -> String {
            let form = format!(
                "product=autoos&currency=usd&unit_amount={amount}&recurring[interval]=month&lookup_key={key}\
                 &metadata[tier]=student"
            );
            let price = self.post("/v1/prices", &form).await;
            assert_eq!((&price["object"], &price["unit_amount"]), (&json!("price"), &json!(amount)));
            text(&price["id"])
        }

        /// A customer with a card that pays, the card, and the subscription.
        async fn subscribe(&self, price: &str) -> (String, Value) {
            let customer = text(&self.post("/v1/customers", "email=ann@example.com&metadata[user_id]=1").await["id"]);
            let attach = format!("customer={customer}");
            let card = text(&self.post("/v1/payment_methods/pm_card_visa/attach", &attach).await["id"]);
            let form = format!(
                "customer={customer}&items[0][price]={price}&default_payment_method={card}\
                 &payment_behavior=error_if_incomplete&metadata[user_id]=1&expand[]=latest_invoice"
            );
            (customer, self.post("/v1/subscriptions", &form).await)
        }
    }

    fn text(value: &Value) -> String {
        value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
    }

    /// What arrived, as soon as an event of this type is among it.
    async fn arrived(receiver: &StandInHttp, kind: &str) -> Vec<Recorded> {
        eventually(async || {
            let requests = receiver.requests();
            let mut bodies = requests.iter().map(|request| serde_json::from_str::<Value>(&request.body).expect("JSON"));
            if bodies.any(|event| event["type"] == kind) { Ok(requests) } else { Err(format!("no {kind}")) }
        })
        .await
    }

    #[tokio::test]
    async fn a_price_is_subscribed_to_and_paid_at_once() {
        let account = Account::open().await;
        let price = account.price("autoos:student", 1999).await;
        let (customer, subscription) = account.subscribe(&price).await;
        assert_eq!(subscription["status"], "active");
        assert_eq!(subscription["items"]["data"][0]["plan"]["id"], price);
        assert_eq!(subscription["latest_invoice"]["status"], "paid");
        let listed = account.get(&format!("/v1/subscriptions?customer={customer}&status=all&limit=100")).await;
        assert_eq!(listed["data"][0]["id"], subscription["id"]);
        let invoices = account.get(&format!("/v1/invoices?customer={customer}&limit=100")).await;
        assert_eq!(invoices["data"][0]["amount_paid"], 1999);
    }

    #[tokio::test]
    async fn prices_are_found_by_their_lookup_keys_only() {
        let account = Account::open().await;
        let price = account.price("autoos:student", 1999).await;
        account.price("autoos:other", 2999).await;
        let found = account.get("/v1/prices?lookup_keys[]=autoos:student&active=true").await;
        assert_eq!(found["data"].as_array().expect("prices").len(), 1, "{found}");
        assert_eq!((&found["data"][0]["id"], &found["has_more"]), (&json!(price), &json!(false)));
        assert_eq!(found["data"][0]["lookup_key"], "autoos:student");
        assert_eq!(found["data"][0]["recurring"]["interval"], "month");
        let none = account.get("/v1/prices?lookup_keys[0]=autoos:none&active=true").await;
        assert_eq!(none["data"], json!([]));
    }

    #[tokio::test]
    async fn a_plan_is_changed_cancelled_and_refunded_with_what_stripe_takes_besides() {
        let account = Account::open().await;
        let (price, dearer) = (account.price("a", 1999).await, account.price("b", 3999).await);
        let (customer, subscription) = account.subscribe(&price).await;
        let (id, item) = (text(&subscription["id"]), text(&subscription["items"]["data"][0]["id"]));
        let preview = format!(
            "customer={customer}&subscription={id}&subscription_details[items][0][id]={item}\
             &subscription_details[items][0][price]={dearer}&subscription_details[proration_behavior]=always_invoice"
        );
        assert_eq!(account.post("/v1/invoices/create_preview", &preview).await["amount_due"], 2000);
        let path = format!("/v1/subscriptions/{id}");
        let change = format!(
            "items[0][id]={item}&items[0][price]={dearer}&proration_behavior=always_invoice\
             &payment_behavior=error_if_incomplete"
        );
        assert_eq!(account.post(&path, &change).await["items"]["data"][0]["plan"]["id"], dearer);
        assert_eq!(account.post(&path, "cancel_at_period_end=true").await["cancel_at_period_end"], true);
        let invoice = text(&subscription["latest_invoice"]["id"]);
        let invoice = account.get(&format!("/v1/invoices/{invoice}?expand[]=payments")).await;
        let refund =
            format!("payment_intent={}&amount=500&reason=requested_by_customer", text(&invoice["payment_intent"]));
        assert_eq!(account.post("/v1/refunds", &refund).await["status"], "succeeded");
        let events = account.get("/v1/events?created[gte]=1&types[]=customer.created&limit=100").await;
        assert_eq!(events["data"][0]["object"], "event");
    }

    #[tokio::test]
    async fn its_webhooks_are_signed_as_stripes_are() {
        let (account, receiver, signer) = (Account::open().await, StandInHttp::start().await, Signer::start());
        account.0.send_webhooks(&format!("{}/ok", receiver.base_url()), SECRET).await;
        let price = account.price("autoos:student", 1999).await;
        account.subscribe(&price).await;
        for kind in ["invoice.payment_succeeded", "customer.subscription.created"] {
            for request in arrived(&receiver, kind).await {
                let header = &request.headers["stripe-signature"];
                assert!(signer.verify(&request.body, header, SECRET), "{}", request.body);
                assert!(!signer.verify(&request.body, header, "whsec_other"));
            }
        }
    }

    #[tokio::test]
    async fn a_card_that_is_declined_is_refused_as_such() {
        let account = Account::open().await;
        let customer = text(&account.post("/v1/customers", "email=ann@example.com").await["id"]);
        let path = "/v1/payment_methods/pm_card_visa_chargeDeclined/attach";
        let (status, answer) = post(&format!("{}{path}", account.0.base_url()), &format!("customer={customer}")).await;
        assert_eq!((status, &answer["error"]["code"]), (402, &json!("card_declined")));
    }

    #[tokio::test]
    async fn the_translator_lets_all_else_pass_as_it_is() {
        let account = Account::open().await;
        let customer = text(&account.post("/v1/customers", "email=ann%2Bb@example.com&name=A+B%20C").await["id"]);
        for path in [format!("/v1/customers/{customer}"), "/v1/nowhere".to_owned()] {
            let mut answers = Vec::new();
            for base_url in [account.0.base_url(), account.0.server.base_url()] {
                let request = client().get(format!("{base_url}{path}")).bearer_auth(TEST_KEY);
                let answer = request.send().await.expect("answers");
                let kind = answer.headers().get("content-type").cloned();
                answers.push((answer.status(), kind, answer.bytes().await.expect("body")));
            }
            assert_eq!(answers[0], answers[1]);
        }
    }
}
