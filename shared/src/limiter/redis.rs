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
use super::{Ask, Fill, Standing, Window};
use crate::batcher::{Batcher, Together};
use crate::store::StoreResult;

/// The most questions of one call, which Redis answers before it turns to anybody else.
const BATCH: usize = 64;
/// Calls at once: one that has no answer must not hold up all others.
const LANES: usize = 2;

/// A limiter on a Redis server. Cloning shares it.
#[derive(Clone)]
pub struct RedisLimiter(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    /// Those who ask at the same time share a call.
    asking: Batcher<Asking>,
    stand_in: MemoryLimiter,
}

/// The way to Redis.
struct Link {
    /// Its own, since what is asked here has to be answered sooner than what the queue asks.
    connection: ConnectionManager,
    prefix: String,
    patience: Duration,
    admit: Script,
    release: Script,
    outage: Outage,
}

impl RedisLimiter {
    pub(super) async fn connect(url: &SecretString, prefix: &str, patience: Duration) -> Result<Self, RedisError> {
        let client = crate::queue::redis_client(url)?;
        let connection = client.get_connection_manager_with_config(manager_config(patience)).await?;
        let link = Arc::new(Link {
            connection,
            prefix: prefix.to_owned(),
            patience,
            admit: Script::new(ADMIT),
            release: Script::new(RELEASE),
            outage: Outage::default(),
        });
        let asking = Batcher::start(LANES, BATCH, Asking(Arc::clone(&link)));
        Ok(Self(Arc::new(Inner { link, asking, stand_in: MemoryLimiter::default() })))
    }

    pub(super) async fn admit(&self, ask: &Ask<'_>) -> Standing {
        let question =
            Question { key: self.0.link.key(ask.key), windows: ask.windows.to_vec(), count: ask.count, now: ask.now };
        match self.0.asking.ask(question).await {
            Some(Ok(Some(standing))) => standing,
            _ => self.0.stand_in.admit(ask),
        }
    }

    pub(super) async fn release(&self, key: &str, at: i64) {
        let link = &self.0.link;
        let mut call = link.release.prepare_invoke();
        call.key(link.key(key)).arg(at);
        // What Redis does not know may have been let in while it was away.
        if link.run::<u32>(&call).await != Some(1) {
            self.0.stand_in.release(key, at);
        }
    }
}

/// An [`Ask`] on its way to Redis.
struct Question {
    key: String,
    windows: Vec<Window>,
    count: u32,
    now: i64,
}

/// Asks Redis, many questions with one call.
struct Asking(Arc<Link>);

impl Together for Asking {
    type Item = Question;
    /// None if Redis is away.
    type Answer = Option<Standing>;
    const NEEDS_CALLER: bool = true;

    async fn run(&self, questions: &[Question]) -> StoreResult<Vec<Option<Standing>>> {
        let Self(link) = self;
        let mut call = link.admit.prepare_invoke();
        for question in questions {
            question.add_to(&mut call);
        }
        let said = link.run::<Vec<i64>>(&call).await;
        let mut said = said.as_deref();
        Ok(questions.iter().map(|question| said.as_mut().and_then(|said| question.read(said))).collect())
    }
}

impl Question {
    fn ask(&self) -> Ask<'_> {
        Ask { key: &self.key, windows: &self.windows, count: self.count, now: self.now }
    }

    fn add_to(&self, call: &mut ScriptInvocation<'_>) {
        let ask = self.ask();
        let longest = ask.longest();
        call.key(ask.key).arg(ask.now).arg(ask.count);
        call.arg(ask.now.saturating_sub(longest)).arg((longest as u64).div_ceil(1_000)).arg(ask.windows.len());
        for window in ask.windows {
            call.arg(window.since(ask.now)).arg(window.limit);
        }
    }

    /// Takes the answer to this question off the front of what the script says.
    fn read(&self, said: &mut &[i64]) -> Option<Standing> {
        let (allowed, rest) = said.split_first()?;
        let (fills, rest) = rest.split_at_checked(2 * self.windows.len())?;
        *said = rest;
        let fills = fills.as_chunks::<2>().0.iter();
        let fills = fills.map(|&[used, at]| Fill { used: used as usize, waits_for: (at >= 0).then_some(at) });
        Some(self.ask().standing(*allowed == 1, fills))
    }
}

impl Link {
    /// What a script answers; none if Redis is away.
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Option<T> {
        let turn = self.outage.turn(Instant::now())?;
        let mut connection = self.connection.clone();
        let answer = timeout(self.patience, call.invoke_async(&mut connection)).await;
        match answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(answer) => {
                self.outage.answered(turn);
                Some(answer)
            }
            Err(error) => {
                self.outage.failed(&error, Instant::now());
                None
            }
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn manager_config(patience: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_response_timeout(Some(patience))
        .set_connection_timeout(Some(Duration::from_secs(2)))
        // It goes on in the background while nobody waits for it; each trial of an outage begins it anew.
        .set_max_delay(Duration::from_millis(500))
        .set_number_of_retries(2)
}
