//! Gathers what many callers want at the same time into one go, such as one transaction.
//!
//! Whatever arrives while a go is under way is part of the next one, so a lone caller waits for nobody and a flood
//! shares its round trips and commits. Where several goes may be under way at once, another one begins only when it is
//! half full, when none is under way any more, or after a while: many small ones cost more than few large ones, and those
//! that write make each other wait for what they lock; but to wait for more than half leaves the machine idle while all
//! that could be done waits together.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::sleep;

use crate::store::{StoreError, StoreResult};

/// How long a go that is less than half full waits at most for those under way to end: what holds up one, such as a
/// locked row, must not hold up what comes after.
const PATIENCE: Duration = Duration::from_millis(10);

/// Work that is cheaper for many items together, such as a transaction.
pub trait Together: Send + Sync + 'static {
    /// What one caller wants.
    type Item: Send + Sync + 'static;
    /// What the caller gets.
    type Answer: Send + 'static;
    /// Whether an item is dropped when nobody waits for its answer any more, since whoever gave it may give it again.
    const NEEDS_CALLER: bool;

    /// Does it for all items and gives an answer for each, in their order; or does it for none.
    fn run(&self, items: &[Self::Item]) -> impl Future<Output = StoreResult<Vec<Self::Answer>>> + Send;
}

type Outcome<W> = Result<<W as Together>::Answer, Arc<StoreError>>;
type Wanted<W> = (<W as Together>::Item, oneshot::Sender<Outcome<W>>);

/// The way to ask. Clones share it; the tasks behind it stop when the last is dropped.
pub struct Batcher<W: Together> {
    wanted: mpsc::Sender<Wanted<W>>,
}

impl<W: Together> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self { wanted: self.wanted.clone() }
    }
}

impl<W: Together> Batcher<W> {
    /// Starts tasks that do up to `lanes` goes at once with at most `most` items each. Needs a runtime.
    pub fn start(lanes: usize, most: usize, work: W) -> Self {
        Self::start_with(lanes, (most, PATIENCE), work)
    }

    fn start_with(lanes: usize, (most, patience): (usize, Duration), work: W) -> Self {
        let (wanted, items) = mpsc::channel(most * 4);
        let (items, under_way, ended) = (Mutex::new(items), AtomicUsize::new(0), Notify::new());
        let shared = Arc::new(Lanes { items, most, patience, under_way, ended, work });
        for _ in 0..lanes {
            tokio::spawn(Arc::clone(&shared).serve());
        }
        Self { wanted }
    }

    /// Asks and waits for the answer. `None`: the runtime is shutting down, or the work panicked.
    pub async fn ask(&self, item: W::Item) -> Option<Outcome<W>> {
        let (reply, answer) = oneshot::channel();
        self.wanted.send((item, reply)).await.ok()?;
        answer.await.ok()
    }
}

/// What the tasks share.
struct Lanes<W: Together> {
    /// Held by the task whose go is the next.
    items: Mutex<mpsc::Receiver<Wanted<W>>>,
    most: usize,
    patience: Duration,
    /// Goes under way.
    under_way: AtomicUsize,
    /// Told when one has ended.
    ended: Notify,
    work: W,
}

impl<W: Together> Lanes<W> {
    async fn serve(self: Arc<Self>) {
        let mut go = Vec::with_capacity(self.most);
        while self.gather(&mut go).await {
            self.run(&mut go).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            self.ended.notify_one();
        }
    }

    /// Gathers the items of the next go and counts it in; false if there is nobody left to ask for anything.
    async fn gather(&self, go: &mut Vec<Wanted<W>>) -> bool {
        let mut items = self.items.lock().await;
        if items.recv_many(go, self.most).await == 0 {
            return false;
        }
        let mut patience = pin!(sleep(self.patience));
        while go.len() < self.most.div_ceil(2) && self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::select! {
                more = items.recv_many(go, self.most - go.len()) => if more == 0 { break },
                () = self.ended.notified() => {}
                () = &mut patience => break,
            }
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        true
    }

    async fn run(&self, go: &mut Vec<Wanted<W>>) {
        go.retain(|(_, reply)| !(W::NEEDS_CALLER && reply.is_closed()));
        if go.is_empty() {
            return;
        }
        let (wanted, replies): (Vec<_>, Vec<_>) = go.drain(..).unzip();
        // The next go must not suffer from this one.
        let Ok(outcomes) = AssertUnwindSafe(all_or_each(&self.work, &wanted)).catch_unwind().await else {
            tracing::error!(items = wanted.len(), "what was gathered made the program panic");
            return;
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Who no longer waits does not need to know.
            drop(reply.send(outcome));
        }
    }
}

/// All items at once or, when one of them may be the cause of a failure, each by itself, so that it holds up no other.
async fn all_or_each<W: Together>(work: &W, items: &[W::Item]) -> Vec<Outcome<W>> {
    match work.run(items).await {
        Ok(all) => all.into_iter().map(Ok).collect(),
        Err(error) if items.len() > 1 && error.is_about_data() => {
            tracing::warn!(%error, items = items.len(), "one by one, since it failed for all together");
            let mut each = Vec::with_capacity(items.len());
            for item in items {
                match work.run(std::slice::from_ref(item)).await {
                    Ok(one) => each.extend(one.into_iter().map(Ok)),
                    Err(error) => each.push(Err(Arc::new(error))),
                }
            }
            each
        }
        Err(error) => {
            let error = Arc::new(error);
            items.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::*;

    /// Doubles numbers once the gate is open; refuses 13, loses the database at 14, panics at 666.
    struct Doubling {
        goes: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl Together for Doubling {
        type Item = usize;
        type Answer = usize;
        const NEEDS_CALLER: bool = true;

        async fn run(&self, items: &[usize]) -> StoreResult<Vec<usize>> {
            self.goes.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            assert!(!items.contains(&666));
            match items {
                items if items.contains(&13) => Err(StoreError::Conflict("13")),
                items if items.contains(&14) => Err(StoreError::Database(sqlx::Error::PoolTimedOut)),
                items => Ok(items.iter().map(|item| item * 2).collect()),
            }
        }
    }

    fn doubling(open: usize) -> (Doubling, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (goes, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(open)));
        (Doubling { goes: Arc::clone(&goes), gate: Arc::clone(&gate) }, goes, gate)
    }

    #[tokio::test]
    async fn an_item_that_fails_holds_up_no_other() {
        let (work, goes, _) = doubling(100);
        let each =
            async |items: &[usize]| -> Vec<_> { all_or_each(&work, items).await.into_iter().map(Result::ok).collect() };
        assert_eq!(each(&[1, 3]).await, [Some(2), Some(6)]);
        assert_eq!(each(&[1, 13, 3]).await, [Some(2), None, Some(6)]);
        assert_eq!(each(&[13]).await, [None]);
        assert_eq!(goes.load(Ordering::SeqCst), 1 + 4 + 1);
        // Without a database it would be of no use to try each.
        assert_eq!(each(&[1, 14, 3]).await, [None, None, None]);
        assert_eq!(goes.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn work_that_panics_does_not_end_the_lane() {
        let (work, ..) = doubling(100);
        let batcher = Batcher::start(1, 64, work);
        assert!(batcher.ask(666).await.is_none());
        assert_eq!(batcher.ask(1).await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn what_arrives_during_a_go_shares_the_next_one_and_each_gets_its_own_answer() {
        let (work, goes, gate) = doubling(0);
        let batcher = Batcher::start(1, 64, work);
        let ask = |item| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.ask(item).await })
        };
        let first = ask(0);
        while goes.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (1..=10).map(ask).collect();
        while batcher.wanted.capacity() > batcher.wanted.max_capacity() - 10 {
            tokio::task::yield_now().await;
        }
        // Who has gone needs no answer, nor that anything be done.
        let gone = ask(13);
        while batcher.wanted.capacity() > batcher.wanted.max_capacity() - 11 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.is_err());
        gate.add_permits(2);
        assert_eq!(first.await.unwrap().unwrap().unwrap(), 0);
        for (item, answer) in (1..=10).zip(rest) {
            assert_eq!(answer.await.unwrap().unwrap().unwrap(), item * 2);
        }
        assert_eq!(goes.load(Ordering::SeqCst), 2);
    }
    const EVER: Duration = Duration::from_hours(1);

    /// A go of one item is under way, and then `items` are asked for.
    async fn beside_a_go(items: usize, patience: Duration) -> (Arc<AtomicUsize>, Arc<Semaphore>, Vec<JoinHandle<()>>) {
        let (work, goes, gate) = doubling(0);
        let batcher = Batcher::start_with(2, (8, patience), work);
        let ask = || {
            let batcher = batcher.clone();
            tokio::spawn(async move { assert_eq!(batcher.ask(1).await.unwrap().unwrap(), 2) })
        };
        let mut asked = vec![ask()];
        begun(&goes, 1).await;
        asked.extend((0..items).map(|_| ask()));
        (goes, gate, asked)
    }

    async fn begun(goes: &AtomicUsize, count: usize) {
        while goes.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    async fn all(asked: Vec<JoinHandle<()>>) {
        for one in asked {
            one.await.unwrap();
        }
    }

    #[tokio::test]
    async fn another_go_begins_when_it_is_half_full() {
        let (goes, gate, asked) = beside_a_go(4, EVER).await;
        begun(&goes, 2).await;
        gate.add_permits(2);
        all(asked).await;
    }

    #[tokio::test]
    async fn a_smaller_one_waits_for_the_end_of_the_go_before() {
        let (goes, gate, asked) = beside_a_go(3, EVER).await;
        gate.add_permits(2);
        all(asked).await;
        assert_eq!(goes.load(Ordering::SeqCst), 2, "they were split");
    }

    #[tokio::test]
    async fn but_not_for_long() {
        let (goes, gate, asked) = beside_a_go(1, Duration::from_millis(1)).await;
        begun(&goes, 2).await;
        gate.add_permits(2);
        all(asked).await;
    }
}
