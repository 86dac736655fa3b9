//! `Idempotency-Key`: the first answer again, byte for byte.
//!
//! The key is taken and the answer written in the transaction that does the work, so there is no state in between: a
//! crash leaves neither, and a second request waits for the first one's transaction.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::plan::FieldError;
use shared::ids::UserId;
use shared::store::{Tx, idempotency};

use crate::error::{ApiError, ApiResult, Code};

/// For how long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// A request's key, if it has one.
pub struct Key {
    user: UserId,
    route: &'static str,
    text: Option<String>,
}

impl Key {
    /// The key of a request; 422 if it is not 1 to 255 printable ASCII characters.
    pub fn of(headers: &HeaderMap, user: UserId, route: &'static str) -> ApiResult<Self> {
        let key = headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default().to_owned());
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
            let fault = FieldError::new("Idempotency-Key", "must be 1 to 255 printable ASCII characters");
            return Err(ApiError::invalid(vec![fault]));
        }
        Ok(Self { user, route, text: key })
    }

    /// Takes the key; gives the answer if there is one already.
    pub async fn take(&self, tx: &mut Tx, fingerprint: &str, now: DateTime<Utc>) -> ApiResult<Option<Response>> {
        let Some(key) = &self.text else { return Ok(None) };
        let id = (self.user, self.route, key.as_str());
        idempotency::prune_key(tx, id, now - KEPT).await?;
        if idempotency::take(tx, id, fingerprint, now).await? {
            return Ok(None);
        }
        let answer = idempotency::get(tx, id).await?.ok_or_else(ApiError::not_found)?;
        if answer.fingerprint != fingerprint {
            let detail = "This Idempotency-Key was used for another request; use a new key.";
            return Err(ApiError::new(Code::IdempotencyKeyReused, detail));
        }
        let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let mut response = respond(status.unwrap_or(StatusCode::OK), answer.body);
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    /// Keeps the answer under the key, and gives it.
    pub async fn answer(&self, tx: &mut Tx, status: StatusCode, body: String) -> ApiResult<Response> {
        if let Some(key) = &self.text {
            idempotency::answer(tx, (self.user, self.route, key), i64::from(status.as_u16()), &body).await?;
        }
        Ok(respond(status, body))
    }
}

fn respond(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
