//! The leases that this process holds, and the heartbeat that keeps them.
//!
//! A step that is cancelled or taken over by another worker is noticed at the next beat, and its run is given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use shared::domain::workflow::Attempt;
use shared::ids::WorkflowId;
use shared::services::Services;
use shared::store::{StoreResult, workflows};
use tokio_util::sync::CancellationToken;

type Held = HashMap<(WorkflowId, String), (i64, CancellationToken)>;

/// The steps that run in this process. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Leases(Arc<Mutex<Held>>);

/// A lease that is held until this is dropped.
pub struct Lease {
    leases: Leases,
    key: (WorkflowId, String),
    attempt: i64,
    /// Cancelled when the lease turns out to be lost.
    pub lost: CancellationToken,
}

impl Leases {
    /// Keeps the lease of an attempt.
    pub fn keep(&self, workflow: WorkflowId, at: &Attempt) -> Lease {
        let key = (workflow, at.step.clone());
        let lost = CancellationToken::new();
        self.held(|held| held.insert(key.clone(), (at.number, lost.clone())));
        Lease { leases: self.clone(), key, attempt: at.number, lost }
    }

    fn held<T>(&self, f: impl FnOnce(&mut Held) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Extends every lease; those that are no longer ours are given up.
    async fn beat(&self, services: &Services) -> StoreResult<()> {
        let held: Vec<_> = self.held(|held| held.iter().map(|((w, s), (n, _))| (*w, s.clone(), *n)).collect());
        if held.is_empty() {
            return Ok(());
        }
        let lease = TimeDelta::seconds(services.config.lease_s as i64);
        let mut tx = services.db.begin().await?;
        let kept = workflows::extend_leases(&mut tx, &held, services.clock.now() + lease).await?;
        tx.commit().await?;
        for (workflow, step, attempt) in held {
            if !kept.contains(&(workflow, step.clone())) {
                let lost = self.held(|held| held.get(&(workflow, step)).filter(|(n, _)| *n == attempt).cloned());
                if let Some((_, lost)) = lost {
                    lost.cancel();
                }
            }
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.held(|held| {
            if held.get(&self.key).is_some_and(|(attempt, _)| *attempt == self.attempt) {
                held.remove(&self.key);
            }
        });
    }
}

/// Beats three times per lease, for ever.
pub async fn run(leases: Leases, services: Services) {
    let mut beat = tokio::time::interval(Duration::from_secs(services.config.lease_s) / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Err(error) = leases.beat(&services).await {
            tracing::warn!(%error, "the leases could not be extended; trying again");
        }
    }
}
