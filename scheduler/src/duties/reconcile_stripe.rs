//! Asks Stripe what has happened, for webhooks that never came.
//!
//! The times of the runs overlap, and an event that is known is left alone, so nothing between two runs is missed. Stripe
//! remembers events for thirty days: after a longer pause, in the beginning, and when there are too many events to list,
//! every customer is read instead.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::domain::payment::Via;
use shared::ids;
use shared::services::Services;
use shared::store::stripe_reconciliations::{self, Reconciliation};
use shared::store::{StoreResult, stripe_customers, stripe_events};
use shared::stripe::objects::{Event, time};
use shared::stripe::{Stripe, StripeError, inbox};

use super::{DutyError, NO_STRIPE};

/// How far a run looks back behind the beginning of the last one.
const OVERLAP: TimeDelta = TimeDelta::minutes(15);
/// How far back events are asked for at most; a few days less than Stripe remembers.
const REACH: TimeDelta = TimeDelta::days(25);
/// For how long an answer that cannot be read may be a passing trouble.
const PASSING: TimeDelta = TimeDelta::hours(1);
/// An event that is younger may still be on its way.
const ON_ITS_WAY: TimeDelta = TimeDelta::minutes(2);
/// Customers that are read together.
const BATCH: i64 = 500;
/// How many of the events that were found are named.
const EXAMPLES: usize = 20;

/// Takes in the events that were missed, or has everybody read.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let Some(stripe) = services.stripe.as_deref() else { return Ok(NO_STRIPE.to_owned()) };
    let mut reader = services.db.read().await?;
    let last = stripe_reconciliations::last(&mut reader, &["events", "full"]).await?;
    drop(reader);
    match last.map(|last| last - OVERLAP).filter(|since| now - *since <= REACH) {
        Some(since) => match missed(services, stripe, since, now).await {
            // Trying again would not help: there are too many, or there is one that is like no other.
            Err(DutyError::Stripe(error @ StripeError::Unreadable(_))) if now - since > PASSING => {
                tracing::error!(%error, "events cannot be listed, so every customer is read instead");
                everybody(services, stripe, now).await
            }
            done => done,
        },
        None => everybody(services, stripe, now).await,
    }
}

async fn missed(
    services: &Services,
    stripe: &Stripe,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<String, DutyError> {
    let events = stripe.events(since, inbox::KINDS).await?;
    let (mut found, mut is_late, mut examples) = (0, false, Vec::new());
    for (event, raw) in &events {
        if take(services, (event, raw), now).await? {
            found += 1;
            is_late |= time(event.created).is_none_or(|at| now - at > ON_ITS_WAY);
            if examples.len() < EXAMPLES {
                examples.push(json!({"event_id": event.id, "type": event.kind}));
            }
        }
    }
    if is_late {
        tracing::warn!(stripe.found = found, "events came by no webhook; is it set up?");
    }
    if found > 0 {
        services.queue.wake().await;
    }
    let (listed, detail) = (events.len() as i64, json!({"since": since, "examples": examples}));
    record(services, ("events", now), (listed, found), detail).await?;
    Ok(format!("{listed} events, {found} of them news"))
}

/// In a transaction of its own, so that no customer is held up by the events of another.
async fn take(services: &Services, event: (&Event, &str), now: DateTime<Utc>) -> StoreResult<bool> {
    let mut reader = services.db.read().await?;
    let is_known = stripe_events::get(&mut reader, &event.0.id).await?.is_some();
    drop(reader);
    if is_known {
        return Ok(false);
    }
    let mut tx = services.db.begin().await?;
    let is_new = inbox::take(&mut tx, event, Via::Reconcile, now).await?;
    tx.commit().await?;
    Ok(is_new)
}

async fn everybody(services: &Services, stripe: &Stripe, now: DateTime<Utc>) -> Result<String, DutyError> {
    let livemode = stripe.is_live();
    let (mut woken, mut after) = (0, None::<String>);
    loop {
        let mut reader = services.db.read().await?;
        let customers = stripe_customers::all(&mut reader, livemode, after.as_deref(), BATCH).await?;
        drop(reader);
        let Some((last, _)) = customers.last() else { break };
        after = Some(last.clone());
        for (customer, _) in &customers {
            wake(services, customer, true, now).await?;
        }
        woken += customers.len() as i64;
        services.queue.wake().await;
    }
    record(services, ("full", now), (woken, woken), json!({})).await?;
    Ok(format!("all {woken} customers are read"))
}

/// Has a customer read, all that is recent if `full`.
pub async fn wake(services: &Services, customer: &str, full: bool, now: DateTime<Utc>) -> StoreResult<()> {
    let mut tx = services.db.begin().await?;
    stripe_customers::wake(&mut tx, customer, full, now).await?;
    tx.commit().await
}

/// Keeps what came of a run, for admins and for the next.
pub async fn record(
    services: &Services,
    (kind, started_at): (&str, DateTime<Utc>),
    (listed, found): (i64, i64),
    detail: Value,
) -> StoreResult<()> {
    let finished_at = services.clock.now().max(started_at);
    let kind = kind.to_owned();
    let id = ids::new(started_at);
    let mut tx = services.db.begin().await?;
    let run = Reconciliation { id, kind, started_at, finished_at, listed, found, detail };
    stripe_reconciliations::put(&mut tx, &run).await?;
    tx.commit().await
}
