//! `kill -9` at any moment: nothing is lost, nothing is done under two names, every credit is accounted for.
//!
//! Sixty workflows are under way, each with two effects on a partner and a wait between them. A partner that repeats a
//! request's key has seen the same effect before: that is the promise, so keys are counted, and repeats only told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Settings;
use super::client::{Client, planned};
use crate::harness::stand_in_http::StandInHttp;

const WORKFLOWS: usize = 60;
/// How long the program may live before each kill, in milliseconds: while it plans, calls, waits, wakes.
const LIVES: [u64; 5] = [0, 350, 600, 450, 250];
const DEADLINE: Duration = Duration::from_mins(2);
/// Room for all workflows, and a short lease, so that the test need not wait long for a dead worker's steps.
const SIXTY: Settings = &[
    ("HTTP_ALLOW_PRIVATE", "true"),
    ("TRIAL_CREDITS", "100"),
    ("TIERS_FREE_TRIAL_INTENTS_PER_MINUTE", "1000"),
    ("TIERS_FREE_TRIAL_INTENTS_PER_HOUR", "1000"),
    ("WORKER_LEASE_S", "3"),
];

async fn submit_all(client: &Client, partner: &StandInHttp) -> Vec<String> {
    let effect = json!({"method": "POST", "url": format!("{}/effects", partner.base_url())});
    let mut ids = Vec::new();
    for number in 0..WORKFLOWS {
        ids.push(
            client
                .submit(&planned(&json!([
                    {"id": "first", "action": "http.request", "with": effect},
                    {"id": "pause", "action": "wait", "needs": ["first"], "with": {"seconds": number % 3}},
                    {"id": "second", "action": "http.request", "needs": ["pause"], "with": effect},
                ])))
                .await,
        );
    }
    ids
}

/// Waits until all workflows are completed, and gives them.
async fn all_completed(client: &Client) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let list = client.get("/api/v1/workflows?limit=100").await.must(200);
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let (done, open): (Vec<_>, Vec<_>) = items.into_iter().partition(|w| w["status"] == "completed");
        if open.is_empty() {
            return done;
        }
        assert!(Instant::now() < deadline, "{} open after {DEADLINE:?}: {open:#?}", open.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

journey! {
    async fn sixty_workflows_survive_five_kills_in_a_row(site: Site with SIXTY) {
        let mut site = site;
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let ids = submit_all(&ada, &partner).await;
        for (kill, life) in LIVES.into_iter().enumerate() {
            // A moment of the program's life, not a wait for something.
            tokio::time::sleep(Duration::from_millis(life)).await;
            println!("kill {}: {} of {} effects seen", kill + 1, partner.effects().len(), 2 * WORKFLOWS);
            site.crash_worker().await;
            if kill == 2 {
                site.crash_api().await;
            }
        }
        let last_kill = Instant::now();
        let done = all_completed(&ada).await;
        println!("all completed {:?} after the last kill", last_kill.elapsed());
        assert_eq!(done.len(), WORKFLOWS);
        assert!(done.iter().all(|w| w["steps_completed"] == 3 && w["steps_failed"] == 0), "{done:#?}");

        let effects = partner.effects();
        let expected: BTreeSet<_> = ids.iter().flat_map(|id| [format!("{id}:first"), format!("{id}:second")]).collect();
        assert_eq!(effects.keys().cloned().collect::<BTreeSet<_>>(), expected);
        println!("{} effects were delivered again", effects.values().sum::<usize>() - effects.len());

        assert_eq!(ada.credits().await, 40);
        let (code, told) = site.doctor().await;
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("every balance is the sum of its ledger"), "{told}");
        assert!(told.contains("each account has what was counted"), "{told}");
        assert!(told.contains(&format!("none of {WORKFLOWS} was changed")), "{told}");
    }

    async fn an_accepted_intent_outlives_a_kill_right_after_the_answer(site: Site with SIXTY) {
        let mut site = site;
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let url = format!("{}/effects", partner.base_url());
        let step = json!([{"id": "call", "action": "http.request", "with": {"method": "POST", "url": url}}]);
        for credits in [99, 98, 97] {
            let workflow = ada.submit(&planned(&step)).await;
            site.crash_api().await;
            assert_eq!(ada.credits().await, credits);
            ada.ends(&workflow, "completed").await;
        }
        assert_eq!(partner.effects().len(), 3);
    }
}
