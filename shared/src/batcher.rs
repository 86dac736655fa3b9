//! Gathers what many callers want at the same time into one go, such as one transaction.
//!
//! Whatever arrives while a go is under way is part of the next one, so a lone caller waits for nobody and a flood
//! shares its round trips and commits. There is no timer.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

/// Work that is cheaper for many items together, such as a transaction.
pub trait Together: Send + Sync + 'static {
    /// What one caller wants.
    type Item: Send + Sync + 'static;
    /// What the caller gets.
    type Answer: Send + 'static;
    /// Why nothing was done for any of the items.
    type Error: std::fmt::Display + Send + 'static;

    /// Does it for all items and gives an answer for each, in their order; or does it for none.
    fn run(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Self::Answer>, Self::Error>> + Send;
}

type Outcome<W> = Result<<W as Together>::Answer, <W as Together>::Error>;
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
    /// Starts `lanes` tasks that each do one go at a time with at most `most` items. Needs a runtime.
    pub fn start(lanes: usize, most: usize, work: W) -> Self {
        let (wanted, items) = mpsc::channel(most * 4);
        let (items, work) = (Arc::new(Mutex::new(items)), Arc::new(work));
        for _ in 0..lanes {
            tokio::spawn(serve(Arc::clone(&items), most, Arc::clone(&work)));
        }
        Self { wanted }
    }

    /// Asks and waits for the answer. `None`: the runtime is shutting down.
    pub async fn ask(&self, item: W::Item) -> Option<Outcome<W>> {
        let (reply, answer) = oneshot::channel();
        self.wanted.send((item, reply)).await.ok()?;
        answer.await.ok()
    }
}

async fn serve<W: Together>(items: Arc<Mutex<mpsc::Receiver<Wanted<W>>>>, most: usize, work: Arc<W>) {
    let mut go = Vec::with_capacity(most);
    while items.lock().await.recv_many(&mut go, most).await > 0 {
        let (wanted, replies): (Vec<_>, Vec<_>) = go.drain(..).unzip();
        for (reply, outcome) in replies.into_iter().zip(all_or_each(&*work, &wanted).await) {
            // Who no longer waits does not need to know.
            drop(reply.send(outcome));
        }
    }
}

/// All items at once or, when that fails, each by itself, so that one bad item holds up no other.
async fn all_or_each<W: Together>(work: &W, items: &[W::Item]) -> Vec<Outcome<W>> {
    match work.run(items).await {
        Ok(all) => all.into_iter().map(Ok).collect(),
        Err(error) if items.len() > 1 => {
            tracing::warn!(%error, items = items.len(), "one by one, since it failed for all together");
            let mut each = Vec::with_capacity(items.len());
            for item in items {
                match work.run(std::slice::from_ref(item)).await {
                    Ok(one) => each.extend(one.into_iter().map(Ok)),
                    Err(error) => each.push(Err(error)),
                }
            }
            each
        }
        Err(error) => vec![Err(error)],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers once the gate is open; fails for 13.
    struct Doubling {
        goes: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl Together for Doubling {
        type Item = usize;
        type Answer = usize;
        type Error = &'static str;

        async fn run(&self, items: &[usize]) -> Result<Vec<usize>, &'static str> {
            self.goes.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            if items.contains(&13) { Err("13") } else { Ok(items.iter().map(|item| item * 2).collect()) }
        }
    }

    fn doubling(open: usize) -> (Doubling, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (goes, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(open)));
        (Doubling { goes: Arc::clone(&goes), gate: Arc::clone(&gate) }, goes, gate)
    }

    #[tokio::test]
    async fn an_item_that_fails_holds_up_no_other() {
        let (work, ..) = doubling(100);
        assert_eq!(all_or_each(&work, &[1, 3]).await, [Ok(2), Ok(6)]);
        assert_eq!(all_or_each(&work, &[1, 13, 3]).await, [Ok(2), Err("13"), Ok(6)]);
        assert_eq!(all_or_each(&work, &[13]).await, [Err("13")]);
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
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(Ok(0)));
        for (item, answer) in (1..=10).zip(rest) {
            assert_eq!(answer.await.unwrap(), Some(Ok(item * 2)));
        }
        assert_eq!(goes.load(Ordering::SeqCst), 2);
    }
}
