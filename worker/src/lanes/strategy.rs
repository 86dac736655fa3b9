//! When to look for messages on Redis: at once when somebody says that some arrived, and now and then in any case.
//!
//! It replaces apalis' strategies, all of which can lose a wake-up and leave a worker deaf until its next heartbeat. For
//! one more reason to look: another source in [`SafeStrategy::poll_signal`], polled until it is pending.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Remembers nothing: whoever is told to look must do so, or keep it in mind.
pub(super) struct SafeStrategy {
    arrivals: Option<BoxStream<'static, ()>>,
    tick: Interval,
}

impl SafeStrategy {
    /// Looks when `arrivals` changes, and every `period` in case a change went unheard.
    pub fn new(arrivals: watch::Receiver<()>, period: Duration) -> Self {
        let mut tick = interval_at(Instant::now() + period, period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let arrivals = stream::unfold(arrivals, |mut arrivals| async move {
            arrivals.changed().await.ok()?;
            Some(((), arrivals))
        });
        Self { arrivals: Some(arrivals.boxed()), tick }
    }

    /// Whether there is a reason to look now; either way the task of `cx` is woken when there is the next.
    pub fn poll_signal(&mut self, cx: &mut Context<'_>) -> bool {
        let mut signalled = false;
        // Each source is polled until it is pending, because only then has it registered the waker.
        while let Some(arrivals) = &mut self.arrivals {
            match arrivals.poll_next_unpin(cx) {
                Poll::Ready(Some(())) => signalled = true,
                Poll::Ready(None) => self.arrivals = None,
                Poll::Pending => break,
            }
        }
        while self.tick.poll_tick(cx).is_ready() {
            signalled = true;
        }
        signalled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    fn look(strategy: &mut SafeStrategy) -> bool {
        strategy.poll_signal(&mut Context::from_waker(std::task::Waker::noop()))
    }

    async fn wait(strategy: &mut SafeStrategy) {
        poll_fn(|cx| if strategy.poll_signal(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test]
    async fn arrivals_between_two_looks_count_as_one_and_are_never_lost() {
        let arrivals = watch::Sender::new(());
        let mut strategy = SafeStrategy::new(arrivals.subscribe(), NEVER);
        assert!(!look(&mut strategy));
        arrivals.send_replace(());
        arrivals.send_replace(());
        assert!(look(&mut strategy));
        assert!(!look(&mut strategy));
        arrivals.send_replace(());
        wait(&mut strategy).await;
    }

    #[tokio::test]
    async fn the_tick_goes_on_when_nobody_can_announce_arrivals_any_more() {
        let mut strategy = SafeStrategy::new(watch::Sender::new(()).subscribe(), Duration::from_millis(1));
        for _ in 0..3 {
            wait(&mut strategy).await;
        }
    }
}
