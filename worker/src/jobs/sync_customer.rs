//! Takes over what Stripe says about a customer. All events of a customer that wait are answered by one reading.

use chrono::{DateTime, TimeDelta, Utc};
use shared::job::Job;
use shared::services::Services;
use shared::store::{StoreResult, outbox, stripe_customers, stripe_events};
use shared::stripe::StripeError;
use shared::stripe::sync::{self, SyncError};

use crate::Worker;

/// How often an event is tried before it is dead.
const MAX_ATTEMPTS: i64 = 12;
/// How many tries count while there is no way to Stripe, which makes the pauses long and leaves some tries for later.
const OUTAGE_ATTEMPTS: i64 = 9;
/// The most events that one failure is noted at.
const EVENTS: i64 = 200;
/// The pause after the first failure; it doubles with each.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// The longest pause, also for when there is no way to Stripe at all.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// The pause when no event counts the failures.
const UNCOUNTED_PAUSE: TimeDelta = TimeDelta::minutes(10);
/// For how long nobody else is asked to do the same.
const HOLD: TimeDelta = TimeDelta::minutes(2);

/// Reads and writes the customer's state; what fails is noted at the events that wait, and tried again later.
pub async fn run(worker: &Worker, job: Job) -> StoreResult<()> {
    let Job::SyncCustomer { customer, full } = &job else { return Ok(()) };
    let services = &worker.services;
    let mut reader = services.db.read().await?;
    let is_open = outbox::is_open(&mut reader, &job).await?;
    let owner = stripe_customers::owner(&mut reader, customer).await?;
    drop(reader);
    if !is_open {
        // Each event sends a message; what the first of them began has answered the others.
        return Ok(());
    }
    if services.stripe.is_none() {
        tracing::error!("Stripe has told something and is not configured any more; trying again in an hour");
        return later(services, &job, LONGEST_PAUSE).await;
    }
    if owner.is_none() {
        let mut tx = services.db.begin().await?;
        outbox::end(&mut tx, &job).await?;
        return tx.commit().await;
    }
    hold(services, &job).await?;
    match sync::customer(services, customer, *full).await {
        Ok(_) => Ok(()),
        Err(error) => put_off(services, &job, customer, &error).await,
    }
}

/// Stripe may be slow, and must not be asked twice for that.
async fn hold(services: &Services, job: &Job) -> StoreResult<()> {
    let mut tx = services.db.begin().await?;
    outbox::hold(&mut tx, job, services.clock.now() + HOLD).await?;
    tx.commit().await
}

async fn later(services: &Services, job: &Job, pause: TimeDelta) -> StoreResult<()> {
    let mut tx = services.db.begin().await?;
    outbox::put(&mut tx, &[(job.clone(), services.clock.now() + pause)]).await?;
    tx.commit().await
}

/// Notes a failure at the events that wait. When all of them are dead, the customer is left alone until the next event.
async fn put_off(services: &Services, job: &Job, customer: &str, error: &SyncError) -> StoreResult<()> {
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    stripe_customers::lock(&mut tx, customer).await?;
    let failed = stripe_events::pending(&mut tx, customer, EVENTS).await?;
    let ids: Vec<String> = failed.iter().map(|event| event.id.clone()).collect();
    let why = error.to_string();
    if is_outage(error) {
        stripe_events::delayed(&mut tx, &ids, &why, OUTAGE_ATTEMPTS).await?;
    } else {
        stripe_events::failed(&mut tx, &ids, &why, MAX_ATTEMPTS).await?;
    }
    let left = stripe_events::pending(&mut tx, customer, EVENTS).await?;
    let tries = left.iter().map(|event| event.attempts).max();
    if let Some(due) = due(now, (!failed.is_empty(), tries), error) {
        tracing::warn!(%error, stripe.customer = customer, %due, "not taken over; trying again");
        outbox::put(&mut tx, &[(job.clone(), due)]).await?;
    } else {
        tracing::error!(%error, stripe.customer = customer, "cannot be taken over; given up");
        outbox::end(&mut tx, job).await?;
    }
    tx.commit().await
}

/// Whether the events are not to blame, but the way to Stripe, however long that lasts.
const fn is_outage(error: &SyncError) -> bool {
    matches!(
        error,
        SyncError::Store(_) | SyncError::Stripe(StripeError::Unavailable { .. } | StripeError::Unauthorized(_))
    )
}

/// When to try again after `tries` of the event that was tried most often; none: there is nothing left that would change
/// anything.
fn due(now: DateTime<Utc>, (had_events, tries): (bool, Option<i64>), error: &SyncError) -> Option<DateTime<Utc>> {
    match (tries, error) {
        (Some(tries), _) => Some(now + pause(tries)),
        (None, error) if had_events || is_final(error) => None,
        (None, _) => Some(now + UNCOUNTED_PAUSE),
    }
}

/// Whether it will be the same until somebody changes something: the price is none of ours, or Stripe knows nothing of
/// the customer.
const fn is_final(error: &SyncError) -> bool {
    matches!(
        error,
        SyncError::UnknownPrice(_) | SyncError::Stripe(StripeError::NotFound(_) | StripeError::Invalid { .. })
    )
}

fn pause(tries: i64) -> TimeDelta {
    // More doublings than these are longer than the longest pause in any case.
    let doublings = (tries - 1).clamp(0, 10);
    (PAUSE * (1_i32 << doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let seconds: Vec<_> = [1, 2, 3, 9, 10, 11, i64::MAX].map(|tries| pause(tries).num_seconds()).into();
        assert_eq!(seconds, [10, 20, 40, 2_560, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn what_no_event_waits_for_is_given_up_unless_it_was_asked_for_without_one() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let unknown = SyncError::UnknownPrice("price_1".to_owned());
        let gone = SyncError::Stripe(StripeError::NotFound("No such customer".to_owned()));
        let down = SyncError::Stripe(StripeError::Unreadable("<html>".to_owned()));
        assert_eq!(due(now, (true, Some(2)), &unknown), Some(now + TimeDelta::seconds(20)));
        assert_eq!(due(now, (true, None), &down), None);
        assert_eq!(due(now, (false, None), &unknown), None);
        assert_eq!(due(now, (false, None), &gone), None);
        assert_eq!(due(now, (false, None), &down), Some(now + UNCOUNTED_PAUSE));
    }
}
