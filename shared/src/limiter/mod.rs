//! Limits by rate: at most N in any window of a length, exactly, counted in this process or by all processes together.
//!
//! The limiter keeps a log of the times at which something was let in. A fixed window would let twice the limit through
//! at its seam, and a token bucket likewise; a log does not. The price is space: each time takes 8 bytes in a process
//! (up to twice that while the log grows) and about 120 bytes in Redis, so the fullest log there is, the 100,000 intents
//! in an hour of an enterprise, takes 1 MB or 12 MB. A log is forgotten when all of it is older than its longest window,
//! and in a process also when there are too many of them.
//!
//! What is limited, under which key and in which windows, is said where it is asked for. For one more store: a variant of
//! [`Limiter`] that passes the suite in `tests/limiter`.

mod memory;
mod outage;
mod redis;
mod scripts;

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;

pub use self::memory::MemoryLimiter;
pub use self::redis::RedisLimiter;

/// In µs.
const SECOND: u64 = 1_000_000;

/// At most `limit` in any stretch of time of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How long it is; what was let in exactly that long ago counts no more.
    pub length: TimeDelta,
    /// How many are let in.
    pub limit: u32,
}

/// How somebody stands in the tightest window: after a refusal the one that keeps them out longest, else the one that has
/// least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The window's limit.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// Whole seconds, rounded up, until the window has room for as many again, at least one. For more at once than the
    /// limit, which are never let in, the length of the window.
    pub reset: u64,
    /// Whether they were let in.
    pub allowed: bool,
}

/// Counts what is let in. Cloning shares the counts.
#[derive(Clone)]
pub enum Limiter {
    /// Inside this process.
    Memory(MemoryLimiter),
    /// Between any number of processes.
    Redis(RedisLimiter),
}

impl Limiter {
    /// A limiter inside this process; it knows nothing of what was let in before it.
    pub fn memory() -> Self {
        Self::Memory(MemoryLimiter::default())
    }

    /// A limiter on a Redis server, where every key begins with `prefix`. While Redis is away or takes longer than
    /// `patience`, each process limits by itself.
    pub async fn redis(url: &SecretString, prefix: &str, patience: Duration) -> Result<Self, ::redis::RedisError> {
        RedisLimiter::connect(url, prefix, patience).await.map(Self::Redis)
    }

    /// Lets `count` in together at `now`, or none of them if any window has no room for them. Refusals are not counted:
    /// whoever waits as told is let in, if nobody else was quicker. With a `count` of 0 nothing is taken, and the standing
    /// tells what is left and, where that is nothing, how long until there is a place.
    ///
    /// A key comes with windows of the same lengths each time; their limits may change. It may be seen by whoever looks
    /// into Redis, and must not let users choose all of its text: hash what they type.
    pub async fn admit(&self, key: &str, windows: &[Window], count: u32, now: DateTime<Utc>) -> Standing {
        let ask = Ask { key, windows, count, now: now.timestamp_micros() };
        match self {
            Self::Memory(limiter) => limiter.admit(&ask),
            Self::Redis(limiter) => limiter.admit(&ask).await,
        }
    }

    /// Takes one that was let in at `at` out of the log, as if it had never been.
    pub async fn release(&self, key: &str, at: DateTime<Utc>) {
        match self {
            Self::Memory(limiter) => limiter.release(key, at.timestamp_micros()),
            Self::Redis(limiter) => limiter.release(key, at.timestamp_micros()).await,
        }
    }
}

impl Window {
    fn micros(&self) -> i64 {
        self.length.num_microseconds().unwrap_or(i64::MAX)
    }

    /// The last moment that no longer counts, in µs since 1970.
    fn since(&self, now: i64) -> i64 {
        now.saturating_sub(self.micros())
    }
}

/// What a store is asked: whether there is room for `count` at `now`, in µs since 1970.
struct Ask<'a> {
    key: &'a str,
    windows: &'a [Window],
    count: u32,
    now: i64,
}

/// How full a window is, after the decision.
#[derive(Clone, Copy)]
struct Fill {
    /// How many count in it.
    used: usize,
    /// When the last of those that must leave before as many again have room was let in, if there is such a one.
    waits_for: Option<i64>,
}

impl Ask<'_> {
    /// The longest window, in µs.
    fn longest(&self) -> i64 {
        self.windows.iter().map(Window::micros).max().unwrap_or_default()
    }

    fn fits(&self, window: &Window, used: usize) -> bool {
        used + self.count as usize <= window.limit as usize
    }

    /// How many must leave the window before as many again have room; at least one.
    fn must_leave(&self, window: &Window, used: usize) -> usize {
        (used + self.count as usize).saturating_sub(window.limit as usize).max(1)
    }

    /// The standing in the tightest window; `fills` are in the order of the windows.
    fn standing(&self, allowed: bool, fills: impl IntoIterator<Item = Fill>) -> Standing {
        let each = self.windows.iter().zip(fills).map(|(window, fill)| self.in_window(window, fill, allowed));
        let tightest = each.min_by_key(|s| (s.allowed, if s.allowed { s.remaining } else { 0 }, Reverse(s.reset)));
        tightest.unwrap_or(Standing { limit: 0, remaining: 0, reset: 0, allowed })
    }

    /// `allowed` says whether they were let in; if not, this window may still not be the one to blame.
    fn in_window(&self, window: &Window, fill: Fill, allowed: bool) -> Standing {
        let wait = match fill.waits_for {
            Some(at) => at.saturating_add(window.micros()).saturating_sub(self.now),
            None if self.count > window.limit => window.micros(),
            None => 0,
        };
        Standing {
            limit: window.limit,
            remaining: (window.limit as usize).saturating_sub(fill.used) as u32,
            reset: (wait.max(0) as u64).div_ceil(SECOND),
            allowed: allowed || self.fits(window, fill.used),
        }
    }
}
