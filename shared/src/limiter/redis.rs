//! The limiter on Redis: one log for all processes, and a limiter of this process for when Redis is away.
//!
//! The stand-in begins empty and is not added to Redis afterwards: an outage gives each user at most one more budget per
//! process. Times are those of the processes' clocks, never of Redis; clocks that differ shift windows by as much.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{FromRedisValue, RedisError, Script, ScriptInvocation};
use secrecy::SecretString;
use tokio::time::timeout;

use super::memory::MemoryLimiter;
use super::outage::Outage;
use super::scripts::{ADMIT, RELEASE};
use super::{Ask, Fill, Standing};

/// A limiter on a Redis server. Cloning shares it.
#[derive(Clone)]
pub struct RedisLimiter(Arc<Inner>);

struct Inner {
    /// Its own, since what is asked here has to be answered sooner than what the queue asks.
    connection: ConnectionManager,
    prefix: String,
    patience: Duration,
    admit: Script,
    release: Script,
    outage: Outage,
    stand_in: MemoryLimiter,
}

impl RedisLimiter {
    pub(super) async fn connect(url: &SecretString, prefix: &str, patience: Duration) -> Result<Self, RedisError> {
        let client = crate::queue::redis_client(url)?;
        let connection = client.get_connection_manager_with_config(manager_config(patience)).await?;
        Ok(Self(Arc::new(Inner {
            connection,
            prefix: prefix.to_owned(),
            patience,
            admit: Script::new(ADMIT),
            release: Script::new(RELEASE),
            outage: Outage::default(),
            stand_in: MemoryLimiter::default(),
        })))
    }

    pub(super) async fn admit(&self, ask: &Ask<'_>) -> Standing {
        match self.run::<(bool, Vec<i64>)>(&self.admission(ask)).await {
            Some((allowed, fills)) => ask.standing(allowed, read(&fills)),
            None => self.0.stand_in.admit(ask),
        }
    }

    pub(super) async fn release(&self, key: &str, at: i64) {
        let mut call = self.0.release.prepare_invoke();
        call.key(self.key(key)).arg(at);
        // What Redis does not know may have been let in while it was away.
        if self.run::<u32>(&call).await != Some(1) {
            self.0.stand_in.release(key, at);
        }
    }

    fn admission(&self, ask: &Ask<'_>) -> ScriptInvocation<'_> {
        let longest = ask.longest();
        let mut call = self.0.admit.prepare_invoke();
        call.key(self.key(ask.key)).arg(ask.now).arg(ask.count);
        call.arg(ask.now.saturating_sub(longest)).arg((longest as u64).div_ceil(1_000));
        for window in ask.windows {
            call.arg(format!("({}", window.since(ask.now))).arg(window.limit);
        }
        call
    }

    /// What the script answers; none if Redis is away.
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Option<T> {
        let turn = self.0.outage.turn(Instant::now())?;
        let mut connection = self.0.connection.clone();
        let answer = timeout(self.0.patience, call.invoke_async(&mut connection)).await;
        match answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(answer) => {
                self.0.outage.answered(turn);
                Some(answer)
            }
            Err(error) => {
                self.0.outage.failed(&error, Instant::now());
                None
            }
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.0.prefix)
    }
}

/// From pairs of numbers, as the script gives them.
fn read(fills: &[i64]) -> impl Iterator<Item = Fill> {
    fills.as_chunks::<2>().0.iter().map(|&[used, at]| Fill { used: used as usize, waits_for: (at >= 0).then_some(at) })
}

fn manager_config(patience: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_response_timeout(Some(patience))
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // It goes on in the background while nobody waits for it; each trial of an outage begins it anew.
        .set_max_delay(Duration::from_millis(500))
        .set_number_of_retries(2)
}
