//! Limits of a plan while workflows run: how many steps run at once, and how much is stored.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::tier::GIGABYTE;
use shared::ids::UserId;
use shared::store::agents;
use shared::store::usage::{self, InUse};

use super::client::{Client, eventually, planned};
use super::here::Here;
use super::{PRIVATE, UNPACED};
use crate::harness::engines::{App, both_engines};
use crate::harness::stand_in_http::StandInHttp;

const INTENTS: &str = "/api/v1/intents";
const BUSY: &str = "Waiting for a free agent: 2 of 2 busy";

/// An intent of calls that do not need each other, and wait until the partner opens its gate.
fn calls(partner: &StandInHttp, ids: &[&str]) -> Value {
    let url = format!("{}/gate", partner.base_url());
    let call = |id: &&str| json!({"id": id, "action": "http.request", "with": {"url": url}});
    planned(&ids.iter().map(call).collect::<Value>())
}

/// How many steps of a workflow are in a state.
fn count(workflow: &Value, status: &str) -> usize {
    let steps = workflow["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().filter(|step| step["status"] == status).count()
}

/// How many steps of a workflow say that they wait for an agent.
fn waiting(workflow: &Value) -> usize {
    let steps = workflow["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().filter(|step| step["status"] == "ready" && step["reason"] == BUSY).count()
}

async fn busy(client: &Client) -> Value {
    client.get("/payments/usage").await.must(200)["agents"].clone()
}

/// Waits until the partner has got so many calls in all.
async fn called(partner: &StandInHttp, calls: usize) {
    eventually(async || {
        let seen = partner.requests().len();
        if seen == calls { Ok(()) } else { Err(format!("{seen} calls")) }
    })
    .await;
}

/// Says how much an account stores, as if its steps had such outputs.
async fn store(app: &App, user: UserId, storage: i64) {
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let in_use = InUse { storage, ..usage::in_use(&mut tx, user).await.expect("a count") };
    agents::count(&mut tx, &[(user, in_use)]).await.expect("a count");
    tx.commit().await.expect("a commit");
}

journey! {
    async fn a_trial_runs_two_steps_at_once_and_the_third_when_one_ends(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let workflow = ada.submit(&calls(&partner, &["a", "b", "c"])).await;
        ada.until(&workflow, |w| (count(w, "running"), waiting(w)) == (2, 1)).await;
        called(&partner, 2).await;
        assert_eq!(busy(&ada).await, json!({"busy": 2, "limit": 2}));

        partner.let_through(1);
        ada.until(&workflow, |w| (count(w, "completed"), count(w, "running")) == (1, 2)).await;
        called(&partner, 3).await;
        partner.let_through(2);
        ada.ends(&workflow, "completed").await;
        assert_eq!(busy(&ada).await, json!({"busy": 0, "limit": 2}));
        let (code, told) = site.doctor().await;
        assert_eq!(code, Some(0), "{told}");
    }

    async fn two_workflows_share_the_agents_and_a_cancel_frees_them(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let first = ada.submit(&calls(&partner, &["a", "b"])).await;
        ada.until(&first, |w| count(w, "running") == 2).await;
        let second = ada.submit(&calls(&partner, &["c"])).await;
        let waits = ada.until(&second, |w| waiting(w) == 1).await;
        assert_eq!((&waits["status"], &waits["reason"]), (&json!("running"), &json!(BUSY)));

        // Out of the line and into it again; others are not held up by it.
        assert_eq!(ada.order(&second, "pause").await.must(200)["steps"][0]["reason"], Value::Null);
        assert_eq!(waiting(&ada.order(&second, "resume").await.must(200)), 1);
        ada.delete(&format!("/api/v1/workflows/{first}")).await.must(200);
        ada.until(&second, |w| count(w, "running") == 1).await;
        partner.let_through(3);
        ada.ends(&second, "completed").await;
    }

    async fn a_step_that_waits_starts_when_the_plan_has_more_agents(site: Site with PRIVATE) {
        let (root, ada) = (site.admin("root").await, site.user("ada").await);
        let partner = StandInHttp::start().await;
        let workflow = ada.submit(&calls(&partner, &["a", "b", "c", "d", "e", "f"])).await;
        ada.until(&workflow, |w| (count(w, "running"), waiting(w)) == (2, 4)).await;
        let me = ada.get("/auth/me").await.must(200);
        let path = format!("/payments/subscriptions/{}/adjust", me["user_id"].as_str().unwrap_or_default());
        let given = json!({"tier": "student", "current_period_end": "2099-01-01T00:00:00Z", "reason": "Scholarship"});
        root.post(&path, &given).await.must(200);
        ada.until(&workflow, |w| (count(w, "running"), count(w, "ready")) == (5, 1)).await;
        assert_eq!(busy(&ada).await, json!({"busy": 5, "limit": 5}));
        partner.let_through(6);
        ada.ends(&workflow, "completed").await;
    }
}

both_engines! {
    async fn a_full_storage_takes_no_intents_and_stops_nothing_that_runs(app: App with UNPACED) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await;
        let root = here.admin("root").await.client;
        let ask = json!([{"id": "ask", "action": "human.task", "with": {"instructions": "Look"}}]);
        let running = ada.client.submit(&planned(&ask)).await;
        here.app.run_until_idle().await;
        store(&here.app, ada.id, GIGABYTE).await;

        let hello = json!({"intent": "Say hello"});
        let refused = ada.client.post(INTENTS, &hello).await.problem(403, "storage_limit_reached");
        assert_eq!(refused["detail"], "Your storage of 1 GB is full. Please upgrade to continue.");
        let batch = json!({"intents": [hello, hello]});
        ada.client.post("/api/v1/intents/batch", &batch).await.problem(403, "storage_limit_reached");
        let preview = ada.client.post("/api/v1/intents/preview", &hello).await.must(200);
        assert_eq!(preview["entitled"], json!({"allowed": false, "reason": refused["detail"]}));
        assert_eq!(ada.client.credits().await, 9, "a refusal charges nothing");
        let shown = ada.client.get("/payments/usage").await.must(200);
        assert_eq!(shown["storage"], json!({"bytes": GIGABYTE, "limit_bytes": GIGABYTE}));

        let path = format!("/api/v1/workflows/{running}/steps/ask/complete");
        let done = ada.client.post(&path, &json!({"output": {"seen": true}})).await.must(200);
        assert_eq!(done["status"], "completed", "{done}");
        let shown = ada.client.get("/payments/usage").await.must(200);
        assert_eq!(shown["storage"]["bytes"], GIGABYTE + r#"{"seen":true}"#.len() as i64);

        // A plan with more room takes them again.
        let end = here.app.clock.now() + TimeDelta::days(30);
        let given = json!({"tier": "student", "current_period_end": end, "reason": "Needs more room"});
        root.post(&format!("/payments/subscriptions/{}/adjust", ada.id), &given).await.must(200);
        ada.client.submit(&hello).await;
        store(&here.app, ada.id, 5 * GIGABYTE).await;
        ada.client.post(INTENTS, &hello).await.problem(403, "storage_limit_reached");
        let usage = ada.client.get("/payments/usage").await.must(200);
        assert_eq!(usage["workflows"], json!({"used": 1, "limit": 100}));
    }
}
