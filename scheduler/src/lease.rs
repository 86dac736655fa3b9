//! One of several replicas acts: whoever holds a duty's lease in the table `duties`.
//!
//! The lease is short and renewed while the duty runs, so that the duty of a replica that died is soon done by another.
//! A replica that could not renew in time stops: another may have begun.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::services::Services;
use shared::store::{StoreResult, duties};

use crate::duties::{DutyError, Work};
use crate::timetable::Duty;

const LEASE: TimeDelta = TimeDelta::seconds(60);
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// Takes a duty if it is due and free; gives the tick to do it for.
pub async fn take(
    services: &Services,
    duty: &Duty,
    holder: &str,
    now: DateTime<Utc>,
) -> StoreResult<Option<DateTime<Utc>>> {
    // A new row gets this time as its last tick. It must lie between two ticks, and `now` may be one.
    let before = now - TimeDelta::microseconds(1);
    let mut tx = services.db.begin().await?;
    let Some(last) = duties::take(&mut tx, duty.name, holder, (before, now + LEASE)).await? else { return Ok(None) };
    let due = duty.due(last, now);
    if due.is_some() {
        tx.commit().await?;
    }
    // Without a commit the lease was never taken.
    Ok(due)
}

/// Runs a duty's work and renews the lease meanwhile.
pub async fn hold(services: &Services, name: &'static str, holder: &str, work: Work<'_>) -> Result<String, DutyError> {
    // Both are polled side by side: on SQLite a renewal may have to wait for the transaction that the work has open.
    tokio::select! {
        result = work => result,
        lost = renew(services, name, holder) => Err(lost),
    }
}

/// Renews the lease until that fails.
async fn renew(services: &Services, name: &'static str, holder: &str) -> DutyError {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match renew_once(services, name, holder).await {
            Ok(true) => {}
            Ok(false) => return DutyError::Lost,
            Err(error) => return error.into(),
        }
    }
}

async fn renew_once(services: &Services, name: &str, holder: &str) -> StoreResult<bool> {
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    let held = duties::take(&mut tx, name, holder, (now, now + LEASE)).await?.is_some();
    tx.commit().await?;
    Ok(held)
}

/// Records a tick as done and lets the duty go.
pub async fn done(services: &Services, name: &str, holder: &str, tick: DateTime<Utc>) -> Result<(), DutyError> {
    let mut tx = services.db.begin().await?;
    let held = duties::done(&mut tx, name, holder, tick).await?;
    tx.commit().await?;
    if held { Ok(()) } else { Err(DutyError::Lost) }
}
