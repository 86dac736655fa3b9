//! The scheduler decides that something is due and writes rows about it; the worker acts on them.
//!
//! What there is to do, and when, is one page: `timetable.rs`. Any number of replicas may run: a lease in the table
//! `duties` lets one of them act, and what was missed while none ran is made up for once. To add a duty: a file in
//! `duties/` and a line in the timetable.

mod duties;
mod lease;
mod timetable;

use chrono::{DateTime, Utc};
use shared::services::Services;
use tokio_util::sync::CancellationToken;

pub use self::duties::DutyError;
use self::timetable::{Duty, TIMETABLE};

/// A duty that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its name.
    pub duty: &'static str,
    /// The tick of the timetable that it was done for.
    pub tick: DateTime<Utc>,
    /// What came of it, in a few words.
    pub summary: String,
}

/// Does what is due, and waits for the next tick, until told to stop.
pub async fn run(services: Services, holder: String, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for (name, outcome) in tick_all(&services, &holder).await {
            report(name, outcome);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(timetable::pause(services.clock.now())) => {}
        }
    }
}

/// Does every duty that is due now and that no other replica holds. One that fails does not hold up the others, and is
/// due again at once; the first failure is the result.
pub async fn tick_once(services: &Services, holder: &str) -> Result<Vec<Ran>, DutyError> {
    let outcomes = tick_all(services, holder).await;
    outcomes.into_iter().filter_map(|(_, outcome)| outcome.transpose()).collect()
}

/// Does one duty as if it were `now`, due or not. The timetable and the lease are left alone: a duty may run twice.
pub async fn once(services: &Services, duty: &str, now: DateTime<Utc>) -> Result<String, DutyError> {
    let Some(duty) = TIMETABLE.iter().find(|known| known.name == duty) else {
        return Err(DutyError::Unknown { name: duty.into(), known: names().join(", ") });
    };
    (duty.run)(services, now).await
}

/// The names of all duties.
pub fn names() -> Vec<&'static str> {
    TIMETABLE.iter().map(|duty| duty.name).collect()
}

type Outcome = Result<Option<Ran>, DutyError>;

async fn tick_all(services: &Services, holder: &str) -> Vec<(&'static str, Outcome)> {
    let mut outcomes = Vec::with_capacity(TIMETABLE.len());
    for duty in TIMETABLE {
        outcomes.push((duty.name, tick(services, duty, holder).await));
    }
    outcomes
}

async fn tick(services: &Services, duty: &Duty, holder: &str) -> Outcome {
    let now = services.clock.now();
    let Some(tick) = lease::take(services, duty, holder, now).await? else { return Ok(None) };
    let work = (duty.run)(services, now);
    let summary = lease::hold(services, duty.name, holder, work).await?;
    lease::done(services, duty.name, holder, tick).await?;
    Ok(Some(Ran { duty: duty.name, tick, summary }))
}

fn report(name: &str, outcome: Outcome) {
    match outcome {
        Ok(None) => {}
        Ok(Some(ran)) => tracing::debug!(duty.name = name, duty.tick = %ran.tick, duty.summary = %ran.summary, "done"),
        Err(error) => tracing::error!(duty.name = name, %error, "a duty failed and will be tried again"),
    }
}
