//! What the queue must survive: a Redis that stalls, dies or forgets, workers that vanish, deep queues, clean stops.
//!
//! Each test counts how often each message was handled: never less than once, and how often more is printed. Whatever
//! the transport itself can save must not need the outbox, so only the test with an emptied Redis delivers again. For one
//! more fault: a method of `RedisServer` and a test that waits for `Tally::all`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::worker::lanes::{Handler, LaneSettings, run};
use serde_json::{Value, json};
use shared::job::Lane;
use shared::queue::Queue;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::redis::RedisServer;

const LANE: Lane = Lane::Interactive;
const PATIENCE: Duration = Duration::from_mins(2);
const SOME: usize = 2000;
const MANY: usize = 20_000;

/// How often each of the messages `0..total` was handled.
struct Tally {
    counts: Vec<AtomicU32>,
    distinct: watch::Sender<usize>,
}

impl Tally {
    fn new(total: usize) -> Arc<Self> {
        let counts = (0..total).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { counts, distinct: watch::Sender::new(0) })
    }

    fn count(&self, message: &Value) {
        let number = message.as_u64().and_then(|n| usize::try_from(n).ok());
        let count =
            number.and_then(|n| self.counts.get(n)).unwrap_or_else(|| panic!("not a message of ours: {message}"));
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            self.distinct.send_modify(|distinct| *distinct += 1);
        }
    }

    fn missing(&self) -> Vec<usize> {
        (0..self.counts.len()).filter(|&n| self.counts[n].load(Ordering::SeqCst) == 0).collect()
    }

    fn duplicates(&self) -> u32 {
        self.counts.iter().map(|count| count.load(Ordering::SeqCst).saturating_sub(1)).sum()
    }

    async fn at_least(&self, wanted: usize) {
        let mut distinct = self.distinct.subscribe();
        let reached = timeout(PATIENCE, distinct.wait_for(|distinct| *distinct >= wanted)).await.is_ok();
        assert!(reached, "{wanted} wanted, missing: {:?}", self.missing());
    }

    /// Waits until every message was handled, and prints how many were handled again.
    async fn all(&self, what: &str) {
        let begin = Instant::now();
        self.at_least(self.counts.len()).await;
        let (total, again) = (self.counts.len(), self.duplicates());
        println!("{what}: {total} messages, {again} handled again, the last after {:?}", begin.elapsed());
    }

    /// A handler that takes a few milliseconds, as one with a database would.
    fn handler(self: &Arc<Self>) -> Handler {
        let tally = Arc::clone(self);
        Arc::new(move |message: Value| {
            let tally = Arc::clone(&tally);
            Box::pin(async move {
                sleep(Duration::from_millis(3)).await;
                tally.count(&message);
            })
        })
    }
}

/// Workers of one process.
struct Workers {
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Workers {
    fn start(queue: &Queue, workers: usize, concurrency: usize, handler: Handler) -> Self {
        let settings = LaneSettings { lane: LANE, workers, concurrency };
        let stop = CancellationToken::new();
        let ended = tokio::spawn(run(queue.clone(), settings, handler, stop.clone(), Duration::from_secs(30)));
        Self { stop, ended }
    }

    async fn stop(self) {
        self.stop.cancel();
        assert!(matches!(timeout(PATIENCE, self.ended).await, Ok(Ok(()))), "the workers did not stop");
    }

    /// The next best thing to the death of the process.
    async fn vanish(self) {
        self.ended.abort();
        assert!(matches!(timeout(PATIENCE, self.ended).await, Ok(Err(_))), "the workers did not vanish");
    }
}

async fn redis(server: &RedisServer) -> Queue {
    Queue::redis(&server.url().into(), "faults").await.unwrap_or_else(|error| panic!("{error}"))
}

/// Pushes the messages, each batch again until the queue takes it.
async fn push(queue: &Queue, messages: &[usize]) {
    let pushing = async {
        for batch in messages.chunks(100) {
            let batch: Vec<Value> = batch.iter().map(|number| json!(number)).collect();
            while queue.push(LANE, &batch).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    assert!(timeout(PATIENCE, pushing).await.is_ok(), "the queue does not take the messages");
}

fn up_to(total: usize) -> Vec<usize> {
    (0..total).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_stalls_for_three_seconds_loses_nothing() {
    let server = block_in_place(RedisServer::start);
    let (queue, tally) = (redis(&server).await, Tally::new(SOME));
    let workers = Workers::start(&queue, 4, 8, tally.handler());
    push(&queue, &up_to(SOME / 2)).await;
    tally.at_least(100).await;
    server.stall(Duration::from_secs(3));
    push(&queue, &up_to(SOME)[SOME / 2..]).await;
    tally.all("stalled Redis").await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_is_killed_and_comes_back_loses_nothing() {
    let mut server = block_in_place(RedisServer::start);
    let (queue, tally) = (redis(&server).await, Tally::new(SOME));
    let workers = Workers::start(&queue, 4, 8, tally.handler());
    push(&queue, &up_to(SOME / 2)).await;
    tally.at_least(100).await;
    block_in_place(|| server.kill());
    assert!(queue.ping().await.is_err());
    block_in_place(|| server.restart());
    push(&queue, &up_to(SOME)[SOME / 2..]).await;
    tally.all("killed Redis").await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_forgot_everything_gets_it_again_from_the_outbox() {
    let server = block_in_place(RedisServer::start);
    let (queue, tally) = (redis(&server).await, Tally::new(SOME));
    let workers = Workers::start(&queue, 4, 8, tally.handler());
    push(&queue, &up_to(SOME)).await;
    tally.at_least(100).await;
    block_in_place(|| server.flush());
    let outbox = async {
        while !tally.missing().is_empty() {
            push(&queue, &tally.missing()).await;
            sleep(Duration::from_secs(2)).await;
        }
    };
    assert!(timeout(PATIENCE, outbox).await.is_ok(), "missing: {:?}", tally.missing());
    tally.all("emptied Redis").await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_thousand_messages_in_redis_are_all_handled_and_leave_nothing_behind() {
    let server = block_in_place(RedisServer::start);
    let (queue, tally) = (redis(&server).await, Tally::new(MANY));
    push(&queue, &up_to(MANY)).await;
    assert_eq!(queue.room(LANE).await.unwrap(), 0);
    let workers = Workers::start(&queue, 8, 16, tally.handler());
    tally.all("deep Redis").await;
    workers.stop().await;
    assert!(queue.janitor().await.unwrap() >= MANY as u64);
    assert_eq!(queue.janitor().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_vanished_workers_had_in_hand_goes_to_their_successors() {
    let server = block_in_place(RedisServer::start);
    let (queue, tally) = (redis(&server).await, Tally::new(SOME));
    push(&queue, &up_to(SOME)).await;
    let held = Held::new(&tally);
    let doomed = Workers::start(&queue, 4, 8, held.handler());
    held.in_hand(32).await;
    doomed.vanish().await;
    let workers = Workers::start(&queue, 4, 8, tally.handler());
    // The heartbeats of the vanished have to run out first: 30 seconds, and up to 5 more until somebody looks.
    tally.all("vanished workers").await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_workers_that_stop_end_what_they_have_in_hand_and_take_nothing_new() {
    let server = block_in_place(RedisServer::start);
    stop_with_100_in_hand(&redis(&server).await, 25, 50).await;
    // With free places a worker looks for more at any time, also at the moment of the stop.
    stop_with_100_in_hand(&redis(&server).await, 40, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_workers_that_stop_end_what_they_have_in_hand_and_take_nothing_new() {
    stop_with_100_in_hand(&Queue::memory(), 25, 50).await;
    stop_with_100_in_hand(&Queue::memory(), 40, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_thousand_messages_in_memory_are_all_handled_once() {
    let (queue, tally) = (Queue::memory(), Tally::new(MANY));
    let workers = Workers::start(&queue, 8, 16, tally.handler());
    push(&queue, &up_to(MANY)).await;
    tally.all("memory").await;
    workers.stop().await;
    assert_eq!(tally.duplicates(), 0);
}

/// Handlers that hold their messages until they are let go.
struct Held {
    tally: Arc<Tally>,
    begun: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Held {
    fn new(tally: &Arc<Tally>) -> Self {
        let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        Self { tally: Arc::clone(tally), begun, go_on }
    }

    fn handler(&self) -> Handler {
        let (tally, begun, go_on) = (Arc::clone(&self.tally), Arc::clone(&self.begun), Arc::clone(&self.go_on));
        Arc::new(move |message: Value| {
            let (tally, begun, go_on) = (Arc::clone(&tally), Arc::clone(&begun), Arc::clone(&go_on));
            Box::pin(async move {
                begun.add_permits(1);
                if let Ok(permit) = go_on.acquire().await {
                    permit.forget();
                    tally.count(&message);
                }
            })
        })
    }

    async fn in_hand(&self, wanted: u32) {
        let reached = timeout(PATIENCE, self.begun.acquire_many(wanted)).await;
        assert!(matches!(reached, Ok(Ok(_))), "only {} in hand", self.begun.available_permits());
    }
}

/// Stops four workers while they hold 100 messages and `left` wait, and lets others do the rest.
async fn stop_with_100_in_hand(queue: &Queue, concurrency: usize, left: usize) {
    let tally = Tally::new(100 + left);
    push(queue, &up_to(100 + left)).await;
    let held = Held::new(&tally);
    let workers = Workers::start(queue, 4, concurrency, held.handler());
    held.in_hand(100).await;
    workers.stop.cancel();
    held.go_on.add_permits(100 + left);
    workers.stop().await;
    assert_eq!(tally.missing().len(), left, "missing: {:?}", tally.missing());
    let others = Workers::start(queue, 4, concurrency, tally.handler());
    tally.all("clean stop").await;
    others.stop().await;
    assert_eq!(tally.duplicates(), 0, "a clean stop repeats nothing");
}
