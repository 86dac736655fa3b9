//! The queue inside one process: a bounded list per lane that wakes the workers waiting for it.
//!
//! Nothing polls. A push wakes every worker that found its lane empty; a worker that is busy looks again when it has a
//! free place, so no message can wait beside a free worker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use tokio::sync::watch;

use super::QueueError;
use crate::job::Lane;

/// The most messages that wait in one lane.
const CAPACITY: usize = 1024;

/// A queue inside this process. Cloning shares it.
#[derive(Clone, Default)]
pub struct MemoryQueue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    lanes: [Mutex<Waiting>; Lane::ALL.len()],
    woken: watch::Sender<()>,
}

/// What waits in a lane: messages for workers, or workers for messages.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<Value>,
    workers: Vec<Waker>,
}

impl MemoryQueue {
    /// Takes the next message of the lane; if there is none, the task of `cx` is woken by the next push.
    pub fn poll_pop(&self, lane: Lane, cx: &mut Context<'_>) -> Poll<Value> {
        let mut waiting = self.lane(lane);
        if let Some(message) = waiting.messages.pop_front() {
            return Poll::Ready(message);
        }
        if !waiting.workers.iter().any(|worker| worker.will_wake(cx.waker())) {
            waiting.workers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn push(&self, lane: Lane, messages: &[Value]) -> Result<(), QueueError> {
        let workers = {
            let mut waiting = self.lane(lane);
            if waiting.messages.len() + messages.len() > CAPACITY {
                return Err(QueueError::Full);
            }
            waiting.messages.extend(messages.iter().cloned());
            std::mem::take(&mut waiting.workers)
        };
        workers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    pub(super) fn room(&self, lane: Lane) -> usize {
        CAPACITY - self.lane(lane).messages.len()
    }

    pub(super) fn wake(&self) {
        self.0.woken.send_replace(());
    }

    pub(super) fn wakes(&self) -> watch::Receiver<()> {
        self.0.woken.subscribe()
    }

    fn lane(&self, lane: Lane) -> MutexGuard<'_, Waiting> {
        self.0.lanes[lane as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn messages_come_out_in_the_order_they_went_in() {
        let queue = MemoryQueue::default();
        let mut cx = Context::from_waker(Waker::noop());
        queue.push(Lane::Mail, &[json!(1), json!(2)]).unwrap();
        queue.push(Lane::Mail, &[json!(3)]).unwrap();
        for expected in 1..=3 {
            assert_eq!(queue.poll_pop(Lane::Mail, &mut cx), Poll::Ready(json!(expected)));
        }
        assert!(queue.poll_pop(Lane::Mail, &mut cx).is_pending());
    }

    #[test]
    fn a_push_wakes_each_waiting_worker_once_and_only_those_of_its_lane() {
        let queue = MemoryQueue::default();
        let workers = [Arc::new(Woken::default()), Arc::new(Woken::default()), Arc::new(Woken::default())];
        let lanes = [Lane::Mail, Lane::Mail, Lane::Interactive];
        for (worker, lane) in workers.iter().zip(lanes) {
            let waker = Waker::from(Arc::clone(worker));
            for _ in 0..2 {
                assert!(queue.poll_pop(lane, &mut Context::from_waker(&waker)).is_pending());
            }
        }
        queue.push(Lane::Mail, &[json!(1)]).unwrap();
        let woken: Vec<usize> = workers.iter().map(|worker| worker.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [1, 1, 0]);
    }
}
