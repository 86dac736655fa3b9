//! Lets one signing key follow another. When and for how long is said in `shared::tokens::keyring`.

use chrono::{DateTime, Utc};
use shared::config::JwtAlgorithm;
use shared::services::Services;
use shared::tokens::keyring;

use super::DutyError;

/// Makes, retires and deletes keys, as the time has come.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    if services.config.jwt.algorithm == JwtAlgorithm::Hs256 {
        return Ok("tokens are signed with a secret".to_owned());
    }
    let done = keyring::rotate(&services.db, &services.seal, now).await?;
    services.reload_keys(now).await?;
    if done.made > 0 {
        tracing::info!("the next key for signing tokens was made");
    }
    Ok(format!("{} keys made, {} retired, {} deleted", done.made, done.retired, done.deleted))
}
