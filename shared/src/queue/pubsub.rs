//! Wake-ups between processes: one Redis subscription per process, opened again whenever it breaks.
//!
//! Everything in here only makes things faster. A wake-up that Redis loses is made up for by the workers' tick and by the
//! relay's slow poll, so errors are traced and nobody waits for them. For one more kind of wake-up: a channel, and a
//! sender in [`Signals`].

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, PubSub, PubSubSink};
use redis::{Client, Msg, RedisError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::job::Lane;

const PATIENCE: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The names of the channels.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    pub relay: String,
    pub lanes: [String; Lane::ALL.len()],
    /// What this process says on the relay's channel, so that it can ignore itself.
    pub own: String,
}

/// Where wake-ups come out in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    pub relay: watch::Sender<()>,
    pub lanes: [watch::Sender<()>; Lane::ALL.len()],
}

impl Signals {
    fn wake_all(&self) {
        self.relay.send_replace(());
        for lane in &self.lanes {
            lane.send_replace(());
        }
    }

    fn wake_for(&self, channels: &Channels, message: &Msg) {
        let channel = message.get_channel_name();
        if channel == channels.relay && message.get_payload_bytes() != channels.own.as_bytes() {
            self.relay.send_replace(());
        }
        for (lane, _) in self.lanes.iter().zip(&channels.lanes).filter(|(_, name)| channel == *name) {
            lane.send_replace(());
        }
    }
}

/// Passes wake-ups from Redis on to this process, for ever.
pub(super) async fn listen(client: Client, channels: Channels, signals: Signals) {
    let mut pause = FIRST_PAUSE;
    loop {
        match subscribe(&client, &channels).await {
            Ok(subscription) => {
                pause = FIRST_PAUSE;
                // Something may have been said while nobody listened.
                signals.wake_all();
                forward(subscription, &channels, &signals).await;
                tracing::warn!("the subscription to wake-ups broke off");
            }
            Err(error) => tracing::warn!(%error, "cannot subscribe to wake-ups"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells the other processes that rows were committed here; commits during one call to Redis share the next.
pub(super) async fn announce(
    mut connection: ConnectionManager,
    channels: Channels,
    mut committed: watch::Receiver<()>,
) {
    while committed.changed().await.is_ok() {
        let mut command = redis::cmd("PUBLISH");
        command.arg(&channels.relay).arg(&channels.own);
        if let Err(error) = command.query_async::<()>(&mut connection).await {
            tracing::warn!(%error, "cannot wake the relays of other processes");
        }
    }
}

async fn subscribe(client: &Client, channels: &Channels) -> Result<PubSub, RedisError> {
    let opening = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(&channels.relay).await?;
        for lane in &channels.lanes {
            subscription.subscribe(lane).await?;
        }
        Ok::<_, RedisError>(subscription)
    };
    timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Returns when the connection is broken, also when it is so without a sign.
async fn forward(subscription: PubSub, channels: &Channels, signals: &Signals) {
    let (mut sink, mut messages) = subscription.split();
    let mut probe = interval(PROBE);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => signals.wake_for(channels, &message),
                None => return,
            },
            _ = probe.tick() => {
                if !answers(&mut sink).await {
                    return;
                }
            }
        }
    }
}

async fn answers(sink: &mut PubSubSink) -> bool {
    matches!(timeout(PATIENCE, sink.ping::<()>()).await, Ok(Ok(())))
}
