//! The queue carries hints ("run this step") from the outbox to the workers, inside one process or through Redis.
//!
//! It is transport and nothing else: it may lose everything or deliver twice, because the database is the only source of
//! truth and the outbox delivers again whatever nobody has handled. Who commits rows that are due soon calls [`Queue::wake`]; the relay
//! waits for [`Wakes::next`] and pushes at most [`Queue::room`] messages; the workers of a lane are in `worker::lanes`.
//! For one more transport: a variant here and a source of messages there.

mod memory;
mod pubsub;
mod redis;
mod scripts;

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::watch;

pub use self::memory::MemoryQueue;
pub use self::redis::RedisQueue;
pub(crate) use self::redis::client as redis_client;
use crate::job::Lane;

/// Why the queue refused.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no room; the outbox delivers again.
    #[error("the queue is full")]
    Full,
    /// Redis is away, too slow, or refuses.
    #[error("Redis: {0}")]
    Redis(#[from] ::redis::RedisError),
    /// The system has no random numbers to name messages with.
    #[error("random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// The transport of this process. Cloning shares it.
#[derive(Clone)]
pub enum Queue {
    /// Inside this process.
    Memory(MemoryQueue),
    /// Between any number of processes.
    Redis(RedisQueue),
}

impl Queue {
    /// A queue inside this process, bounded per lane.
    pub fn memory() -> Self {
        Self::Memory(MemoryQueue::default())
    }

    /// A queue on a Redis server; every name in it begins with `namespace`.
    pub async fn redis(url: &SecretString, namespace: &str) -> Result<Self, QueueError> {
        RedisQueue::connect(url, namespace).await.map(Self::Redis)
    }

    /// Puts all `messages` at the end of the lane, or none of them; an error may also mean that they did arrive.
    pub async fn push(&self, lane: Lane, messages: &[Value]) -> Result<(), QueueError> {
        match self {
            Self::Memory(queue) => queue.push(lane, messages),
            Self::Redis(queue) => queue.push(lane, messages).await,
        }
    }

    /// How many more messages the relay may push, so that the transport stays shallow and the outbox holds the backlog.
    pub async fn room(&self, lane: Lane) -> Result<usize, QueueError> {
        match self {
            Self::Memory(queue) => Ok(queue.room(lane)),
            Self::Redis(queue) => queue.room(lane).await,
        }
    }

    /// Asks the transport whether it answers.
    pub async fn ping(&self) -> Result<(), QueueError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(queue) => queue.ping().await,
        }
    }

    /// Tells the relays of all processes that rows were committed that are due soon; never slow, never fails.
    #[expect(clippy::unused_async, reason = "callers await it, so that a transport may come that has to wait")]
    pub async fn wake(&self) {
        match self {
            Self::Memory(queue) => queue.wake(),
            Self::Redis(queue) => queue.wake(),
        }
    }

    /// The wake-ups from now on.
    pub fn wakes(&self) -> Wakes {
        Wakes(match self {
            Self::Memory(queue) => queue.wakes(),
            Self::Redis(queue) => queue.wakes(),
        })
    }

    /// Removes what handled messages leave behind and says how much that was.
    pub async fn janitor(&self) -> Result<u64, QueueError> {
        match self {
            Self::Memory(_) => Ok(0),
            Self::Redis(queue) => queue.janitor().await,
        }
    }
}

/// A relay's view of the wake-ups.
pub struct Wakes(watch::Receiver<()>);

impl Wakes {
    /// Returns as soon as somebody has called [`Queue::wake`] since the last return; many calls count as one.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The queue is gone, so nobody will ever wake again.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_wake_up_between_two_waits_is_not_lost_and_many_count_as_one() {
        let queue = Queue::memory();
        let mut wakes = queue.wakes();
        queue.wake().await;
        queue.wake().await;
        wakes.next().await;
        assert!(wakes.next().now_or_never().is_none());
        queue.wake().await;
        wakes.next().await;
    }

    #[tokio::test]
    async fn every_relay_is_woken() {
        let queue = Queue::memory();
        let (mut one, mut other) = (queue.wakes(), queue.clone().wakes());
        queue.wake().await;
        one.next().await;
        other.next().await;
    }

    #[tokio::test]
    async fn a_full_lane_refuses_at_once_and_leaves_the_others_alone() {
        let queue = Queue::memory();
        let room = queue.room(Lane::Mail).await.unwrap();
        queue.push(Lane::Mail, &vec![json!(1); room]).await.unwrap();
        assert_eq!(queue.room(Lane::Mail).await.unwrap(), 0);
        assert!(matches!(queue.push(Lane::Mail, &[json!(2)]).await, Err(QueueError::Full)));
        assert_eq!(queue.room(Lane::Interactive).await.unwrap(), room);
    }
}
