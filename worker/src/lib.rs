//! The worker: does things to the outside world.
//!
//! The [`relay`] hands due rows of the outbox to the queue, apalis workers (one set per [`lanes`] lane) take them from
//! there, [`dispatch`] finds the job, and [`advance`] tells the workflows how it went. Any number of workers may run.

pub mod actions;
pub mod advance;
pub mod dispatch;
mod jobs;
pub mod lanes;
mod leases;
mod origins;
pub mod relay;

use std::sync::Arc;
use std::time::Duration;

use shared::batcher::Batcher;
use shared::job::Lane;
use shared::queue::Queue;
use shared::services::Services;
use shared::store::{StoreResult, outbox};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use actions::{Actions, HttpRules};
use advance::Advance;
use leases::Leases;
use origins::Origins;

/// What the jobs of one worker process have at hand.
#[derive(Clone)]
pub struct Worker {
    /// What every role has.
    pub services: Services,
    actions: Arc<Actions>,
    advance: Advance,
    origins: Batcher<Origins>,
    leases: Leases,
    /// Cancelled when no new step is taken on.
    stop: CancellationToken,
    /// Cancelled when running steps are given back.
    hand_back: CancellationToken,
}

impl Worker {
    /// Prepares a worker; nothing runs yet but the recording of results.
    pub fn new(services: Services, stop: CancellationToken) -> Result<Self, reqwest::Error> {
        let rules = HttpRules::new(services.config.http_allow_private);
        let actions = Actions::new(Arc::clone(&services.catalogue), rules, Arc::clone(&services.mailer))?;
        let advance = Advance::start(&services);
        let origins = origins::origins(&services);
        let (leases, hand_back) = (Leases::default(), CancellationToken::new());
        Ok(Self { services, actions: Arc::new(actions), advance, origins, leases, stop, hand_back })
    }

    /// A queue inside the process begins empty: what the last process had handed out is due at once.
    async fn forget_lost_messages(&self) -> StoreResult<()> {
        if matches!(self.services.queue, Queue::Memory(_)) {
            let mut tx = self.services.db.begin().await?;
            outbox::requeue(&mut tx, self.services.clock.now(), 1).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Works until `stop` is cancelled, then finishes or gives back what runs, and returns.
    pub async fn run(self) {
        if let Err(error) = self.forget_lost_messages().await {
            tracing::warn!(%error, "messages of the last run come again only when they are due");
        }
        let tasks = TaskTracker::new();
        let drain = Duration::from_secs(self.services.config.shutdown_s);
        tasks.spawn(relay::run(self.services.clone(), self.stop.clone()));
        let beats = tokio::spawn(leases::run(self.leases.clone(), self.services.clone()));
        for lane in Lane::ALL {
            let settings = self.services.config.lanes.get(lane);
            let settings = lanes::LaneSettings { lane, workers: settings.workers, concurrency: settings.concurrency };
            let handler = dispatch::handler(self.clone());
            tasks.spawn(lanes::run(self.services.queue.clone(), settings, handler, self.stop.clone(), drain));
        }
        tasks.close();
        self.stop.cancelled().await;
        // Long steps are given back in time for that to be recorded.
        tokio::select! {
            () = tasks.wait() => {}
            () = tokio::time::sleep(drain.mul_f32(0.7)) => self.hand_back.cancel(),
        }
        tasks.wait().await;
        beats.abort();
    }
}
