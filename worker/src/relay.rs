//! The relay: hands due rows of the outbox to the queue.
//!
//! It is woken by commits of what is due soon, and else sleeps until the next row is due, or until [`POLL`] is over. It
//! never pushes more than the queue has room for, so the outbox stays the backlog and the transport stays shallow.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde_json::Value;
use shared::job::Lane;
use shared::queue::QueueError;
use shared::services::Services;
use shared::store::outbox::{self, POLL};
use shared::store::{StoreError, StoreResult};
use tokio_util::sync::CancellationToken;

/// The sleep while a lane's queue is full.
const FULL: Duration = Duration::from_millis(10);
/// The most rows of one transaction.
const BATCH: usize = 256;

/// Why a round could not be finished; the rows that it took come again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A job that cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] serde_json::Error),
}

/// Relays until `stop` is cancelled.
pub async fn run(services: Services, stop: CancellationToken) {
    let mut wakes = services.queue.wakes();
    loop {
        let pause = match relay_once(&services).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "nothing relayed; trying again");
                POLL
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wakes.next(), if pause != FULL => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Pushes what is due in every lane; gives how long there is nothing more to do.
pub async fn relay_once(services: &Services) -> Result<Duration, RelayError> {
    let now = services.clock.now();
    let rooms = join_all(Lane::ALL.map(|lane| services.queue.room(lane)));
    let (due, rooms) = futures_util::join!(next_due(services), rooms);
    let mut pause = POLL;
    for ((lane, due), room) in Lane::ALL.into_iter().zip(due?).zip(rooms) {
        let rest = match due {
            Some(due) if due <= now => relay_lane(services, lane, room?.min(BATCH), now).await?,
            Some(due) => (due - now).to_std().unwrap_or(POLL),
            None => POLL,
        };
        pause = pause.min(rest);
    }
    Ok(pause)
}

async fn next_due(services: &Services) -> StoreResult<[Option<DateTime<Utc>>; 3]> {
    let mut reader = services.db.read().await?;
    outbox::next_due(&mut reader).await
}

async fn relay_lane(services: &Services, lane: Lane, room: usize, now: DateTime<Utc>) -> Result<Duration, RelayError> {
    if room == 0 {
        return Ok(FULL);
    }
    let mut tx = services.db.begin_single().await?;
    let jobs = outbox::take_due(&mut tx, lane, now, room as i64).await?;
    tx.commit().await?;
    let messages: Vec<Value> = jobs.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    if !messages.is_empty() {
        services.queue.push(lane, &messages).await?;
    }
    // A full batch means that there may be more at once.
    Ok(if messages.len() == room { Duration::ZERO } else { POLL })
}
