//! Deletes what has served its time, so that the database does not grow with what nobody will ask for.
//!
//! To prune one more table: its keeping time, its store function, its count in the summary.

use chrono::{DateTime, TimeDelta, Utc};
use shared::services::Services;
use shared::store::{idempotency, pruning, sessions, stripe_events, stripe_operations, stripe_reconciliations, users};

use super::DutyError;

/// Answers under an `Idempotency-Key`, from when they were given.
const KEEP_ANSWERS: TimeDelta = TimeDelta::hours(24);
/// Tokens sent by mail, from when they stopped working.
const KEEP_TOKENS: TimeDelta = TimeDelta::days(7);
/// Sessions, from when they ended at the latest.
const KEEP_SESSIONS: TimeDelta = TimeDelta::days(30);
/// Mails, from when they were sent. Longer than any trial warning could come again.
const KEEP_MAILS: TimeDelta = TimeDelta::days(90);
/// What Stripe was asked to do, from when it was begun: a week, for whoever has to find out what became of it.
const KEEP_OPERATIONS: TimeDelta = TimeDelta::days(7);
/// What Stripe told, from when it came, once it is dealt with. Much longer than Stripe tells it again.
const KEEP_EVENTS: TimeDelta = TimeDelta::days(90);
/// Comparisons with Stripe, from when they ended.
const KEEP_RECONCILIATIONS: TimeDelta = TimeDelta::days(90);

/// Deletes what is older than it is kept.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let mut tx = services.db.begin().await?;
    let answers = idempotency::prune(&mut tx, now - KEEP_ANSWERS).await?;
    let tokens = users::prune_tokens(&mut tx, now - KEEP_TOKENS).await?;
    let sessions = sessions::prune(&mut tx, now - KEEP_SESSIONS).await?;
    let mails = pruning::sent_mails(&mut tx, now - KEEP_MAILS).await?;
    let operations = stripe_operations::prune(&mut tx, now - KEEP_OPERATIONS).await?;
    let events = stripe_events::prune(&mut tx, now - KEEP_EVENTS).await?;
    let reconciliations = stripe_reconciliations::prune(&mut tx, now - KEEP_RECONCILIATIONS).await?;
    tx.commit().await?;
    Ok(format!(
        "{answers} answers, {tokens} tokens, {sessions} sessions, {mails} mails, {operations} operations, \
         {events} events, {reconciliations} reconciliations"
    ))
}
