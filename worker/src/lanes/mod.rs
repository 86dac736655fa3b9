//! Lanes: apalis workers that take messages from the queue and hand them to a handler, the same over both transports.
//!
//! A message is a hint, so the handler cannot fail towards apalis: it runs in a task of its own, a panic is logged there,
//! and the message counts as handled. What apalis does not survive (a slow Redis, a clean stop under load) is dealt with
//! in here: a worker that ends is replaced under a new name for ever. For one more transport: a `Source` beside
//! `memory.rs` and `redis.rs`, and a line in [`run`].

mod memory;
mod redis;
mod strategy;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{WorkerContext, WorkerError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use shared::job::Lane;
use shared::queue::Queue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A worker that lived this long starts over with the first pause.
const STEADY: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a stopped worker may take to end, once nothing is in flight any more.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long after the drain everything is dropped, whatever hangs.
const LAST_RESORT: Duration = Duration::from_secs(10);

/// Handles one message; it decodes the message and records failure itself.
pub type Handler = Arc<dyn Fn(Value) -> BoxFuture<'static, ()> + Send + Sync>;

/// How much of a lane's work this process takes on.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    /// Which lane.
    pub lane: Lane,
    /// Apalis workers, each with a task of its own that fetches one message at a time.
    pub workers: usize,
    /// Messages that one worker has in hand at once.
    pub concurrency: usize,
}

/// Runs the lane's workers until `stop` is cancelled, lets what is in flight end for up to `drain`, and returns.
pub async fn run(queue: Queue, settings: LaneSettings, handler: Handler, stop: CancellationToken, drain: Duration) {
    let mut workers = JoinSet::new();
    for _ in 0..settings.workers.max(1) {
        let slot = Slot::new(settings, Arc::clone(&handler), stop.clone(), drain);
        match &queue {
            Queue::Memory(queue) => workers.spawn(supervise(queue.clone(), slot)),
            Queue::Redis(queue) => workers.spawn(supervise(queue.clone(), slot)),
        };
    }
    let all_ended = async {
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(lane = settings.lane.name(), %error, "a supervisor of workers broke");
            }
        }
    };
    let too_late = async {
        stop.cancelled().await;
        sleep(drain + LAST_RESORT).await;
    };
    tokio::select! {
        () = all_ended => {}
        () = too_late => tracing::error!(lane = settings.lane.name(), "workers did not end; they are dropped"),
    }
}

/// A place for one worker after the other.
#[derive(Clone)]
struct Slot {
    lane: Lane,
    concurrency: usize,
    handler: Handler,
    /// Outlive the worker, so that handlers of one that died and those of its successor keep to the limit together.
    permits: Arc<Semaphore>,
    stop: CancellationToken,
    drain: Duration,
}

impl Slot {
    fn new(settings: LaneSettings, handler: Handler, stop: CancellationToken, drain: Duration) -> Self {
        let concurrency = settings.concurrency.clamp(1, 10_000);
        let permits = Arc::new(Semaphore::new(concurrency));
        Self { lane: settings.lane, concurrency, handler, permits, stop, drain }
    }

    /// Runs the handler to its end, also when the worker that waits for it dies meanwhile.
    async fn handle(self, message: Value) {
        let Ok(permit) = self.permits.acquire_owned().await else { return };
        let handler = self.handler;
        let run = tokio::spawn(async move {
            let _permit = permit;
            handler(message).await;
        });
        if let Err(error) = run.await {
            tracing::error!(lane = self.lane.name(), %error, "a handler broke off");
        }
    }

    /// Waits for handlers whose worker died.
    async fn last_handlers(&self) {
        let all = u32::try_from(self.concurrency).unwrap_or(u32::MAX);
        if timeout(self.drain, self.permits.acquire_many(all)).await.is_err() {
            tracing::warn!(lane = self.lane.name(), "handlers are still at work after the drain");
        }
    }
}

/// A worker at work; it ends with the reason if it was not told to stop.
type Running = BoxFuture<'static, Result<(), String>>;

/// Where a lane's messages come from.
trait Source: Send + Sync + 'static {
    /// A name for the next worker.
    fn worker_name(&self, lane: Lane) -> String;
    /// Builds a worker, which takes no new messages once the slot is told to stop.
    fn start(&self, slot: &Slot, worker: &WorkerContext) -> Running;
    /// Whether the transport knows of all that the worker has handled.
    fn acknowledged(&self, lane: Lane, worker: &str) -> impl Future<Output = bool> + Send;
    /// Gives back what an ended worker left unhandled; false if that has to be tried again.
    fn hand_back(&self, lane: Lane, worker: &str) -> impl Future<Output = bool> + Send;
}

/// Keeps a worker at work, a new one for each that ends, until it is told to stop.
async fn supervise<S: Source>(source: S, slot: Slot) {
    let mut pause = FIRST_PAUSE;
    while !slot.stop.is_cancelled() {
        let name = source.worker_name(slot.lane);
        let begin = Instant::now();
        let ended = work(&source, &slot, &name).await;
        if let Err(error) = ended {
            tracing::warn!(lane = slot.lane.name(), worker = name, error, "a worker ended");
        }
        if begin.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        while !source.hand_back(slot.lane, &name).await && !slot.stop.is_cancelled() {
            pause = rest(&slot, pause).await;
        }
        pause = rest(&slot, pause).await;
    }
    slot.last_handlers().await;
}

/// Waits for that long, or until told to stop, and returns the next pause.
async fn rest(slot: &Slot, pause: Duration) -> Duration {
    let _ = timeout(pause, slot.stop.cancelled()).await;
    (pause * 2).min(LONGEST_PAUSE)
}

/// Runs one worker until it ends by itself or, told to stop, has nothing in flight any more.
async fn work<S: Source>(source: &S, slot: &Slot, name: &str) -> Result<(), String> {
    let worker = WorkerContext::new(name);
    let mut running = source.start(slot, &worker);
    tokio::select! {
        biased;
        ended = &mut running => return ended,
        () = slot.stop.cancelled() => {}
    }
    // A worker that is stopped with messages in flight stops writing acknowledgements and may wait for itself for ever.
    // So it goes on, without new messages, until nothing is in flight, and only then is it stopped.
    tokio::select! {
        biased;
        ended = &mut running => return ended,
        () = idle(source, slot, &worker) => {}
        () = sleep(slot.drain) => tracing::warn!(lane = slot.lane.name(), left = worker.task_count(), "the drain is over"),
    }
    worker.stop().map_err(|error| error.to_string())?;
    timeout(LAST_WORD, running).await.unwrap_or_else(|_| Err("it did not stop".to_owned()))
}

async fn idle<S: Source>(source: &S, slot: &Slot, worker: &WorkerContext) {
    while worker.task_count() > 0 || !source.acknowledged(slot.lane, worker.name()).await {
        sleep(LOOK_AGAIN).await;
    }
}

/// A worker that panics ends like any other.
fn guarded(worker: BoxFuture<'static, Result<(), WorkerError>>) -> Running {
    let ended = AssertUnwindSafe(worker).catch_unwind();
    ended
        .map(|ended| ended.map_or_else(|_| Err("it panicked".to_owned()), |ended| ended.map_err(|e| e.to_string())))
        .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const SETTINGS: LaneSettings = LaneSettings { lane: Lane::Mail, workers: 2, concurrency: 3 };

    /// A handler that says through the semaphore how often it ended, and panics at the message `null`.
    fn counting(handled: &Arc<Semaphore>) -> Handler {
        let handled = Arc::clone(handled);
        Arc::new(move |message: Value| {
            let handled = Arc::clone(&handled);
            async move {
                assert!(!message.is_null(), "as the test wants it");
                handled.add_permits(1);
            }
            .boxed()
        })
    }

    #[tokio::test]
    async fn a_handler_that_panics_costs_only_its_own_message() {
        let (queue, stop, handled) = (Queue::memory(), CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let lane = tokio::spawn(run(queue.clone(), SETTINGS, counting(&handled), stop.clone(), SOON));
        let mut messages = vec![Value::Null; 20];
        messages.extend((0..20).map(|n| json!(n)));
        queue.push(Lane::Mail, &messages).await.unwrap();
        timeout(SOON, handled.acquire_many(20)).await.unwrap().unwrap().forget();
        stop.cancel();
        timeout(SOON, lane).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn no_more_messages_are_in_hand_at_once_than_the_settings_say() {
        let (queue, stop) = (Queue::memory(), CancellationToken::new());
        let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (entered, left) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gates = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&entered), Arc::clone(&left));
        let handler: Handler = Arc::new(move |_: Value| {
            let (begun, go_on, entered, left) = gates.clone();
            async move {
                let at_once = begun.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(at_once <= SETTINGS.workers * SETTINGS.concurrency, "{at_once} at once");
                entered.add_permits(1);
                go_on.acquire().await.unwrap().forget();
                begun.fetch_sub(1, Ordering::SeqCst);
                left.add_permits(1);
            }
            .boxed()
        });
        let lane = tokio::spawn(run(queue.clone(), SETTINGS, handler, stop.clone(), SOON));
        queue.push(Lane::Mail, &vec![json!(1); 30]).await.unwrap();
        timeout(SOON, entered.acquire_many(6)).await.unwrap().unwrap().forget();
        go_on.add_permits(30);
        timeout(SOON, left.acquire_many(30)).await.unwrap().unwrap().forget();
        stop.cancel();
        timeout(SOON, lane).await.unwrap().unwrap();
    }
}
