//! `Idempotency-Key`: the first answer again, byte for byte.
//!
//! The key is taken and the answer written in the transaction that does the work, so there is no state in between: a
//! crash leaves neither, and a second request waits for the first one's transaction.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::domain::plan::FieldError;
use shared::ids::UserId;
use shared::store::idempotency::{self, Given, Wanted};
use shared::store::stripe_operations;
use shared::store::{StoreResult, Tx};

use crate::error::{ApiError, ApiResult, Code};

/// For how long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// A request's key, if it has one, and what its body was.
#[derive(Debug, Clone)]
pub struct Key {
    user: UserId,
    route: &'static str,
    text: Option<String>,
    fingerprint: String,
}

impl Key {
    /// The key of a request; 422 if it is not 1 to 255 printable ASCII characters.
    pub fn of(headers: &HeaderMap, user: UserId, route: &'static str, fingerprint: String) -> ApiResult<Self> {
        let text = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default().to_owned());
        if text.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
            let fault = FieldError::new("Idempotency-Key", "must be 1 to 255 printable ASCII characters");
            return Err(ApiError::invalid(vec![fault]));
        }
        Ok(Self { user, route, text, fingerprint })
    }

    /// The same request, as operations at Stripe know it.
    pub fn request(&self) -> stripe_operations::Request<'_> {
        stripe_operations::Request {
            user: self.user,
            route: self.route,
            client_key: self.text.as_deref(),
            fingerprint: &self.fingerprint,
        }
    }

    /// What is said when a key comes with another body than before.
    pub fn reused() -> ApiError {
        let detail = "This Idempotency-Key was used for another request; use a new key.";
        ApiError::new(Code::IdempotencyKeyReused, detail)
    }

    fn wanted(&self) -> Option<Wanted<'_>> {
        let key = self.text.as_deref()?;
        Some(Wanted { user: self.user, key, fingerprint: &self.fingerprint })
    }

    /// The kept answer to this request; `None` if there is none.
    async fn kept(&self, tx: &mut Tx) -> StoreResult<Option<ApiResult<Answer>>> {
        let Some(key) = &self.text else { return Ok(None) };
        let kept = idempotency::get(tx, (self.user, self.route, key)).await?;
        Ok(kept.map(|kept| {
            if kept.fingerprint != self.fingerprint {
                return Err(Self::reused());
            }
            Ok(Answer::kept(u16::try_from(kept.status).unwrap_or_default(), kept.body))
        }))
    }
}

/// An answer that can be kept and given again.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    body: String,
    replayed: bool,
}

impl Answer {
    /// An answer that is given for the first time.
    pub fn json(status: StatusCode, body: &impl Serialize) -> ApiResult<Self> {
        Ok(Self { status, body: serde_json::to_string(body)?, replayed: false })
    }

    /// An answer that was given before.
    pub fn kept(status: u16, body: String) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body, replayed: true }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Its body, byte for byte.
    pub fn body(&self) -> &str {
        &self.body
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.replayed {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// Which of some requests of one route are to be done, and which have been or are being done under the same key.
pub struct Turns<'a> {
    keys: &'a [&'a Key],
    first: Vec<bool>,
}

impl<'a> Turns<'a> {
    /// Takes the keys of all of them.
    pub async fn take(tx: &mut Tx, keys: &'a [&'a Key], now: DateTime<Utc>) -> StoreResult<Self> {
        let mut wanted = BTreeMap::new();
        for (i, key) in keys.iter().enumerate() {
            if let Some(one) = key.wanted() {
                wanted.entry((one.user, one.key)).or_insert((i, one));
            }
        }
        let mut first: Vec<_> = keys.iter().map(|key| key.text.is_none()).collect();
        if let Some(route) = keys.first().map(|key| key.route) {
            let rows: Vec<_> = wanted.values().map(|(_, one)| *one).collect();
            let taken = idempotency::take(tx, route, &rows, (now, now - KEPT)).await?;
            for (i, one) in wanted.into_values() {
                first[i] = taken.contains(&(one.user, one.key.to_owned()));
            }
        }
        Ok(Self { keys, first })
    }

    /// Whether this request is to be done.
    pub fn is_first(&self, request: usize) -> bool {
        self.first[request]
    }

    /// Keeps the answers of the requests that were done, and gives an answer for every request: a kept one where it
    /// was not done. A refusal is not kept: its key is free again.
    pub async fn finish(&self, tx: &mut Tx, done: Vec<ApiResult<Answer>>) -> StoreResult<Vec<ApiResult<Answer>>> {
        let mut done = done.into_iter();
        let mut answers: Vec<_> = self.first.iter().map(|first| if *first { done.next() } else { None }).collect();
        self.keep(tx, &answers).await?;
        for (i, key) in self.keys.iter().enumerate() {
            if answers[i].is_some() {
                continue;
            }
            // No kept answer: the same key was refused a moment ago, in this transaction.
            answers[i] = match key.kept(tx).await? {
                Some(kept) => Some(kept),
                None => self.twin(i).and_then(|twin| answers[twin].clone()),
            };
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(ApiError::stopping()))).collect())
    }

    /// The request that was done with this one's key.
    fn twin(&self, request: usize) -> Option<usize> {
        let name = |key: &'a Key| (key.user, key.text.as_deref());
        let key = name(self.keys[request]);
        (0..self.keys.len()).find(|other| self.first[*other] && name(self.keys[*other]) == key)
    }

    async fn keep(&self, tx: &mut Tx, answers: &[Option<ApiResult<Answer>>]) -> StoreResult<()> {
        let mut given = Vec::new();
        for (key, answer) in self.keys.iter().zip(answers) {
            match (&key.text, answer) {
                (Some(text), Some(Ok(answer))) => {
                    let (status, body) = (answer.status(), answer.body());
                    given.push(Given { user: key.user, key: text, status, body });
                }
                (Some(text), Some(Err(_))) => idempotency::release(tx, (key.user, key.route, text)).await?,
                _ => {}
            }
        }
        if let Some(key) = self.keys.first() {
            idempotency::answer(tx, key.route, &given).await?;
        }
        Ok(())
    }
}
