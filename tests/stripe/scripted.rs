//! A stand-in that gives the answers that it was told, one after the other, and keeps what it was asked.
//!
//! The last answer is given again and again. It knows nothing of Stripe: what Stripe would say is up to the test.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::harness::stand_in_http::Recorded;

/// An answer.
#[derive(Clone)]
pub struct Said {
    status: StatusCode,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Said {
    /// Any body.
    pub fn text(status: u16, body: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or_else(|error| panic!("{status}: {error}"));
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string())
    }

    /// The same with a header more; its name in small letters.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The running stand-in; it stops when dropped.
pub struct Scripted {
    base_url: String,
    talk: Talk,
    serving: AbortHandle,
}

impl Scripted {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start(answers: Vec<Said>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("scripted: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("scripted: {error}"));
        let talk = Talk { answers: Arc::new(answers), asked: Arc::default() };
        let heard = talk.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            ready(heard.answer(&method, &uri, &headers, &body))
        };
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { base_url: format!("http://{address}"), talk, serving }
    }

    /// Its address without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// All requests so far, in the order of their arrival.
    pub fn asked(&self) -> Vec<Recorded> {
        self.talk.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Talk {
    answers: Arc<Vec<Said>>,
    asked: Arc<Mutex<Vec<Recorded>>>,
}

impl Talk {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let earlier = self.hear(Recorded {
            method: method.to_string(),
            path: uri.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: text(body),
        });
        match self.answers.get(earlier).or(self.answers.last()) {
            Some(said) => said.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Keeps a request and tells how many came before it.
    fn hear(&self, request: Recorded) -> usize {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request);
        asked.len() - 1
    }
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        let named = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers: HeaderMap = self.headers.into_iter().map(named).collect();
        (self.status, headers, self.body).into_response()
    }
}
