//! emulate, a server by others that behaves like parts of Stripe, for Checkout sessions with their hosted pages.
//!
//! Its sessions have no amount, no `payment_intent` and no `expires_at`, and it takes every price of a list for the one
//! that is asked for. It knows neither subscriptions nor events nor idempotency keys.

use std::fs;
use std::process::Command;

use reqwest::header::LOCATION;
use serde_json::json;

use super::counterpart::{Counterpart, client, posting};
use super::installed;

/// A running emulate without any data of ours, stopped when dropped.
pub struct Emulate(Counterpart);

impl Emulate {
    /// Starts it and waits until it answers.
    pub async fn start() -> Self {
        Self::run("{}".to_owned()).await
    }

    /// Starts it so that it sends its webhooks to this address. They are signed with the secret, but have no `id`, which
    /// makes them no events of Stripe's.
    pub async fn start_with_webhooks(url: &str, secret: &str) -> Self {
        let endpoint = json!({"url": url, "events": ["*"], "secret": secret});
        Self::run(json!({"stripe": {"webhooks": [endpoint]}}).to_string()).await
    }

    async fn run(seed: String) -> Self {
        let server = Counterpart::start(|port, dir| {
            let place = installed::emulate();
            let file = dir.join("seed.json");
            fs::write(&file, seed).expect("the seed");
            let mut command = Command::new(place.join("node"));
            command.arg(place.join("node_modules/emulate/dist/index.js")).args(["start", "--service", "stripe"]);
            // Otherwise its pages would be at `localhost`, where it need not listen.
            command.args(["--port", &port.to_string(), "--base-url", &format!("http://127.0.0.1:{port}")]);
            command.arg("--seed").arg(file);
            command
        });
        Self(server.await)
    }

    /// The address to use as that of Stripe's API, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.0.base_url()
    }

    /// Opens the hosted page at the `url` of a Checkout session and pays there, as somebody would in a browser. Gives the
    /// address that the payer is sent to, the session's `success_url`; nothing if the page has no way to pay any more.
    pub async fn pay(&self, url: &str) -> Option<String> {
        let page = client().get(url).send().await.expect("a page").text().await.expect("a page");
        let (_, form) = page.split_once("<form method=\"post\" action=\"")?;
        let (action, _) = form.split_once('"')?;
        let paid =
            posting(&format!("{}{action}", self.base_url()), "email=ann@example.com").send().await.expect("answers");
        assert_eq!(paid.status().as_u16(), 302, "{url}");
        Some(paid.headers()[LOCATION].to_str().expect("an address").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::harness::counterpart::{get, post};
    use crate::harness::stand_in_http::StandInHttp;
    use crate::harness::stripe_sdk::Signer;

    const SECRET: &str = "whsec_emulate";

    fn text(value: &Value) -> String {
        value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
    }

    async fn made(emulate: &Emulate, path: &str, form: &str) -> Value {
        let (status, answer) = post(&format!("{}{path}", emulate.base_url()), form).await;
        assert_eq!(status, 200, "{path} {form}: {answer}");
        answer
    }

    /// A session that sells one thing to a new customer.
    async fn session(emulate: &Emulate) -> Value {
        let customer = text(&made(emulate, "/v1/customers", "email=ann@example.com").await["id"]);
        let product = text(&made(emulate, "/v1/products", "name=AUTOOS").await["id"]);
        let price = format!("product={product}&currency=usd&unit_amount=1999&lookup_key=autoos:student");
        let price = text(&made(emulate, "/v1/prices", &price).await["id"]);
        let form = format!(
            "mode=payment&customer={customer}&client_reference_id=1&line_items[0][price]={price}\
             &line_items[0][quantity]=1&success_url=https://example.com/paid&cancel_url=https://example.com/no\
             &expires_at=4102444800&metadata[payment_id]=1"
        );
        made(emulate, "/v1/checkout/sessions", &form).await
    }

    async fn status(emulate: &Emulate, session: &Value) -> (String, String) {
        let (_, now) = get(&format!("{}/v1/checkout/sessions/{}", emulate.base_url(), text(&session["id"]))).await;
        (text(&now["status"]), text(&now["payment_status"]))
    }

    #[tokio::test]
    async fn a_payer_pays_on_the_hosted_page_once() {
        let emulate = Emulate::start().await;
        let session = session(&emulate).await;
        assert_eq!(status(&emulate, &session).await, ("open".to_owned(), "unpaid".to_owned()));
        assert_eq!(session["metadata"]["payment_id"], "1");
        let page = text(&session["url"]);
        assert_eq!(emulate.pay(&page).await.as_deref(), Some("https://example.com/paid"));
        assert_eq!(status(&emulate, &session).await, ("complete".to_owned(), "paid".to_owned()));
        assert_eq!(emulate.pay(&page).await, None);
    }

    #[tokio::test]
    async fn an_expired_session_cannot_be_paid_and_a_paid_one_not_expired() {
        let emulate = Emulate::start().await;
        let (first, second) = (session(&emulate).await, session(&emulate).await);
        let expire = |session: &Value| format!("/v1/checkout/sessions/{}/expire", text(&session["id"]));
        assert_eq!(made(&emulate, &expire(&first), "").await["status"], "expired");
        assert_eq!(emulate.pay(&text(&first["url"])).await, None);
        assert!(emulate.pay(&text(&second["url"])).await.is_some());
        let (status, answer) = post(&format!("{}{}", emulate.base_url(), expire(&second)), "").await;
        assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")));
    }

    #[tokio::test]
    async fn its_webhooks_are_signed_but_have_no_id() {
        let (receiver, signer) = (StandInHttp::start().await, Signer::start());
        let emulate = Emulate::start_with_webhooks(&format!("{}/ok", receiver.base_url()), SECRET).await;
        let session = session(&emulate).await;
        emulate.pay(&text(&session["url"])).await.expect("paid");
        // It answers the payer only after it has sent the webhook.
        let requests = receiver.requests();
        let paid = requests.last().expect("a webhook");
        assert!(signer.verify(&paid.body, &paid.headers["stripe-signature"], SECRET));
        let event: Value = serde_json::from_str(&paid.body).expect("JSON");
        assert_eq!((&event["type"], &event["id"]), (&json!("checkout.session.completed"), &Value::Null));
    }
}
