//! Records what workers have to say, many commands in one transaction.

use std::sync::Arc;
use std::time::Duration;

use shared::batcher::{Batcher, Together};
use shared::domain::workflow::{Claim, Refusal};
use shared::engine::{self, Known, Order, Outcome};
use shared::services::Services;
use shared::store::{Db, StoreResult};

/// The most commands of one transaction: as many as there are steps at once by default.
const BATCH: usize = 128;
/// Transactions at once on `PostgreSQL`; `SQLite` has one writer.
const LANES: usize = 3;
/// How often a command is tried when the database fails.
const TRIES: u32 = 6;

/// The way to the workflows. Clones share it; it stops when the last is dropped.
#[derive(Clone)]
pub struct Advance {
    orders: Batcher<Recording>,
}

struct Recording {
    services: Services,
    known: Known,
}

impl Together for Recording {
    type Item = Arc<Order>;
    type Answer = Outcome;
    const NEEDS_CALLER: bool = false;

    async fn run(&self, orders: &[Arc<Order>]) -> StoreResult<Vec<Outcome>> {
        let Self { services, known } = self;
        let applied = engine::apply(&services.db, &services.config, known, orders).await?;
        if applied.wake {
            services.queue.wake().await;
        }
        Ok(applied.outcomes)
    }
}

impl Advance {
    /// Starts the tasks that record.
    pub fn start(services: &Services) -> Self {
        let lanes = if matches!(services.db, Db::Postgres(_)) { LANES } else { 1 };
        let recording = Recording { services: services.clone(), known: Known::default() };
        Self { orders: Batcher::start(lanes, BATCH, recording) }
    }

    /// Gives a command and waits until it is recorded. `None`: the database could not be reached for long enough that
    /// the lease decides what happens next.
    pub async fn order(&self, order: Order) -> Option<Result<Option<Claim>, Refusal>> {
        let order = Arc::new(order);
        let mut pause = Duration::from_millis(100);
        for _ in 0..TRIES {
            match self.orders.ask(Arc::clone(&order)).await? {
                Ok(outcome) => return Some(outcome),
                Err(error) => tracing::warn!(%error, workflow.id = %order.workflow, "not recorded yet"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        tracing::error!(workflow.id = %order.workflow, "given up; the step runs again when its lease is over");
        None
    }
}
