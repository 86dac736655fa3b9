//! The limiter: one suite for both of its stores, a model, and what only Redis can show: several processes, an outage.
//!
//! `both_stores!` makes `name::memory` and `name::redis` of one test; `model.rs` compares both with a naive limiter.

mod model;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use shared::limiter::{Limiter, Standing, Window};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep};

use crate::harness::engines::start;
use crate::harness::redis::{self, RedisServer};

const INTENTS: [Window; 2] = [window(60, 10), window(3_600, 100)];
const TEN: [Window; 1] = [window(3_600, 10)];
/// For tests whose Redis answers: long enough that a slow machine is not taken for an outage.
const PATIENT: Duration = Duration::from_secs(10);
/// How long anything may take before the test fails.
const LONG: Duration = Duration::from_secs(30);

/// Makes the tests `name::memory` and `name::redis` of each function.
macro_rules! both_stores {
    ($(async fn $name:ident($limiter:ident: Limiter) $body:block)+) => { $(
        async fn $name($limiter: Limiter) $body

        mod $name {
            use shared::limiter::Limiter;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                super::$name(Limiter::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                super::$name(super::on(&super::redis::shared().url, super::PATIENT).await).await;
            }
        }
    )+ };
}

const fn window(seconds: i64, limit: u32) -> Window {
    Window { length: TimeDelta::seconds(seconds), limit }
}

async fn on(url: &str, patience: Duration) -> Limiter {
    Limiter::redis(&SecretString::from(url), "limit:", patience).await.expect("a limiter")
}

fn after(micros: i64) -> DateTime<Utc> {
    start() + TimeDelta::microseconds(micros)
}

/// One at a time that is given in seconds.
async fn intent(limiter: &Limiter, key: &str, second: i64) -> Standing {
    limiter.admit(key, &INTENTS, 1, after(second * 1_000_000)).await
}

/// How many of 200 at once are let in through these limiters, where 50 have room.
async fn rush(limiters: &[Limiter]) -> usize {
    let mut tasks = JoinSet::new();
    for (n, limiter) in (0..200).zip(limiters.iter().cycle().cloned()) {
        tasks.spawn(async move { limiter.admit("all", &[window(60, 50)], 1, after(n % 7)).await });
    }
    tasks.join_all().await.iter().filter(|standing| standing.allowed).count()
}

/// Takes all that is left of `TEN`, and says how many that was.
async fn use_up(limiter: &Limiter, key: &str) -> usize {
    let mut taken = 0;
    while limiter.admit(key, &TEN, 1, start()).await.allowed {
        taken += 1;
        assert!(taken <= 10, "there is no limit");
    }
    taken
}

both_stores! {
    async fn the_eleventh_in_a_minute_waits_exactly_until_the_first_is_a_minute_old(limiter: Limiter) {
        for i in 0..10 {
            let standing = intent(&limiter, "ada", i).await;
            let remaining = 9 - u32::try_from(i).expect("a small number");
            assert_eq!(standing, Standing { limit: 10, remaining, reset: 60 - i.unsigned_abs(), allowed: true });
        }
        let refused = intent(&limiter, "ada", 10).await;
        assert_eq!(refused, Standing { limit: 10, remaining: 0, reset: 50, allowed: false });
        let almost = limiter.admit("ada", &INTENTS, 1, after(59_999_999)).await;
        assert_eq!((almost.allowed, almost.reset), (false, 1));
        let a_little_more_than_a_second = limiter.admit("ada", &INTENTS, 1, after(58_999_999)).await;
        assert_eq!(a_little_more_than_a_second.reset, 2);
        assert!(intent(&limiter, "ada", 60).await.allowed);
        assert!(!intent(&limiter, "ada", 60).await.allowed);
    }

    async fn the_longer_window_counts_as_well_and_other_keys_do_not(limiter: Limiter) {
        for i in 0..100 {
            assert!(intent(&limiter, "ada", i * 10).await.allowed);
        }
        let refused = intent(&limiter, "ada", 1_100).await;
        assert_eq!(refused, Standing { limit: 100, remaining: 0, reset: 2_500, allowed: false });
        assert!(intent(&limiter, "eve", 1_100).await.allowed);
        assert!(!intent(&limiter, "ada", 3_599).await.allowed);
        assert!(intent(&limiter, "ada", 3_600).await.allowed);
        assert!(!intent(&limiter, "ada", 3_609).await.allowed);
        assert!(intent(&limiter, "ada", 3_610).await.allowed);
    }

    async fn several_are_let_in_together_or_none_of_them(limiter: Limiter) {
        let admit = async |count, second: i64| limiter.admit("ada", &INTENTS, count, after(second * 1_000_000)).await;
        assert!(admit(8, 0).await.allowed);
        let refused = admit(3, 1).await;
        assert_eq!(refused, Standing { limit: 10, remaining: 2, reset: 59, allowed: false });
        assert_eq!(admit(2, 1).await, Standing { limit: 10, remaining: 0, reset: 59, allowed: true });
        assert!(admit(0, 1).await.allowed);
        assert!(!admit(9, 60).await.allowed);
        assert!(admit(8, 60).await.allowed);
    }

    async fn to_ask_for_none_takes_nothing_and_tells_how_long_a_full_window_takes(limiter: Limiter) {
        let ask = async |second: i64| limiter.admit("ada", &TEN, 0, after(second * 1_000_000)).await;
        assert_eq!(ask(0).await.remaining, 10);
        assert!(limiter.admit("ada", &TEN, 9, after(0)).await.allowed);
        assert_eq!(ask(10).await.remaining, 1);
        assert!(limiter.admit("ada", &TEN, 1, after(10_000_000)).await.allowed);
        let full = ask(20).await;
        assert_eq!((full.remaining, full.reset), (0, 3_580));
    }

    async fn what_never_fits_is_told_to_wait_a_whole_window_and_costs_nothing(limiter: Limiter) {
        let refused = limiter.admit("ada", &INTENTS, 11, start()).await;
        assert_eq!(refused, Standing { limit: 10, remaining: 10, reset: 60, allowed: false });
        assert!(limiter.admit("ada", &INTENTS, 10, start()).await.allowed);
    }

    async fn a_refusal_names_the_window_that_takes_longest(limiter: Limiter) {
        let windows = [window(60, 10), window(3_600, 11)];
        let admit = async |count, second: i64| limiter.admit("ada", &windows, count, after(second * 1_000_000)).await;
        assert!(admit(8, 0).await.allowed);
        assert_eq!(admit(5, 10).await, Standing { limit: 11, remaining: 3, reset: 3_590, allowed: false });
        assert!(!admit(5, 3_599).await.allowed);
        assert!(admit(5, 3_600).await.allowed);
    }

    async fn a_limit_that_was_lowered_is_waited_for_truly(limiter: Limiter) {
        for i in 0..10 {
            assert!(intent(&limiter, "ada", i).await.allowed);
        }
        let lower = [window(60, 4), window(3_600, 100)];
        let admit = async |second: i64| limiter.admit("ada", &lower, 1, after(second * 1_000_000)).await;
        assert_eq!(admit(10).await, Standing { limit: 4, remaining: 0, reset: 56, allowed: false });
        assert!(!admit(65).await.allowed);
        assert!(admit(66).await.allowed);
    }

    async fn a_place_that_was_given_back_is_free_again_and_only_that_one(limiter: Limiter) {
        for i in 0..10 {
            assert!(intent(&limiter, "ada", i).await.allowed);
        }
        limiter.release("ada", after(7)).await;
        limiter.release("eve", after(0)).await;
        assert!(!intent(&limiter, "ada", 10).await.allowed);
        limiter.release("ada", after(3_000_000)).await;
        assert!(intent(&limiter, "ada", 10).await.allowed);
        assert!(!intent(&limiter, "ada", 10).await.allowed);
        limiter.release("ada", after(3_000_000)).await;
        assert!(!intent(&limiter, "ada", 10).await.allowed);
    }

    async fn places_of_one_moment_are_given_back_one_by_one(limiter: Limiter) {
        let admit = async |count| limiter.admit("ada", &TEN, count, start()).await;
        assert_eq!(admit(5).await.remaining, 5);
        limiter.release("ada", start()).await;
        limiter.release("ada", start()).await;
        assert_eq!(admit(1).await.remaining, 6);
        limiter.release("ada", start()).await;
        assert_eq!(admit(7).await.remaining, 0);
        assert!(!admit(1).await.allowed);
    }

    async fn of_two_hundred_at_once_exactly_fifty_are_let_in(limiter: Limiter) {
        assert_eq!(rush(&[limiter]).await, 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_redis_share_one_budget() {
    let url = redis::shared().url;
    let (one, other) = (on(&url, PATIENT).await, on(&url, PATIENT).await);
    assert_eq!(rush(&[one.clone(), other.clone()]).await, 50);
    assert_eq!(one.admit("ada", &TEN, 4, start()).await.remaining, 6);
    assert_eq!(other.admit("ada", &TEN, 4, start()).await.remaining, 2);
    one.release("ada", start()).await;
    assert_eq!(other.admit("ada", &TEN, 1, start()).await.remaining, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_limits_by_itself_while_redis_is_away_and_together_with_the_others_after_it() {
    let mut server = block_in_place(RedisServer::start);
    let (one, other) = (on(&server.url(), PATIENT).await, on(&server.url(), PATIENT).await);
    assert_eq!((use_up(&one, "ada").await, use_up(&other, "ada").await), (10, 0));
    block_in_place(|| server.kill());
    assert_eq!((use_up(&one, "ada").await, use_up(&other, "ada").await), (10, 10));
    // What was let in meanwhile can be given back as well.
    one.release("ada", start()).await;
    assert_eq!((use_up(&one, "ada").await, use_up(&other, "ada").await), (1, 0));
    block_in_place(|| server.restart());
    count_together(&one, &other).await;
    assert_eq!((use_up(&one, "ada").await, use_up(&other, "ada").await), (0, 0));
    assert_eq!(use_up(&one, "eve").await + use_up(&other, "eve").await, 10);
}

/// Waits until both ask Redis again: until one sees what the other has let in.
async fn count_together(one: &Limiter, other: &Limiter) {
    let deadline = Instant::now() + LONG;
    for round in 0.. {
        let key = format!("round-{round}");
        let once = [window(3_600, 1)];
        let first = one.admit(&key, &once, 1, start()).await;
        let second = other.admit(&key, &once, 1, start()).await;
        assert!(first.allowed, "nobody has used {key}");
        if !second.allowed {
            return;
        }
        assert!(Instant::now() < deadline, "Redis is not asked again");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer_holds_nobody_up_for_long() {
    let server = block_in_place(RedisServer::start);
    let limiter = on(&server.url(), Duration::from_millis(300)).await;
    let stall = Duration::from_secs(5);
    let begin = Instant::now();
    server.stall(stall);
    // Those of the first 300 ms wait for it, and one in each second after that.
    for round in 0..20 {
        assert_eq!(use_up(&limiter, &format!("round-{round}")).await, 10);
    }
    assert!(begin.elapsed() < stall / 2, "{:?}", begin.elapsed());
}
