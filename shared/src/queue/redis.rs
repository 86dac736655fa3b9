//! The queue on Redis, in the data model of apalis-redis: a list of waiting ids, a hash of payloads, a set per worker.
//!
//! The crate's own push, purge and worker clean-up have faults that lose wake-ups or wedge the queue (`ARCHITECTURE.md`
//! lists them), so `scripts.rs` does these on the same keys; its workers fetch and acknowledge. For one more operation: a
//! method here, its keys taken from [`Config`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apalis_redis::Config;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, IntoConnectionInfo, RedisError, Script};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::QueueError;
use super::pubsub::{Channels, Signals, announce, listen};
use super::scripts::{HAND_BACK, PURGE, PUSH};
use crate::job::Lane;

/// The most messages that wait in one lane, as far as the relays keep to it.
const DEPTH: usize = 2000;
/// How many messages one call of the janitor's script removes.
const PURGE_AT_ONCE: usize = 500;
/// Longer than a stall that one would rather sit out: a worker dies of a request that fails.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A queue on a Redis server. Cloning shares it.
#[derive(Clone)]
pub struct RedisQueue(Arc<Inner>);

struct Inner {
    connection: ConnectionManager,
    namespace: String,
    channels: Channels,
    /// With `channels.own` as a prefix this makes names that no process ever uses twice.
    next_name: AtomicU64,
    push: Script,
    purge: Script,
    hand_back: Script,
    signals: Signals,
    committed: watch::Sender<()>,
    _background: [AbortOnDropHandle<()>; 2],
}

impl RedisQueue {
    pub(super) async fn connect(url: &SecretString, namespace: &str) -> Result<Self, QueueError> {
        let client = client(url)?;
        let connection = client.get_connection_manager_with_config(manager_config()).await?;
        let channels = Channels {
            relay: format!("{namespace}:wake"),
            lanes: Lane::ALL.map(|lane| format!("{namespace}:wake:{}", lane.name())),
            own: format!("{:016x}", getrandom::u64()?),
        };
        let (signals, committed) = (Signals::default(), watch::Sender::new(()));
        let background = [
            tokio::spawn(listen(client, channels.clone(), signals.clone())),
            tokio::spawn(announce(connection.clone(), channels.clone(), committed.subscribe())),
        ];
        Ok(Self(Arc::new(Inner {
            connection,
            namespace: namespace.to_owned(),
            channels,
            next_name: AtomicU64::new(0),
            push: Script::new(PUSH),
            purge: Script::new(PURGE),
            hand_back: Script::new(HAND_BACK),
            signals,
            committed,
            _background: background.map(AbortOnDropHandle::new),
        })))
    }

    /// How apalis-redis has to be set up for the lane's workers; the reasons are in `ARCHITECTURE.md`.
    pub fn config(&self, lane: Lane) -> Config {
        Config::default()
            .queue(format!("{}:{}", self.0.namespace, lane.name()))
            .batch_size(1)
            .heartbeat_interval(Duration::from_secs(5))
            .missed_heartbeats(6)
            .lock_tasks(false)
            .emit_events(false)
    }

    /// The connection that all users of this process share; it reconnects by itself.
    pub fn connection(&self) -> ConnectionManager {
        self.0.connection.clone()
    }

    /// Changes whenever messages arrive in the lane.
    pub fn arrivals(&self, lane: Lane) -> watch::Receiver<()> {
        self.0.signals.lanes[lane as usize].subscribe()
    }

    /// A name that no worker had before: apalis-redis refuses a name that was used a short while ago.
    pub fn worker_name(&self, lane: Lane) -> String {
        format!("{}-{}-{}", lane.name(), std::process::id(), self.fresh_name())
    }

    /// How many messages the worker has fetched and not yet acknowledged.
    pub async fn unacknowledged(&self, lane: Lane, worker: &str) -> Result<usize, QueueError> {
        let key = format!("{}:{worker}", self.config(lane).inflight_jobs_set());
        Ok(redis::cmd("SCARD").arg(key).query_async(&mut self.connection()).await?)
    }

    /// Puts what a worker that has ended did not acknowledge back to the front, and removes the worker.
    pub async fn hand_back(&self, lane: Lane, worker: &str) -> Result<usize, QueueError> {
        let config = self.config(lane);
        let mut call = self.0.hand_back.prepare_invoke();
        call.key(format!("{}:{worker}", config.inflight_jobs_set()))
            .key(config.job_data_hash())
            .key(config.job_meta_hash())
            .key(config.active_jobs_list())
            .key(config.workers_set())
            .key(format!("{}:metadata:{worker}", config.workers_set()))
            .key(&self.0.channels.lanes[lane as usize])
            .arg(worker);
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    pub(super) async fn push(&self, lane: Lane, messages: &[Value]) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        let config = self.config(lane);
        let mut call = self.0.push.prepare_invoke();
        call.key(config.job_data_hash())
            .key(config.active_jobs_list())
            .key(config.job_meta_hash())
            .key(&self.0.channels.lanes[lane as usize]);
        for message in messages {
            call.arg(self.fresh_name()).arg(message.to_string());
        }
        Ok(call.invoke_async(&mut self.connection()).await?)
    }

    pub(super) async fn room(&self, lane: Lane) -> Result<usize, QueueError> {
        let key = self.config(lane).active_jobs_list();
        let depth: usize = redis::cmd("LLEN").arg(key).query_async(&mut self.connection()).await?;
        Ok(DEPTH.saturating_sub(depth))
    }

    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        Ok(redis::cmd("PING").query_async(&mut self.connection()).await?)
    }

    pub(super) fn wake(&self) {
        self.0.signals.relay.send_replace(());
        self.0.committed.send_replace(());
    }

    pub(super) fn wakes(&self) -> watch::Receiver<()> {
        self.0.signals.relay.subscribe()
    }

    pub(super) async fn janitor(&self) -> Result<u64, QueueError> {
        let mut removed = 0;
        for config in Lane::ALL.map(|lane| self.config(lane)) {
            removed += self.purge(&config, config.done_jobs_set()).await?;
            let dead = self.purge(&config, config.dead_jobs_set()).await?;
            if dead > 0 {
                // Our handler never fails towards apalis, so this cannot happen while our workers do the work.
                tracing::error!(dead, queue = %config.queue, "apalis gave messages up");
            }
            removed += dead;
        }
        Ok(removed + self.forget_workers().await?)
    }

    async fn purge(&self, config: &Config, ended: String) -> Result<u64, QueueError> {
        let mut call = self.0.purge.prepare_invoke();
        call.key(ended).key(config.job_data_hash()).key(config.job_meta_hash()).arg(PURGE_AT_ONCE);
        let mut total = 0;
        loop {
            let removed: u64 = call.invoke_async(&mut self.connection()).await?;
            total += removed;
            if removed < PURGE_AT_ONCE as u64 {
                return Ok(total);
            }
        }
    }

    /// Removes the metadata of workers that are no longer registered, which apalis-redis keeps for ever.
    async fn forget_workers(&self) -> Result<u64, QueueError> {
        let mut connection = self.connection();
        let pattern = format!("{}:*:workers:metadata:*", self.0.namespace);
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            for key in keys {
                let Some((workers, worker)) = key.split_once(":metadata:") else { continue };
                let seen: Option<f64> =
                    redis::cmd("ZSCORE").arg(workers).arg(worker).query_async(&mut connection).await?;
                if seen.is_none() {
                    removed += redis::cmd("UNLINK").arg(&key).query_async::<u64>(&mut connection).await?;
                }
            }
            if next == 0 {
                return Ok(removed);
            }
            cursor = next;
        }
    }

    fn fresh_name(&self) -> String {
        // The dot keeps apalis from taking it for a ULID or a number and writing it back in another spelling.
        format!("{}.{}", self.0.channels.own, self.0.next_name.fetch_add(1, Ordering::Relaxed))
    }
}

/// What opens connections to the server at `url`; for whatever else in this crate keeps something in Redis as well.
pub(crate) fn client(url: &SecretString) -> Result<Client, RedisError> {
    Client::open(url.expose_secret().into_connection_info()?.set_tcp_settings(tcp_settings()))
}

fn manager_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_max_delay(Duration::from_millis(500))
        // Few: whoever asks while Redis is away should hear so soon; the next request tries again.
        .set_number_of_retries(2)
}

/// Notices a server that vanished without closing its connections.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15));
    give_up_unanswered(TcpSettings::default().set_nodelay(true).set_keepalive(keepalive))
}

#[cfg(target_os = "linux")]
fn give_up_unanswered(settings: TcpSettings) -> TcpSettings {
    settings.set_user_timeout(Duration::from_secs(20))
}

/// Other systems can only be told by their own settings.
#[cfg(not(target_os = "linux"))]
fn give_up_unanswered(settings: TcpSettings) -> TcpSettings {
    settings
}
