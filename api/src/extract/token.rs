//! What a token says.

use chrono::{DateTime, Utc};
use shared::services::Services;
use shared::tokens::{Claims, Kind};

use crate::error::ApiResult;

/// The claims of a token that is good for this; its key may have been made by another process a moment ago.
pub async fn claims(services: &Services, token: &str, kind: Kind, now: DateTime<Utc>) -> ApiResult<Claims> {
    services.tokens.find_key(token, &services.db, &services.seal, now).await?;
    Ok(services.tokens.read(token, kind, now)?)
}
