//! Notes that payments were not made in time. Readers see it without this, and money that comes later is taken all the
//! same.

use chrono::{DateTime, Utc};
use shared::services::Services;
use shared::store::payments;

use super::DutyError;

/// Ends what nobody waits for any more.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let mut tx = services.db.begin().await?;
    let expired = payments::expire(&mut tx, None, now).await?;
    tx.commit().await?;
    Ok(format!("{expired} payments"))
}
