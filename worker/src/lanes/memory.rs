//! Messages from inside this process: an apalis backend over the queue's list that is woken and never polls.
//!
//! There is nothing to acknowledge and nothing to hand back. What a process held when it died is in the outbox, and the
//! outbox delivers it again.

use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};

use apalis::prelude::{Backend, Task, WorkerBuilder, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::layers::Identity;
use futures_util::FutureExt;
use serde_json::Value;
use shared::job::Lane;
use shared::queue::MemoryQueue;

use super::{Running, Slot, Source, guarded};

impl Source for MemoryQueue {
    fn worker_name(&self, lane: Lane) -> String {
        lane.name().to_owned()
    }

    fn start(&self, slot: &Slot, worker: &WorkerContext) -> Running {
        let backend = MemoryBackend { queue: self.clone(), slot: slot.clone() };
        let slot = slot.clone();
        let worker =
            WorkerBuilder::new(worker).backend(backend).build(move |message: Value| slot.clone().handle(message));
        guarded(worker.run().boxed())
    }

    fn acknowledged(&self, _lane: Lane, _worker: &str) -> impl Future<Output = bool> + Send {
        ready(true)
    }

    fn hand_back(&self, _lane: Lane, _worker: &str) -> impl Future<Output = bool> + Send {
        ready(true)
    }
}

struct MemoryBackend {
    queue: MemoryQueue,
    slot: Slot,
}

impl Backend for MemoryBackend {
    type Task = Task<Value>;
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        // The end of a message in hand polls the worker again, so a full one needs no other waker.
        if self.slot.stop.is_cancelled() || worker.task_count() >= self.slot.concurrency {
            return Poll::Pending;
        }
        self.queue.poll_pop(self.slot.lane, cx).map(|message| Some(Ok(Task::new(message))))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for MemoryBackend {
    type Args = Value;
    type Id = u64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> Self::Layer {
        Identity::new()
    }
}
