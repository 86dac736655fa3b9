//! Both stores against a naive limiter that keeps everything and counts it anew each time, over random histories.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::limiter::{Limiter, Window};
use tokio::runtime::Runtime;

use super::{PATIENT, after, on, window};
use crate::harness::redis;

/// One thing that happens, and how many µs after the one before it.
#[derive(Debug, Clone)]
enum Event {
    Admit(u32),
    /// Gives back one of those that were let in; the number picks which.
    Release(usize),
}

/// The limits of a short and a long window, and what happens, with the µs that pass before it.
type History = ([u32; 2], Vec<(i64, Event)>);

fn history() -> impl Strategy<Value = History> {
    let passes = prop_oneof![Just(0_i64), 0..3_i64, 0..2_000_000_i64, 0..15_000_000_i64];
    let event = prop_oneof![
        6 => (0..4_u32).prop_map(Event::Admit),
        1 => (0..20_usize).prop_map(Event::Release),
    ];
    ((1..5_u32, 1..10_u32).prop_map(<[u32; 2]>::from), proptest::collection::vec((passes, event), 0..40))
}

/// When something was let in, in µs after the start.
#[derive(Default)]
struct Naive(Vec<i64>);

impl Naive {
    fn used(&self, window: &Window, now: i64) -> usize {
        let length = window.length.num_microseconds().expect("a short window");
        self.0.iter().filter(|at| now - **at < length).count()
    }

    fn fits(&self, windows: &[Window], count: u32, now: i64) -> bool {
        windows.iter().all(|w| self.used(w, now) + count as usize <= w.limit as usize)
    }

    /// The whole seconds to wait for a place; none if there will never be one.
    fn wait(&self, windows: &[Window], count: u32, now: i64) -> Option<u64> {
        (0..=60).find(|second| self.fits(windows, count, now + second * 1_000_000)).map(i64::unsigned_abs)
    }

    fn remaining(&self, windows: &[Window], now: i64) -> usize {
        windows.iter().map(|w| w.limit as usize - self.used(w, now)).min().expect("a window")
    }
}

async fn follow(limiter: &Limiter, key: &str, (limits, events): &History) {
    let windows = [window(10, limits[0]), window(60, limits[1])];
    let (mut naive, mut now) = (Naive::default(), 0);
    for (passes, event) in events {
        now += passes;
        match event {
            Event::Admit(count) => {
                let allowed = naive.fits(&windows, *count, now);
                let wait = naive.wait(&windows, *count, now);
                let standing = limiter.admit(key, &windows, *count, after(now)).await;
                assert_eq!(standing.allowed, allowed, "{standing:?} at {now}");
                if allowed {
                    naive.0.extend(std::iter::repeat_n(now, *count as usize));
                    assert_eq!(standing.remaining as usize, naive.remaining(&windows, now), "{standing:?} at {now}");
                } else if let Some(wait) = wait {
                    assert_eq!(standing.reset, wait, "{standing:?} at {now}");
                }
            }
            Event::Release(pick) if !naive.0.is_empty() => {
                let at = naive.0.remove(pick % naive.0.len());
                limiter.release(key, after(at)).await;
            }
            Event::Release(_) => {}
        }
    }
}

/// Every history has a key of its own.
fn follow_many(cases: u32, runtime: &Runtime, limiter: &Limiter) {
    let number = AtomicU32::new(0);
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&history(), |history| {
        let key = format!("history-{}", number.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(follow(limiter, &key, &history));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_limiter_in_memory_decides_as_the_naive_one() {
    let runtime = Runtime::new().expect("a runtime");
    follow_many(4_000, &runtime, &Limiter::memory());
}

#[test]
fn the_limiter_on_redis_decides_as_the_naive_one() {
    let runtime = Runtime::new().expect("a runtime");
    let limiter = runtime.block_on(on(&redis::shared().url, PATIENT));
    follow_many(150, &runtime, &limiter);
}
