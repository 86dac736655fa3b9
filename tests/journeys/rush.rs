//! Far more intents at once than there are credits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shared::store::{Db, credits};
use tokio::task::JoinSet;

use super::here::Here;
use crate::harness::engines::{Settings, both_engines};

/// The limits by rate have tests of their own.
const UNLIMITED: Settings =
    &[("TIERS_FREE_TRIAL_INTENTS_PER_MINUTE", "1000"), ("TIERS_FREE_TRIAL_INTENTS_PER_HOUR", "1000")];
/// Intents that are submitted together.
const AT_ONCE: usize = 200;

/// Compares balances with ledgers, each time as of one moment, until told to stop; gives how often.
async fn watch(db: Db, stop: Arc<AtomicBool>) -> usize {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) || looks == 0 {
        let mut reader = db.snapshot().await.expect("a reader");
        assert_eq!(credits::unbalanced(&mut reader).await.expect("ledgers"), []);
        looks += 1;
    }
    looks
}

both_engines! {
    async fn of_two_hundred_intents_at_once_ten_credits_pay_for_ten_and_the_ledger_is_right_all_the_time(app: App with UNLIMITED) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await;
        let stop = Arc::new(AtomicBool::new(false));
        let watching = tokio::spawn(watch(here.app.services.db.clone(), Arc::clone(&stop)));
        let mut rush = JoinSet::new();
        for number in 0..AT_ONCE {
            let client = ada.client.clone();
            let intent = json!({"intent": format!("Remind me of number {number}")});
            rush.spawn(async move { client.post("/api/v1/intents", &intent).await });
        }
        let (accepted, refused): (Vec<_>, Vec<_>) =
            rush.join_all().await.into_iter().partition(|answer| answer.status == 202);
        stop.store(true, Ordering::Relaxed);
        assert!(watching.await.expect("a watcher") > 0);
        let mut left: Vec<_> = accepted.iter().map(|answer| answer.must(202)["credits_remaining"].as_i64()).collect();
        left.sort_unstable();
        assert_eq!(left, (0..10).map(Some).collect::<Vec<_>>());
        assert_eq!(refused.len(), AT_ONCE - 10);
        for answer in &refused {
            answer.problem(403, "trial_credits_exhausted");
        }
        assert_eq!(here.app.credits(ada.id).await, 0);
        let listed = ada.client.get("/api/v1/workflows?limit=100").await.must(200);
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(10));
        here.app.check_invariants().await;
    }
}
