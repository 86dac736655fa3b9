//! The limiter inside one process: a sorted list of times for each key.
//!
//! Strangers can make keys, one for each network and each address that they type, so the number of keys is bounded: when
//! it is reached, those that matter least are forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Ask, Fill, Standing, Window};

/// After how many admissions idle keys are looked for, at the earliest.
const LOOK_AFTER: usize = 10_000;
/// The most keys; one with a single time takes about 250 bytes.
const KEYS: usize = 100_000;

/// A limiter inside this process. Cloning shares it.
#[derive(Clone, Default)]
pub struct MemoryLimiter(Arc<Mutex<Logs>>);

#[derive(Default)]
struct Logs {
    by_key: HashMap<String, Log>,
    /// Since idle keys were last looked for.
    admissions: usize,
}

/// When something was let in, in µs since 1970, in order.
#[derive(Default)]
struct Log {
    times: VecDeque<i64>,
    /// How long a time matters, in µs.
    longest: i64,
}

impl MemoryLimiter {
    pub(super) fn admit(&self, ask: &Ask<'_>) -> Standing {
        let mut logs = self.lock();
        logs.make_room(ask.now);
        let log = logs.by_key.entry(ask.key.to_owned()).or_default();
        let standing = log.admit(ask);
        if log.times.is_empty() {
            logs.by_key.remove(ask.key);
        }
        standing
    }

    pub(super) fn release(&self, key: &str, at: i64) {
        let mut logs = self.lock();
        let Some(log) = logs.by_key.get_mut(key) else { return };
        log.release(at);
        if log.times.is_empty() {
            logs.by_key.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logs {
    /// Looks through all keys only after half as many admissions as there are keys, so that it costs each admission next
    /// to nothing.
    fn make_room(&mut self, now: i64) {
        self.admissions += 1;
        let full = self.by_key.len() >= KEYS;
        if full || self.admissions >= LOOK_AFTER.max(self.by_key.len() / 2) {
            self.forget_idle(now);
        }
        if full && self.by_key.len() > KEYS / 2 {
            self.forget_lightest();
        }
    }

    fn forget_idle(&mut self, now: i64) {
        self.admissions = 0;
        self.by_key.retain(|_, log| log.times.back().is_some_and(|last| *last > now.saturating_sub(log.longest)));
        self.by_key.shrink_to(2 * self.by_key.len());
    }

    /// Forgets half of the keys, or more if many weigh the same. Whoever wants a log of many guesses to be forgotten has
    /// to make tens of thousands of keys with more in them.
    fn forget_lightest(&mut self) {
        let mut weights: Vec<_> = self.by_key.values().map(Log::weight).collect();
        let half = weights.len() / 2;
        let (_, &mut median, _) = weights.select_nth_unstable(half);
        self.by_key.retain(|_, log| log.weight() > median);
    }
}

impl Log {
    /// What is to be forgotten first is lightest: little in it, and of these the one that has been quiet the longest.
    fn weight(&self) -> (usize, Option<i64>) {
        (self.times.len(), self.times.back().copied())
    }

    fn admit(&mut self, ask: &Ask<'_>) -> Standing {
        self.longest = ask.longest();
        let old = self.up_to(ask.now.saturating_sub(self.longest));
        self.times.drain(..old);
        let allowed = ask.windows.iter().all(|window| ask.fits(window, self.used(window, ask.now)));
        if allowed {
            self.insert(ask.now, ask.count);
        }
        ask.standing(allowed, ask.windows.iter().map(|window| self.fill(window, ask)))
    }

    /// Tasks read the clock before they get here, so one that comes later may bring an earlier time.
    fn insert(&mut self, now: i64, count: u32) {
        let place = self.up_to(now);
        for _ in 0..count {
            self.times.insert(place, now);
        }
    }

    fn release(&mut self, at: i64) {
        if let Ok(place) = self.times.binary_search(&at) {
            self.times.remove(place);
        }
    }

    fn fill(&self, window: &Window, ask: &Ask<'_>) -> Fill {
        let used = self.used(window, ask.now);
        let last_to_leave = self.times.len() - used + ask.must_leave(window, used) - 1;
        Fill { used, waits_for: self.times.get(last_to_leave).copied() }
    }

    fn used(&self, window: &Window, now: i64) -> usize {
        self.times.len() - self.up_to(window.since(now))
    }

    /// How many times are not after `at`.
    fn up_to(&self, at: i64) -> usize {
        self.times.partition_point(|time| *time <= at)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn admit(limiter: &MemoryLimiter, key: &str, now: i64) -> Standing {
        let windows = [Window { length: TimeDelta::microseconds(100), limit: 2 }];
        limiter.admit(&Ask { key, windows: &windows, count: 1, now })
    }

    #[test]
    fn idle_keys_are_forgotten_and_no_others() {
        let limiter = MemoryLimiter::default();
        for i in 2..LOOK_AFTER {
            admit(&limiter, &format!("idle-{i}"), 0);
        }
        assert!(admit(&limiter, "busy", 50).allowed);
        assert_eq!(limiter.lock().by_key.len(), LOOK_AFTER - 1);
        assert!(admit(&limiter, "another", 100).allowed);
        assert_eq!(limiter.lock().by_key.len(), 2);
        assert!(admit(&limiter, "busy", 100).allowed);
        assert!(!admit(&limiter, "busy", 100).allowed);
    }

    #[test]
    fn looking_for_idle_keys_stays_rare_when_there_are_none() {
        let limiter = MemoryLimiter::default();
        for i in 0..5 * LOOK_AFTER {
            admit(&limiter, &format!("busy-{i}"), 0);
        }
        // The last time was when there were 40,000, so that the next is 20,000 admissions later at the earliest.
        assert_eq!(limiter.lock().by_key.len(), 5 * LOOK_AFTER);
        let before = limiter.lock().admissions;
        for _ in 0..LOOK_AFTER {
            admit(&limiter, "busy-0", 0);
        }
        assert_eq!(limiter.lock().admissions, before + LOOK_AFTER);
    }

    #[test]
    fn however_many_keys_strangers_make_there_is_room_and_the_fullest_are_kept() {
        let limiter = MemoryLimiter::default();
        assert!(admit(&limiter, "guessed", 0).allowed);
        assert!(admit(&limiter, "guessed", 0).allowed);
        for i in 0..2 * KEYS {
            assert!(admit(&limiter, &format!("made-up-{i}"), i as i64 * 90 / (2 * KEYS as i64)).allowed);
            assert!(limiter.lock().by_key.len() <= KEYS);
        }
        assert!(!admit(&limiter, "guessed", 90).allowed);
    }

    #[test]
    fn a_key_without_times_takes_no_room() {
        let limiter = MemoryLimiter::default();
        admit(&limiter, "ada", 0);
        limiter.release("ada", 0);
        limiter.admit(&Ask { key: "eve", windows: &[], count: 0, now: 0 });
        assert!(limiter.lock().by_key.is_empty());
    }

    #[test]
    fn an_earlier_time_that_comes_late_is_put_in_its_place() {
        let limiter = MemoryLimiter::default();
        assert!(admit(&limiter, "ada", 20).allowed);
        assert!(admit(&limiter, "ada", 10).allowed);
        assert!(!admit(&limiter, "ada", 109).allowed);
        assert!(admit(&limiter, "ada", 110).allowed);
        assert!(!admit(&limiter, "ada", 119).allowed);
        assert!(admit(&limiter, "ada", 120).allowed);
    }
}
