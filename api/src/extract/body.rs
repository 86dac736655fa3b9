//! A JSON body: 400 if it is not JSON, 408 if it does not arrive in time, 413 if it is too large, 422 with the field if
//! it does not fit.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use shared::domain::plan::FieldError;
use tokio::time::timeout;

use crate::App;
use crate::error::{ApiError, Code};
use crate::layers::BODY_LIMIT;

/// How much of a body that is too large is taken, in bytes.
const TAKEN_LIMIT: usize = 8 * 1024 * 1024;

/// The body, read as `T`, and a fingerprint of its bytes.
pub struct Body<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of its bytes, hexadecimal.
    pub fingerprint: String,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
        let is_json = |kind: &str| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        };
        // Who says nothing means JSON. Browsers send nothing of their own accord that would be let in.
        if !kind.is_none_or(is_json) {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "Send the body with Content-Type: application/json.",
            ));
        }
        let bytes = raw(request.into_body(), BODY_LIMIT, app).await?;
        let value = parse(&bytes)?;
        let fingerprint = shared::tokens::sha256_hex(&bytes);
        Ok(Self { value, fingerprint })
    }
}

/// The bytes of a body that has at most `limit` of them and arrives in time.
pub async fn raw(body: axum::body::Body, limit: usize, app: &App) -> Result<Vec<u8>, ApiError> {
    let late = |_| ApiError::new(Code::RequestTimeout, "The body did not arrive in time; try again.");
    timeout(app.bounds.body, read(body, limit)).await.map_err(late)?
}

/// The whole body. One that is too large is taken nevertheless, up to a bound, and thrown away: a client that is still
/// sending when the connection is closed may never see the answer.
async fn read(body: axum::body::Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::new(Code::BadRequest, "The body did not arrive whole."))?;
        length += piece.len();
        if length <= limit {
            bytes.extend_from_slice(&piece);
        } else if length > TAKEN_LIMIT {
            break;
        }
    }
    if length > limit {
        return Err(ApiError::new(Code::BodyTooLarge, format!("A body may have at most {} KiB.", limit / 1024)));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Keeping track of where one is takes as long as reading, so it is done for those who need to be told.
    let value = serde_json::from_slice(bytes).map_err(|error| fault::<T>(bytes, &error))?;
    // Databases and mails cannot hold NUL, and nobody means it.
    if bytes.windows(6).any(|w| w == b"\\u0000") {
        return Err(ApiError::invalid(vec![FieldError::new("body", "must not contain the character NUL (\\u0000)")]));
    }
    Ok(value)
}

/// What is wrong with a body that cannot be read.
fn fault<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(traced) if traced.inner().is_data() => traced,
        _ => return ApiError::new(Code::MalformedJson, format!("The body is not JSON: {error}.")),
    };
    let message = error.inner().to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let fault = match (missing, error.path().to_string().as_str()) {
        (Some(field), ".") => FieldError::new(field, "is required"),
        (Some(field), path) => FieldError::new(format!("{path}.{field}"), "is required"),
        (None, ".") => FieldError::new("body", message),
        (None, path) => FieldError::new(path, message),
    };
    ApiError::invalid(vec![fault])
}
