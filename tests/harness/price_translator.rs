//! A translator of ours in front of localstripe, because localstripe knows plans and not prices.
//!
//! A price is a plan whose nickname is the lookup key: made and found at `/v1/prices`, and named `[price]` in the forms of
//! subscriptions and previews. What Stripe accepts and localstripe answers with an error is left out of requests: see
//! [`UNKNOWN`]. All else passes as it is, both ways; so answers about subscriptions have `plan` and no `price`.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::counterpart::client;

/// Parameters that localstripe answers with an error: where the path begins so, and how they are called.
const UNKNOWN: [(&str, &str); 5] = [
    // It knows both for a new subscription. For a change they are an error 500: it always keeps a credit for its next
    // invoice, which it makes at once only if the interval changes.
    ("/v1/subscriptions/", "payment_behavior"),
    ("/v1/subscriptions/", "proration_behavior"),
    ("/v1/refunds", "reason"),
    // Nicknames need not be taken from other plans: any number of them may have the same.
    ("/v1/prices", "transfer_lookup_key"),
    // It lists events of one type or of all; all is what holds those that are asked for.
    ("/v1/events", "types"),
];

/// The running translator; it stops when dropped. It lives in the runtime of the test that started it.
pub struct PriceTranslator {
    base_url: String,
    serving: AbortHandle,
}

impl PriceTranslator {
    /// Starts it on a free port of 127.0.0.1, in front of the localstripe at this address.
    pub async fn start(localstripe: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("translator: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("translator: {error}"));
        let behind = Behind { localstripe: localstripe.to_owned(), client: client() };
        let router = Router::new().fallback(translate).with_state(behind);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { base_url: format!("http://{address}"), serving }
    }

    /// Its address without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl Drop for PriceTranslator {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn translate(
    State(behind): State<Behind>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    form: String,
) -> Response {
    let path = uri.path().to_owned();
    let query = known(&path, uri.query().unwrap_or_default());
    let form = known(&path, &form);
    let call = Call { method, path, query, headers, form };
    behind.answer(call).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// One request to localstripe.
#[derive(Clone)]
struct Call {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    form: String,
}

/// The localstripe behind the translator.
#[derive(Clone)]
struct Behind {
    localstripe: String,
    client: Client,
}

impl Behind {
    async fn answer(&self, call: Call) -> reqwest::Result<Response> {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/v1/prices") => self.find_prices(call).await,
            ("POST", "/v1/prices") => self.make_price(call).await,
            ("POST", "/v1/subscriptions") => self.subscribe(call).await,
            _ => relay(self.send(call).await?).await,
        }
    }

    async fn find_prices(&self, call: Call) -> reqwest::Result<Response> {
        let asked = decode(&call.query);
        let plans = Call { path: "/v1/plans".to_owned(), query: "active=true&limit=100".to_owned(), ..call };
        let plans = self.send(plans).await?;
        if !plans.status().is_success() {
            return relay(plans).await;
        }
        let plans: Value = plans.json().await?;
        let is_asked = |plan: &&Value| {
            asked.iter().any(|(name, key)| name.starts_with("lookup_keys[") && plan["nickname"] == key.as_str())
        };
        let found = plans["data"].as_array().into_iter().flatten().filter(is_asked);
        let found: Vec<Value> = found.map(price_of).collect();
        let list = json!({"object": "list", "url": "/v1/prices", "has_more": false, "data": found});
        Ok(Json(list).into_response())
    }

    async fn make_price(&self, call: Call) -> reqwest::Result<Response> {
        let form = plan_form(&call.form);
        let plan = self.send(Call { path: "/v1/plans".to_owned(), form, ..call }).await?;
        if !plan.status().is_success() {
            return relay(plan).await;
        }
        let plan: Value = plan.json().await?;
        Ok(Json(price_of(&plan)).into_response())
    }

    /// Makes the payment method of a new subscription the default of its customer first: localstripe charges that one,
    /// and lets a subscription name none.
    async fn subscribe(&self, mut call: Call) -> reqwest::Result<Response> {
        let (methods, rest): (Pairs, Pairs) =
            decode(&call.form).into_iter().partition(|(name, _)| name == "default_payment_method");
        if let Some((_, method)) = methods.into_iter().next() {
            let customer = rest.iter().find(|(name, _)| name == "customer").map_or("", |(_, id)| id.as_str());
            let path = format!("/v1/customers/{customer}");
            let form = encode(&[("invoice_settings[default_payment_method]".to_owned(), method)]);
            let answer = self.send(Call { path, form, ..call.clone() }).await?;
            if !answer.status().is_success() {
                return relay(answer).await;
            }
            call.form = encode(&rest);
        }
        relay(self.send(call).await?).await
    }

    async fn send(&self, call: Call) -> reqwest::Result<reqwest::Response> {
        let Call { method, path, query, mut headers, form } = call;
        let mark = if query.is_empty() { "" } else { "?" };
        // They tell of this connection and of the form before it was translated.
        headers.remove(HOST);
        headers.remove(CONTENT_LENGTH);
        let url = format!("{}{path}{mark}{query}", self.localstripe);
        self.client.request(method, url).headers(headers).body(form).send().await
    }
}

async fn relay(answer: reqwest::Response) -> reqwest::Result<Response> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, answer.bytes().await?).into_response())
}

type Pairs = Vec<(String, String)>;

/// A form or query as localstripe knows it; the very same text if nothing in it has to change.
fn known(path: &str, form: &str) -> String {
    let given = decode(form);
    let mut wanted = given.clone();
    wanted.retain(|(name, value)| !is_unknown(path, name, value));
    for (name, _) in &mut wanted {
        if let Some(item) = name.strip_suffix("[price]") {
            *name = format!("{item}[plan]");
        }
    }
    if wanted == given { form.to_owned() } else { encode(&wanted) }
}

fn is_unknown(path: &str, name: &str, value: &str) -> bool {
    let (name, _) = name.split_once('[').unwrap_or((name, ""));
    // Its invoices have no payments to expand, but `payment_intent` and `charge`.
    let is_payments = name == "expand" && value.split('.').any(|part| part == "payments");
    is_payments || UNKNOWN.iter().any(|(place, parameter)| path.starts_with(*place) && name == *parameter)
}

/// The form of a price as that of a plan.
fn plan_form(form: &str) -> String {
    let mut pairs = decode(form);
    for (name, _) in &mut pairs {
        let of_plan = match name.as_str() {
            "unit_amount" => "amount",
            "lookup_key" => "nickname",
            "recurring[interval]" => "interval",
            "recurring[interval_count]" => "interval_count",
            _ => continue,
        };
        of_plan.clone_into(name);
    }
    encode(&pairs)
}

/// A plan as the price that it stands for.
fn price_of(plan: &Value) -> Value {
    json!({
        "id": plan["id"],
        "object": "price",
        "active": plan["active"],
        "created": plan["created"],
        "currency": plan["currency"],
        "livemode": plan["livemode"],
        "lookup_key": plan["nickname"],
        "metadata": plan["metadata"],
        "product": plan["product"],
        "recurring": {"interval": plan["interval"], "interval_count": plan["interval_count"]},
        "type": "recurring",
        "unit_amount": plan["amount"],
    })
}

fn decode(form: &str) -> Pairs {
    let url = Url::parse(&format!("http://localhost/?{form}")).unwrap_or_else(|error| panic!("{form}: {error}"));
    url.query_pairs().into_owned().collect()
}

fn encode(pairs: &[(String, String)]) -> String {
    let url = Url::parse_with_params("http://localhost/", pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_localstripe_does_not_know_is_changed() {
        for (path, given, wanted) in [
            ("/v1/customers", "name=A+B%20C&metadata[a]=%26", "name=A+B%20C&metadata[a]=%26"),
            (
                "/v1/subscriptions",
                "items[0][price]=p&payment_behavior=b",
                "items%5B0%5D%5Bplan%5D=p&payment_behavior=b",
            ),
            ("/v1/subscriptions/sub_1", "payment_behavior=b&proration_behavior=c", ""),
            ("/v1/invoices/in_1", "expand%5B%5D=payments&expand[]=customer", "expand%5B%5D=customer"),
            ("/v1/events", "types[0]=a&types%5B%5D=b&limit=100", "limit=100"),
            ("/v1/prices", "lookup_key=a&transfer_lookup_key=true", "lookup_key=a"),
        ] {
            assert_eq!(known(path, given), wanted);
        }
    }

    #[test]
    fn a_price_is_made_as_a_plan() {
        let price = "product=prod&currency=usd&unit_amount=5&recurring[interval]=year&lookup_key=a:b&metadata[k]=v";
        let plan = "product=prod&currency=usd&amount=5&interval=year&nickname=a%3Ab&metadata%5Bk%5D=v";
        assert_eq!(plan_form(price), plan);
    }
}
