//! A stand-in for the web services that workflows call: it records every request and answers as its path says.
//!
//! `/ok` · `/json` (fixed sales figures) · `/status/{code}` · `/slow/{ms}` · `/flaky/{key}/{n}` (503 for the first `n`
//! requests of that key and count, then 200) · `POST /effects` (something that must happen once: counted by
//! `Idempotency-Key`, 400 without) · `/gate` (200, as soon as the test lets it through). For one more answer add a line
//! to the match in `answer`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path with its query, if any.
    pub path: String,
    /// Headers by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
}

/// The running stand-in; it stops when dropped. It lives in the runtime of the test that started it.
pub struct StandInHttp {
    base_url: String,
    record: Record,
    gate: Arc<Semaphore>,
    serving: AbortHandle,
}

impl StandInHttp {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("stand-in: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("stand-in: {error}"));
        let (record, gate) = (Record::default(), Arc::new(Semaphore::new(0)));
        let router = Router::new().fallback(answer).with_state((record.clone(), Arc::clone(&gate)));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { base_url: format!("http://{address}"), record, gate, serving }
    }

    /// Its address without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.record.with(|requests| requests.clone())
    }

    /// Answers so many requests for `/gate`, those that came first first, also some that are yet to come.
    pub fn let_through(&self, requests: usize) {
        self.gate.add_permits(requests);
    }

    /// How often `POST /effects` was called with each idempotency key.
    pub fn effects(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.requests() {
            if let ("POST", "/effects", Some(key)) = (&*request.method, &*request.path, request.idempotency_key()) {
                *counts.entry(key.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

impl Drop for StandInHttp {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Recorded {
    /// The value of `Idempotency-Key`.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.headers.get("idempotency-key").map(String::as_str)
    }
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Recorded>>>);

impl Record {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Recorded>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the request and tells how many with the same path came before it.
    fn add(&self, request: Recorded) -> usize {
        self.with(|requests| {
            let earlier = requests.iter().filter(|other| other.path == request.path).count();
            requests.push(request);
            earlier
        })
    }
}

async fn answer(
    State((record, gate)): State<(Record, Arc<Semaphore>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Recorded {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(&body),
    };
    let keyed = request.idempotency_key().is_some();
    let earlier = record.add(request);
    let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["effects"]) if keyed => Json(json!({"done": true})).into_response(),
        ("POST", ["effects"]) => StatusCode::BAD_REQUEST.into_response(),
        (_, ["ok"]) => Json(json!({"ok": true})).into_response(),
        (_, ["json"]) => Json(sales()).into_response(),
        (_, ["status", code]) => status(code).into_response(),
        (_, ["slow", millis]) => slow(millis).await,
        (_, ["gate"]) => through(&gate).await,
        (_, ["flaky", _key, failures]) => flaky(failures, earlier),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sales() -> Value {
    json!({"total": 1234.5, "rows": [{"region": "north", "amount": 700.25}, {"region": "south", "amount": 534.25}]})
}

fn status(code: &str) -> StatusCode {
    code.parse().unwrap_or(StatusCode::NOT_FOUND)
}

async fn slow(millis: &str) -> Response {
    let Ok(millis) = millis.parse() else { return StatusCode::NOT_FOUND.into_response() };
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Json(json!({"slept_ms": millis})).into_response()
}

async fn through(gate: &Semaphore) -> Response {
    match gate.acquire().await {
        Ok(permit) => permit.forget(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    Json(json!({"ok": true})).into_response()
}

fn flaky(failures: &str, earlier: usize) -> Response {
    match failures.parse::<usize>() {
        Ok(failures) if earlier < failures => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Ok(_) => Json(json!({"ok": true, "failed_before": earlier})).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().expect("client")
    }

    async fn get(stand_in: &StandInHttp, path: &str) -> (u16, String) {
        let answer = client().get(format!("{}{path}", stand_in.base_url())).send().await.expect("answers");
        (answer.status().as_u16(), answer.text().await.expect("body"))
    }

    #[tokio::test]
    async fn each_path_answers_as_its_name_says() {
        let stand_in = StandInHttp::start().await;
        assert_eq!(get(&stand_in, "/ok").await, (200, r#"{"ok":true}"#.to_owned()));
        assert!(get(&stand_in, "/json").await.1.contains("1234.5"));
        assert_eq!(get(&stand_in, "/status/418").await.0, 418);
        assert_eq!(get(&stand_in, "/slow/5").await.0, 200);
        assert_eq!(get(&stand_in, "/elsewhere").await.0, 404);
    }

    #[tokio::test]
    async fn a_flaky_path_fails_as_often_as_told_for_each_key() {
        let stand_in = StandInHttp::start().await;
        for key in ["a", "b"] {
            let path = format!("/flaky/{key}/2");
            let codes = [get(&stand_in, &path).await.0, get(&stand_in, &path).await.0, get(&stand_in, &path).await.0];
            assert_eq!(codes, [503, 503, 200]);
        }
    }

    #[tokio::test]
    async fn the_gate_lets_as_many_through_as_it_is_told_to() {
        let stand_in = StandInHttp::start().await;
        let url = format!("{}/gate", stand_in.base_url());
        let (first, second) = (tokio::spawn(client().get(&url).send()), tokio::spawn(client().get(&url).send()));
        stand_in.let_through(2);
        for answer in [first, second] {
            assert_eq!(answer.await.expect("a task").expect("answers").status().as_u16(), 200);
        }
        assert_eq!(stand_in.requests().len(), 2);
    }

    #[tokio::test]
    async fn requests_are_recorded_and_effects_counted_by_their_key() {
        let stand_in = StandInHttp::start().await;
        let url = format!("{}/effects", stand_in.base_url());
        let client = client();
        for key in ["one", "two", "one"] {
            let sent = client.post(&url).header("Idempotency-Key", key).body("pay").send().await.expect("answers");
            assert_eq!(sent.status().as_u16(), 200);
        }
        assert_eq!(client.post(&url).send().await.expect("answers").status().as_u16(), 400);
        assert_eq!(stand_in.effects(), BTreeMap::from([("one".to_owned(), 2), ("two".to_owned(), 1)]));
        let first = &stand_in.requests()[0];
        assert_eq!((&*first.method, &*first.path, &*first.body), ("POST", "/effects", "pay"));
        assert_eq!(first.idempotency_key(), Some("one"));
    }
}
