//! One request from its arrival to its answer: the key, the version, idempotency, the call itself.
//!
//! As with Stripe, the first answer to a POST is kept under its idempotency key for a day, unless its parameters were
//! never accepted, and a repeated request gets that answer. A key sent with GET or DELETE has no effect.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::Response;
use serde_json::Value;

use super::SECRET_KEY;
use super::events::Cause;
use super::every::DAY;
use super::fault::{Fault, Faults};
use super::form::Params;
use super::refusal::Refusal;
use super::routes::{self, Outcome};
use super::world::World;
use crate::harness::stand_in_http::Recorded;

/// The world, and what has come in from outside.
pub(super) struct State {
    pub(super) world: World,
    pub(super) requests: Vec<Recorded>,
    pub(super) faults: Faults,
    saved: HashMap<String, Saved>,
}

struct Saved {
    at: i64,
    path: String,
    params: Params,
    answer: Answer,
}

/// What goes back.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    body: String,
    headers: Vec<(&'static str, String)>,
    /// Whether it is kept under the idempotency key.
    saved: bool,
}

impl Answer {
    fn new(status: u16, body: &Value, saved: bool) -> Self {
        Self { status, body: format!("{body:#}"), headers: Vec::new(), saved }
    }

    fn of(outcome: Outcome) -> Self {
        match outcome {
            Ok(object) => Self::new(200, &object, true),
            Err(refusal) => Self::new(refusal.status, &refusal.json(), refusal.saved),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status).header("content-type", "application/json");
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).unwrap_or_else(|error| panic!("our own answer: {error}"))
    }
}

impl Saved {
    /// The answer to a request that comes with the same key.
    fn again(&self, path: &str, params: &Params) -> Answer {
        if self.path == path && self.params == *params {
            self.answer.clone().with("idempotent-replayed", "true")
        } else {
            Answer::of(Err(Refusal::reused_key()))
        }
    }
}

impl State {
    pub(super) fn new(now: i64) -> Self {
        Self { world: World::new(now), requests: Vec::new(), faults: Faults::default(), saved: HashMap::new() }
    }

    /// Does what the request asks for, unless the fault says otherwise, and answers.
    pub(super) fn respond(&mut self, request: &Recorded, fault: Option<Fault>) -> Answer {
        let id = format!("req_{}", self.requests.len());
        let answer = match admit(request) {
            Ok(()) => self.keyed(request, fault, &id),
            Err(refusal) => Answer::of(Err(refusal)),
        };
        answer.with("request-id", &id)
    }

    fn keyed(&mut self, request: &Recorded, fault: Option<Fault>, id: &str) -> Answer {
        let (path, query) = request.path.split_once('?').unwrap_or((request.path.as_str(), ""));
        let params = Params::parse(query, &request.body);
        let key = request.idempotency_key().filter(|_| request.method == "POST");
        let Some(key) = key else { return self.answer(request, &params, fault, id) };
        let day_ago = self.world.now - DAY;
        if let Some(saved) = self.saved.get(key).filter(|saved| saved.at > day_ago) {
            return ordered_failure(fault).unwrap_or_else(|| saved.again(path, &params));
        }
        let answer = self.answer(request, &params, fault, id);
        if answer.saved {
            let saved = Saved { at: self.world.now, path: path.to_owned(), params, answer: answer.clone() };
            self.saved.insert(key.to_owned(), saved);
        }
        answer
    }

    fn answer(&mut self, request: &Recorded, params: &Params, fault: Option<Fault>, id: &str) -> Answer {
        if let Some(failure) = ordered_failure(fault) {
            return failure;
        }
        self.world.cause = Some(Cause { request: id.to_owned(), key: request.idempotency_key().map(str::to_owned) });
        let outcome = self.world.call(request, params);
        self.world.cause = None;
        Answer::of(outcome)
    }
}

impl World {
    fn call(&mut self, request: &Recorded, params: &Params) -> Outcome {
        let path = request.path.split('?').next().unwrap_or_default();
        let found = routes::find(&request.method, path);
        let (route, id) = found.ok_or_else(|| Refusal::no_route(&request.method, path))?;
        route.check(params)?;
        let mut object = (route.run)(self, id, params)?;
        self.expand(&mut object, params)?;
        Ok(object)
    }
}

/// Whether the request comes from us and says which version it speaks.
fn admit(request: &Recorded) -> Result<(), Refusal> {
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    match header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        Some(key) if key == SECRET_KEY => {}
        Some(_) => return Err(Refusal::unauthorized("Invalid API Key provided.")),
        None => return Err(Refusal::unauthorized("You did not provide an API key.")),
    }
    if header("stripe-version").is_none() {
        return Err(Refusal::no_version());
    }
    if request.idempotency_key().is_some_and(|key| key.len() > 255) {
        return Err(Refusal::long_key());
    }
    Ok(())
}

/// The failure that a test ordered, where it is one that is answered.
fn ordered_failure(fault: Option<Fault>) -> Option<Answer> {
    let failed = |status: u16| Answer::of(Err(Refusal::ordered(status)));
    match fault? {
        Fault::Status(status, None) => Some(failed(status)),
        Fault::Status(status, Some(seconds)) => Some(failed(status).with("retry-after", &seconds.to_string())),
        Fault::Told(status, again) => Some(failed(status).with("stripe-should-retry", &again.to_string())),
        Fault::Lose | Fault::Refuse | Fault::Slow(_) | Fault::Held => None,
    }
}
