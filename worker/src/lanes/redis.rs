//! Messages from Redis: apalis-redis fetches and acknowledges, behind a gate that decides when it may fetch.
//!
//! Left alone, apalis-redis fetches at every stir of the worker, loses wake-ups, and when it is paused in the middle of a
//! fetch it stops acknowledging. The gate fetches only for a reason and always lets a fetch that is under way end; how it
//! knows of one is [`Tracked`]. The faults behind all this are listed in `ARCHITECTURE.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{Backend, Task, WorkerBuilder, WorkerContext};
use apalis_core::backend::{BackendConfig, WireFormatBackend};
use apalis_redis::RedisStorage;
use futures_util::FutureExt;
use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, Pipeline, RedisFuture};
use serde::de::IgnoredAny;
use serde_json::Value;
use shared::job::Lane;
use shared::queue::RedisQueue;

use super::strategy::SafeStrategy;
use super::{Running, Slot, Source, guarded};

/// How long a message waits at most if its wake-up was lost.
const TICK: Duration = Duration::from_millis(500);

type Storage = RedisStorage<Value, Tracked>;

impl Source for RedisQueue {
    fn worker_name(&self, lane: Lane) -> String {
        Self::worker_name(self, lane)
    }

    fn start(&self, slot: &Slot, worker: &WorkerContext) -> Running {
        let gate = Gate::new(self, slot);
        let slot = slot.clone();
        let worker = WorkerBuilder::new(worker).backend(gate).build(move |message: Value| slot.clone().handle(message));
        guarded(worker.run().boxed())
    }

    async fn acknowledged(&self, lane: Lane, worker: &str) -> bool {
        match self.unacknowledged(lane, worker).await {
            Ok(left) => left == 0,
            Err(error) => {
                // Redis is away: what is not acknowledged now will be delivered again.
                tracing::warn!(lane = lane.name(), worker, %error, "cannot see whether all is acknowledged");
                true
            }
        }
    }

    async fn hand_back(&self, lane: Lane, worker: &str) -> bool {
        match Self::hand_back(self, lane, worker).await {
            Ok(0) => true,
            Ok(messages) => {
                tracing::info!(lane = lane.name(), worker, messages, "handed back what the worker had fetched");
                true
            }
            Err(error) => {
                tracing::warn!(lane = lane.name(), worker, %error, "cannot hand back what the worker had fetched");
                false
            }
        }
    }
}

/// The storage of apalis-redis, which may fetch only when there is a reason and a free place.
struct Gate {
    storage: Storage,
    connection: Tracked,
    strategy: SafeStrategy,
    slot: Slot,
    /// There may be messages that no fetch has looked for yet.
    hungry: bool,
}

impl Gate {
    fn new(queue: &RedisQueue, slot: &Slot) -> Self {
        let connection = Tracked { inner: queue.connection(), open: Arc::default() };
        Self {
            storage: Storage::new(connection.clone()).with_config(queue.config(slot.lane)),
            connection,
            strategy: SafeStrategy::new(queue.arrivals(slot.lane), TICK),
            slot: slot.clone(),
            hungry: true,
        }
    }

    fn may_fetch(&self, worker: &WorkerContext) -> bool {
        self.hungry
            && !self.slot.stop.is_cancelled()
            && worker.task_count() < self.slot.concurrency
            && self.slot.permits.available_permits() > 0
    }
}

impl Backend for Gate {
    type Task = <Storage as Backend>::Task;
    type Error = <Storage as Backend>::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        self.storage.poll_ready(cx, worker)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        self.hungry |= self.strategy.poll_signal(cx);
        // Nothing but a fetch can be open here: the worker polls for messages only when all else has ended.
        if !self.connection.is_busy() {
            if !self.may_fetch(worker) {
                return Poll::Pending;
            }
            // The fetch that starts now sees whatever was announced so far; what is announced meanwhile needs another.
            self.hungry = false;
        }
        match self.storage.poll_next(cx, worker) {
            Poll::Ready(Some(Ok(task))) => {
                self.hungry = true;
                Poll::Ready(Some(Ok(readable(task))))
            }
            Poll::Pending if !self.connection.is_busy() => {
                // An empty answer. Acknowledgements may have piled up behind the fetch, and only a poll writes them.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        self.storage.poll_close(cx, worker)
    }
}

/// Turns what is not JSON into `null`, which the handler refuses; apalis would let it kill one worker after the other.
fn readable(task: Task<Vec<u8>>) -> Task<Vec<u8>> {
    task.map_args(|bytes| if serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() { bytes } else { b"null".to_vec() })
}

impl BackendConfig for Gate {
    type Args = <Storage as BackendConfig>::Args;
    type Id = <Storage as BackendConfig>::Id;
    type Kind = <Storage as BackendConfig>::Kind;
    type Config = <Storage as BackendConfig>::Config;
    type Layer = <Storage as BackendConfig>::Layer;

    fn config(&self) -> &Self::Config {
        self.storage.config()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        self.storage.middleware(worker)
    }
}

impl WireFormatBackend for Gate {
    type Codec = <Storage as WireFormatBackend>::Codec;
    type Compact = <Storage as WireFormatBackend>::Compact;

    fn codec(&self) -> &Self::Codec {
        self.storage.codec()
    }
}

/// A connection that knows whether a request of its worker is under way.
#[derive(Clone)]
struct Tracked {
    inner: ConnectionManager,
    open: Arc<AtomicUsize>,
}

impl Tracked {
    fn is_busy(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

/// A request under way, also when nobody waits for its answer to the end.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ConnectionLike for Tracked {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, redis::Value> {
        let open = Open::new(&self.open);
        let answer = self.inner.req_packed_command(cmd);
        async move {
            let _open = open;
            answer.await
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<redis::Value>> {
        let open = Open::new(&self.open);
        let answer = self.inner.req_packed_commands(pipeline, offset, count);
        async move {
            let _open = open;
            answer.await
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}
