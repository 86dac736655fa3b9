//! Rate limits: at most N in any window of a length, per user and class, exactly (a sliding log).
//!
//! A fixed window would let twice the limit through at its seam, and a token bucket likewise; a log of times does not.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::tier::Limits;
use shared::ids::UserId;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Submitting intents.
    Intents,
    /// Everything else that needs a token.
    Requests,
}

/// How a user stands in the tightest window, for the `RateLimit-…` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The window's limit.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// Whole seconds until one more is free.
    pub reset: u64,
    /// Whether this one was let in.
    pub allowed: bool,
}

/// When something was let in, in order.
type Times = VecDeque<DateTime<Utc>>;

/// The times of what was let in. Refusals are not counted: whoever waits as told is let in.
#[derive(Debug, Default)]
pub struct Limiter {
    seen: Mutex<HashMap<(UserId, Class), Times>>,
}

/// From how many users on idle ones are forgotten.
const FORGET_FROM: usize = 10_000;

impl Limiter {
    /// Lets one more in, unless a window is full.
    pub fn admit(&self, user: UserId, class: Class, limits: &Limits, now: DateTime<Utc>) -> Standing {
        self.admit_many(user, class, (limits, 1), now)
    }

    /// Lets `count` in together, or none of them.
    pub fn admit_many(
        &self,
        user: UserId,
        class: Class,
        (limits, count): (&Limits, usize),
        now: DateTime<Utc>,
    ) -> Standing {
        let windows = match class {
            Class::Intents => {
                vec![(TimeDelta::minutes(1), limits.intents_per_minute), (TimeDelta::hours(1), limits.intents_per_hour)]
            }
            Class::Requests => vec![(TimeDelta::minutes(1), limits.requests_per_minute)],
        };
        let longest = windows.iter().map(|(length, _)| *length).max().unwrap_or_default();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() > FORGET_FROM {
            seen.retain(|_, times| times.back().is_some_and(|last| *last > now - TimeDelta::hours(1)));
        }
        let times = seen.entry((user, class)).or_default();
        while times.front().is_some_and(|first| *first <= now - longest) {
            times.pop_front();
        }
        let allowed = windows.iter().all(|(length, limit)| used(times, now - *length) + count <= *limit as usize);
        if allowed {
            times.extend(std::iter::repeat_n(now, count));
        }
        let standings = windows.iter().map(|(length, limit)| standing(times, (*length, *limit), now, count));
        let mut tightest = standings.min_by_key(|s| (s.remaining, std::cmp::Reverse(s.reset))).unwrap_or(Standing {
            limit: 0,
            remaining: 0,
            reset: 0,
            allowed,
        });
        tightest.allowed = allowed;
        tightest
    }
}

/// How many fall after `since`; the times are sorted.
fn used(times: &Times, since: DateTime<Utc>) -> usize {
    times.len() - times.partition_point(|at| *at <= since)
}

fn standing(times: &Times, (length, limit): (TimeDelta, u32), now: DateTime<Utc>, count: usize) -> Standing {
    let used = used(times, now - length);
    let remaining = (limit as usize).saturating_sub(used);
    // The one whose leaving makes room for `count` more.
    let leaves = times.len().checked_sub(used).map_or(0, |first| first + count.saturating_sub(remaining).max(1) - 1);
    let free_at = times.get(leaves).map_or(now, |at| *at + length);
    let millis = (free_at - now).num_milliseconds().max(0) as u64;
    Standing {
        limit,
        remaining: remaining as u32,
        reset: millis.div_ceil(1_000).max(u64::from(remaining == 0)),
        allowed: true,
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::tier::{Tier, Tiers};

    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-01-15T09:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_eleventh_intent_in_a_minute_waits_exactly_until_the_first_is_a_minute_old() {
        let (limiter, tiers, user) = (Limiter::default(), Tiers::default(), UserId::new(start()));
        let limits = tiers.limits(Tier::FreeTrial);
        for i in 0..10 {
            let standing = limiter.admit(user, Class::Intents, limits, start() + TimeDelta::seconds(i));
            assert!(standing.allowed);
            assert_eq!(standing.remaining, 9 - i as u32);
        }
        let refused = limiter.admit(user, Class::Intents, limits, start() + TimeDelta::seconds(10));
        assert!(!refused.allowed);
        assert_eq!(refused.reset, 50);
        let almost = start() + TimeDelta::milliseconds(59_999);
        assert!(!limiter.admit(user, Class::Intents, limits, almost).allowed);
        assert!(limiter.admit(user, Class::Intents, limits, start() + TimeDelta::seconds(60)).allowed);
        assert!(!limiter.admit(user, Class::Intents, limits, start() + TimeDelta::seconds(60)).allowed);
    }

    #[test]
    fn the_hour_counts_as_well_and_other_users_do_not() {
        let (limiter, tiers, user) = (Limiter::default(), Tiers::default(), UserId::new(start()));
        let limits = tiers.limits(Tier::FreeTrial);
        for i in 0..100 {
            assert!(limiter.admit(user, Class::Intents, limits, start() + TimeDelta::seconds(i * 10)).allowed);
        }
        let later = start() + TimeDelta::seconds(1_100);
        let refused = limiter.admit(user, Class::Intents, limits, later);
        assert!(!refused.allowed);
        assert_eq!((refused.limit, refused.reset), (100, 2_500));
        assert!(limiter.admit(UserId::new(start()), Class::Intents, limits, later).allowed);
        assert!(limiter.admit(user, Class::Requests, limits, later).allowed);
    }

    #[test]
    fn a_batch_is_let_in_whole_or_not_at_all() {
        let (limiter, tiers, user) = (Limiter::default(), Tiers::default(), UserId::new(start()));
        let limits = tiers.limits(Tier::FreeTrial);
        assert!(limiter.admit_many(user, Class::Intents, (limits, 8), start()).allowed);
        assert!(!limiter.admit_many(user, Class::Intents, (limits, 3), start()).allowed);
        assert!(limiter.admit_many(user, Class::Intents, (limits, 2), start()).allowed);
    }
}
