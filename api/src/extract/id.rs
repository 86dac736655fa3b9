//! The id or the name in a path: whatever is none is like one that nothing has.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use crate::App;
use crate::error::ApiError;

/// The first parameter of the path; 404 unless it is an id.
pub struct PathId(pub Uuid);

impl FromRequestParts<App> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found())?;
        let id = params.iter().next().and_then(|(_, id)| Uuid::try_parse(id).ok());
        id.map(Self).ok_or_else(ApiError::not_found)
    }
}

/// The first parameter of the path, as Stripe names things: 404 unless it is 1 to 255 letters, digits and `_`.
pub struct PathName(pub String);

impl FromRequestParts<App> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found())?;
        let name = params.iter().next().map(|(_, name)| name.to_owned()).filter(|name| is_name(name));
        name.map(Self).ok_or_else(ApiError::not_found)
    }
}

/// Whether this can be a name of Stripe's; one that is can stand in any path.
pub fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_letters_digits_and_underscores() {
        for name in ["evt_1NG8Du2eZvKYlo2CUI79vXWy", "a", &"x".repeat(255)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a/b", "../a", "a\0", "\u{e4}", &"x".repeat(256)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
