//! Deleting what has served its time and has no better place.

use chrono::{DateTime, Utc};

use super::{StoreResult, Tx};

/// Deletes mails that were delivered, or given up, before `before`.
pub async fn sent_mails(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from mails where sent_at < $1").bind(before).execute(&mut *c).await?.rows_affected()
    }))
}
