//! A JSON body: 400 if it is not JSON, 413 if it is too large, 422 with the field if it does not fit.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use shared::domain::plan::FieldError;

use crate::App;
use crate::error::{ApiError, Code};

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
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "Send the body with Content-Type: application/json.",
            ));
        }
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(Code::BodyTooLarge, "A body may have at most 256 KiB."),
            _ => ApiError::new(Code::BadRequest, "The body did not arrive whole."),
        })?;
        let value = parse(&bytes)?;
        let fingerprint = shared::tokens::sha256_hex(&bytes);
        Ok(Self { value, fingerprint })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize::<_, T>(&mut json);
    let malformed =
        |error: &serde_json::Error| ApiError::new(Code::MalformedJson, format!("The body is not JSON: {error}."));
    let value = read.map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return malformed(&inner);
        }
        let field = if path == "." { "body".to_owned() } else { path };
        let message = inner.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        ApiError::invalid(vec![FieldError::new(field, message)])
    })?;
    json.end().map_err(|error| malformed(&error))?;
    // Databases and mails cannot hold NUL, and nobody means it.
    if bytes.windows(6).any(|w| w == b"\\u0000") {
        return Err(ApiError::invalid(vec![FieldError::new("body", "must not contain the character NUL (\\u0000)")]));
    }
    Ok(value)
}
