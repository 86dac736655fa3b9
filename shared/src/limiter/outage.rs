//! Whether Redis is away, so that an outage is told once and does not cost every request the time-out.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long Redis is left alone after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// While Redis is away: when somebody may try it again.
#[derive(Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

/// Leave to ask Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// As always.
    Usual,
    /// To see whether it is back. Only such a one ends an outage: an answer to a question from before it says nothing.
    Trial,
}

impl Outage {
    /// Whether the caller may ask Redis; while it is away one caller may, once in each [`PAUSE`].
    pub fn turn(&self, now: Instant) -> Option<Turn> {
        let mut next_trial = self.lock();
        match *next_trial {
            None => Some(Turn::Usual),
            Some(at) if now < at => None,
            Some(_) => {
                *next_trial = Some(now + PAUSE);
                Some(Turn::Trial)
            }
        }
    }

    /// Redis has answered.
    pub fn answered(&self, turn: Turn) {
        if turn == Turn::Trial && self.lock().take().is_some() {
            tracing::info!("Redis answers again: limits are counted by all processes together");
        }
    }

    /// Redis has not answered.
    pub fn failed(&self, error: &dyn Display, now: Instant) {
        if self.lock().replace(now + PAUSE).is_none() {
            tracing::warn!(%error, "Redis does not answer: limits are counted by each process for itself");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lets_one_in_a_second_try_and_ends_with_the_first_that_succeeds() {
        let (outage, start) = (Outage::default(), Instant::now());
        assert_eq!(outage.turn(start), Some(Turn::Usual));
        outage.failed(&"gone", start);
        assert_eq!(outage.turn(start + PAUSE / 2), None);
        assert_eq!(outage.turn(start + PAUSE), Some(Turn::Trial));
        assert_eq!(outage.turn(start + PAUSE), None);
        outage.failed(&"still gone", start + PAUSE);
        assert_eq!(outage.turn(start + PAUSE * 3 / 2), None);
        assert_eq!(outage.turn(start + PAUSE * 2), Some(Turn::Trial));
        outage.answered(Turn::Usual);
        assert_eq!(outage.turn(start + PAUSE * 2), None);
        outage.answered(Turn::Trial);
        assert_eq!(outage.turn(start + PAUSE * 2), Some(Turn::Usual));
    }
}
