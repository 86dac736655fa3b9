//! More sign-ins at once than passwords can be checked.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::address;
use super::client::PASSWORD;
use crate::harness::engines::Settings;

/// 64 find a place then.
const ONE_THREAD: Settings = &[("HASH_THREADS", "1")];
/// More than find a place, but fewer than a network may be wrong.
const AT_ONCE: usize = 150;
/// What a network may be wrong.
const WRONG: usize = 200;

/// A sign-in to an account that does not exist; each time to another one.
fn nobody(number: usize) -> Value {
    json!({"email": address(&format!("nobody-{number}")), "password": PASSWORD})
}

journey! {
    async fn who_finds_no_place_is_told_to_come_again_and_was_not_wrong(site: Site with ONE_THREAD) {
        let client = site.client();
        let mut flood = JoinSet::new();
        for number in 0..AT_ONCE {
            let client = client.clone();
            flood.spawn(async move { client.post("/auth/signin", &nobody(number)).await });
        }
        let (shed, wrong): (Vec<_>, Vec<_>) = flood.join_all().await.into_iter().partition(|a| a.status == 503);
        assert!(!shed.is_empty(), "{AT_ONCE} at once found a place");
        for answer in &shed {
            answer.problem(503, "busy");
            assert_eq!(answer.header("retry-after"), "1");
        }
        for answer in &wrong {
            answer.problem(401, "invalid_credentials");
        }
        // Only those that were looked at have used up a try.
        for number in wrong.len()..WRONG {
            client.post("/auth/signin", &nobody(AT_ONCE + number)).await.problem(401, "invalid_credentials");
        }
        client.post("/auth/signin", &nobody(AT_ONCE + WRONG)).await.problem(429, "rate_limited");
    }
}
