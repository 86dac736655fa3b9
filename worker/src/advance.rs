//! Records what workers have to say, many commands in one transaction.
//!
//! Whatever arrives while a transaction is under way goes into the next one, so a lone command waits for nobody and a
//! flood shares its commits.

use std::time::Duration;

use shared::domain::workflow::{Claim, Refusal};
use shared::engine::{self, Applied, Order, Outcome};
use shared::services::Services;
use shared::store::{Db, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};

use std::sync::Arc;

/// The most commands of one transaction.
const BATCH: usize = 64;
/// Transactions at once on `PostgreSQL`; `SQLite` has one writer.
const LANES: usize = 3;
/// How often a command is tried when the database fails.
const TRIES: u32 = 6;

type Reply = oneshot::Sender<Result<Outcome, Arc<StoreError>>>;

/// The way to the workflows. Clones share it; it stops when the last is dropped.
#[derive(Clone)]
pub struct Advance {
    orders: mpsc::Sender<(Order, Reply)>,
}

impl Advance {
    /// Starts the tasks that record.
    pub fn start(services: &Services) -> Self {
        let (orders, receiver) = mpsc::channel(BATCH * 4);
        let receiver = Arc::new(Mutex::new(receiver));
        let lanes = if matches!(services.db, Db::Postgres(_)) { LANES } else { 1 };
        for _ in 0..lanes {
            tokio::spawn(record(services.clone(), Arc::clone(&receiver)));
        }
        Self { orders }
    }

    /// Gives a command and waits until it is recorded. `None`: the database could not be reached for long enough that
    /// the lease decides what happens next.
    pub async fn order(&self, order: Order) -> Option<Result<Option<Claim>, Refusal>> {
        let mut pause = Duration::from_millis(100);
        for _ in 0..TRIES {
            let (reply, answer) = oneshot::channel();
            self.orders.send((order.clone(), reply)).await.ok()?;
            match answer.await.ok()? {
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

async fn record(services: Services, orders: Arc<Mutex<mpsc::Receiver<(Order, Reply)>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if orders.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let (orders, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let base_url = services.config.base_url.as_str();
        match engine::apply(&services.db, base_url, &orders).await {
            Ok(applied) => answer(&services, replies, applied).await,
            // One bad order must not hold up the others: each gets a transaction of its own.
            Err(error) if orders.len() > 1 => {
                tracing::warn!(%error, orders = orders.len(), "recording one by one");
                for (order, reply) in orders.into_iter().zip(replies) {
                    match engine::apply(&services.db, base_url, &[order]).await {
                        Ok(applied) => answer(&services, vec![reply], applied).await,
                        Err(error) => drop(reply.send(Err(Arc::new(error)))),
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for reply in replies {
                    drop(reply.send(Err(Arc::clone(&error))));
                }
            }
        }
    }
}

async fn answer(services: &Services, replies: Vec<Reply>, applied: Applied) {
    for (reply, outcome) in replies.into_iter().zip(applied.outcomes) {
        // Nobody waiting means that the step's task is gone; its lease brings the claim back.
        drop(reply.send(Ok(outcome)));
    }
    if applied.wake {
        services.queue.wake().await;
    }
}
