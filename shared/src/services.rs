//! What a running role has at hand; built once, in `src/boot.rs`, and passed on by cloning.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::actions::Catalogue;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::domain::workflow::{Agents, Circumstances, Command};
use crate::email::Mailer;
use crate::engine::{self, Known, Order, Outcome};
use crate::ids::WorkflowId;
use crate::limiter::Limiter;
use crate::passwords::Passwords;
use crate::planner::Planner;
use crate::queue::Queue;
use crate::seal::Seal;
use crate::store::{Db, StoreResult};
use crate::stripe::Stripe;
use crate::template::Templates;
use crate::tokens::Tokens;
use crate::tokens::keyring::{self, KeyringError};

/// Everything that handlers and jobs need.
#[derive(Clone)]
pub struct Services {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where the present comes from.
    pub clock: Clock,
    /// The source of truth.
    pub db: Db,
    /// The transport of jobs.
    pub queue: Queue,
    /// Counts against limits by rate.
    pub limiter: Limiter,
    /// Delivers mail.
    pub mailer: Arc<Mailer>,
    /// The actions that plans may name.
    pub catalogue: Arc<Catalogue>,
    /// Makes plans.
    pub planner: Arc<Planner>,
    /// Renders parameters.
    pub templates: Templates,
    /// Signs and reads tokens.
    pub tokens: Arc<Tokens>,
    /// Encrypts the secrets that are stored.
    pub seal: Arc<Seal>,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Bills subscriptions; none where it is not configured.
    pub stripe: Option<Arc<Stripe>>,
}

impl Services {
    /// The terms of a command that comes from `actor`, not from a worker.
    pub fn circumstances(&self, actor: String, now: DateTime<Utc>) -> Circumstances {
        let lease = std::time::Duration::from_secs(self.config.lease_s);
        Circumstances { now, actor, lease, take_next: false, others: Agents::default() }
    }

    /// Reads the keys of tokens anew; secrets stay as they are.
    pub async fn reload_keys(&self, now: DateTime<Utc>) -> Result<(), KeyringError> {
        if self.config.jwt.algorithm == JwtAlgorithm::EdDsa {
            self.tokens.replace(keyring::load(&self.db, &self.seal, now).await?);
        }
        Ok(())
    }

    /// Gives one command to one workflow, in a transaction of its own.
    pub async fn order(&self, workflow: WorkflowId, command: Command, actor: String) -> StoreResult<Outcome> {
        let with = self.circumstances(actor, self.clock.now());
        let orders = [Order { workflow, command, with }];
        let mut applied = engine::apply(&self.db, &self.config, &Known::default(), &orders).await?;
        if applied.wake {
            self.queue.wake().await;
        }
        Ok(applied.outcomes.pop().unwrap_or(Ok(None)))
    }
}
