//! Mails that duties decide on: gathered by reading, then put in small transactions.

use chrono::{DateTime, TimeDelta, Utc};
use shared::email::Mail;
use shared::ids::UserId;
use shared::services::Services;
use shared::store::{StoreResult, mails};

/// Mails decided on in one transaction.
const BATCH: usize = 50;

/// A mail that should have been decided on by now.
pub struct Notice {
    /// Whom it is for.
    pub user: UserId,
    /// Where to.
    pub address: String,
    /// What it says.
    pub mail: Mail,
    /// What it is about; a mail of a kind is decided on once for each.
    pub occasion: String,
}

/// Decides on those that have not been; gives how many these were.
pub async fn put(services: &Services, notices: &[Notice], now: DateTime<Utc>) -> StoreResult<usize> {
    let mut put = 0;
    for batch in notices.chunks(BATCH) {
        let new = put_batch(services, batch, now).await?;
        if new > 0 {
            services.queue.wake().await;
        }
        put += new;
    }
    Ok(put)
}

async fn put_batch(services: &Services, notices: &[Notice], now: DateTime<Utc>) -> StoreResult<usize> {
    let mut new = 0;
    let mut tx = services.db.begin().await?;
    for Notice { user, address, mail, occasion } in notices {
        new += usize::from(mails::put(&mut tx, (*user, address), mail, occasion, now).await?);
    }
    tx.commit().await?;
    Ok(new)
}

/// Days until `end`, begun ones included; at least 1.
pub fn days_left(end: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (end - now + TimeDelta::days(1) - TimeDelta::seconds(1)).num_days().max(1)
}
