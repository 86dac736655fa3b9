//! Workflows as their owners steer them: retries, people's decisions, pausing, cancelling, reading what happened.

use futures_util::FutureExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, planned, send};
use super::here::Here;
use super::{PRIVATE, UNPACED};
use crate::harness::engines::App;
use crate::harness::stand_in_http::StandInHttp;

/// A time that no test lives to see.
const FAR: &str = "2999-01-01T00:00:00Z";

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["workflow_id"].as_str()).collect()
}

/// The whole audit trail, read in pages of three.
async fn trail(client: &Client, workflow: &str) -> Vec<Value> {
    let path = format!("/api/v1/workflows/{workflow}/audit?limit=3");
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).await.must(200);
        assert_eq!(page["workflow_id"], workflow, "{page}");
        entries.extend(page["entries"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next_cursor"].as_str() else {
            assert_eq!(page["total_entries"], entries.len(), "{page}");
            return entries;
        };
        cursor = format!("&cursor={next}");
    }
}

journey! {
    async fn a_step_is_tried_again_under_the_same_key_until_its_partner_answers(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let workflow = ada.submit(&planned(&json!([
            {"id": "call", "action": "http.request", "retry": {"initial_ms": 20},
             "with": {"method": "POST", "url": format!("{}/flaky/one/2", partner.base_url())}},
        ]))).await;
        let done = ada.ends(&workflow, "completed").await;
        assert_eq!(done["steps"][0]["attempts"], 3, "{done}");
        assert_eq!(done["result"]["json"]["failed_before"], 2, "{done}");
        let key = format!("{workflow}:call");
        let keys: Vec<_> = partner.requests().iter().map(|r| r.idempotency_key().map(str::to_owned)).collect();
        assert_eq!(keys, vec![Some(key); 3]);

        let entries = trail(&ada, &workflow).await;
        let events: Vec<_> = entries.iter().filter_map(|entry| entry["event"].as_str()).collect();
        assert_eq!(events, [
            "workflow.created", "workflow.planned", "step.started", "step.retrying", "step.started", "step.retrying",
            "step.started", "step.completed", "workflow.completed",
        ]);
        for (entry, sequence) in entries.iter().zip(1..) {
            assert_eq!(entry["sequence"], sequence, "{entry}");
            for field in ["entry_id", "actor", "at"] {
                assert!(!entry[field].is_null(), "{field} in {entry}");
            }
        }
    }

    async fn what_nobody_can_plan_becomes_a_task_for_a_person(site: Site) {
        let ada = site.user("ada").await;
        let workflow = ada.submit(&json!({"intent": "Water the plants on the moon"})).await;
        let waiting = ada.waits_for_a_person(&workflow, 0).await;
        assert_eq!(waiting["planner"], "human", "{waiting}");
        assert_eq!(waiting["steps"][0]["action"], "human.task", "{waiting}");
        let step = waiting["steps"][0]["step_id"].as_str().unwrap_or_default();
        let step = format!("steps/{step}");
        let path = format!("/api/v1/workflows/{workflow}");
        ada.post(&format!("{path}/{step}/approve"), &json!({})).await.problem(409, "wrong_state");
        ada.post(&format!("{path}/steps/nothing/complete"), &json!({})).await.problem(404, "not_found");
        let done = ada.post(&format!("{path}/{step}/complete"), &json!({"output": {"litres": 2}})).await.must(200);
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(done["result"], json!({"litres": 2}), "{done}");
        ada.post(&format!("{path}/{step}/complete"), &json!({})).await.problem(409, "wrong_state");
    }

    async fn an_approval_lets_the_rest_run_and_a_rejection_ends_it(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let intent = planned(&json!([
            {"id": "ask", "action": "approval", "with": {"message": "Pay the bill?"}},
            {"id": "pay", "needs": ["ask"], "action": "http.request",
             "with": {"method": "POST", "url": format!("{}/effects", partner.base_url())}},
        ]));
        let (yes, no) = (ada.submit(&intent).await, ada.submit(&intent).await);
        for (workflow, decision, end) in [(&yes, "approve", "completed"), (&no, "reject", "failed")] {
            let waiting = ada.waits_for_a_person(workflow, 0).await;
            assert_eq!(waiting["reason"], "Waiting for you to approve: Pay the bill?", "{waiting}");
            let path = format!("/api/v1/workflows/{workflow}/steps/ask/{decision}");
            ada.post(&path, &json!({"note": "as we said"})).await.must(200);
            let done = ada.ends(workflow, end).await;
            ada.post(&path, &json!({})).await.problem(409, "wrong_state");
            let error = done["error"].as_str().unwrap_or_default();
            assert_eq!(error.contains("rejected: as we said"), decision == "reject", "{done}");
        }
        assert_eq!(partner.effects().into_iter().collect::<Vec<_>>(), [(format!("{yes}:pay"), 1)]);
    }

    async fn nothing_starts_while_paused_and_all_goes_on_when_resumed(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let workflow = ada.submit(&planned(&json!([
            {"id": "task", "action": "human.task", "with": {"instructions": "Look"}},
            {"id": "act", "needs": ["task"], "action": "http.request",
             "with": {"method": "POST", "url": format!("{}/effects", partner.base_url())}},
        ]))).await;
        ada.waits_for_a_person(&workflow, 0).await;
        ada.order(&workflow, "resume").await.problem(409, "wrong_state");
        assert_eq!(ada.order(&workflow, "pause").await.must(200)["status"], "paused");
        ada.order(&workflow, "pause").await.problem(409, "wrong_state");

        let path = format!("/api/v1/workflows/{workflow}/steps/task/complete");
        let paused = ada.post(&path, &json!({})).await.must(200);
        assert_eq!(paused["status"], "paused", "{paused}");
        assert_eq!(paused["steps"][1]["status"], "ready", "{paused}");
        assert!(partner.requests().is_empty());

        ada.order(&workflow, "resume").await.must(200);
        ada.ends(&workflow, "completed").await;
        assert_eq!(partner.requests().len(), 1);
    }

    async fn a_failed_workflow_is_resumed_at_the_step_that_failed(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let workflow = ada.submit(&planned(&json!([
            {"id": "first", "action": "http.request",
             "with": {"method": "POST", "url": format!("{}/effects", partner.base_url())}},
            {"id": "second", "needs": ["first"], "action": "http.request", "retry": {"max_attempts": 1},
             "with": {"url": format!("{}/flaky/two/1", partner.base_url())}},
        ]))).await;
        let failed = ada.ends(&workflow, "failed").await;
        assert!(failed["error"].as_str().is_some_and(|error| error.contains("answered 503")), "{failed}");
        ada.order(&workflow, "resume").await.must(200);
        let done = ada.ends(&workflow, "completed").await;
        assert_eq!(done["error"], Value::Null, "{done}");
        assert_eq!(partner.effects().into_values().collect::<Vec<_>>(), [1]);
    }

    async fn cancelled_before_its_first_step_it_gives_the_credit_back_once(site: Site) {
        let ada = site.user("ada").await;
        let later = ada.submit(&json!({"intent": "Say hello", "run_at": FAR})).await;
        assert_eq!(ada.credits().await, 9);
        // A pause must not make it forget when it is to start.
        ada.order(&later, "pause").await.must(200);
        ada.order(&later, "resume").await.must(200);
        // Accepted after the resume, so that by its first step the other one would have started as well.
        let now = ada.submit(&json!({"intent": "Say hello"})).await;
        ada.waits_for_a_person(&now, 0).await;
        let pending = ada.workflow(&later).await;
        assert_eq!(pending["status"], "pending", "{pending}");
        assert_eq!(pending["reason"], "Waiting until 2999-01-01 00:00:00 UTC", "{pending}");

        let cancelled = ada.delete(&format!("/api/v1/workflows/{later}")).await.must(200);
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
        assert_eq!(cancelled["credit_refunded"], true, "{cancelled}");
        ada.delete(&format!("/api/v1/workflows/{later}")).await.problem(409, "wrong_state");
        assert_eq!(ada.credits().await, 9);
        let started = ada.delete(&format!("/api/v1/workflows/{now}")).await.must(200);
        assert_eq!(started["credit_refunded"], false, "{started}");
        assert_eq!(ada.credits().await, 9);
        ada.order(&now, "resume").await.problem(409, "wrong_state");
    }

    async fn somebody_elses_workflow_is_out_of_reach_on_every_route(site: Site) {
        let (ada, eve) = (site.user("ada").await, site.user("eve").await);
        let workflow = ada.submit(&json!({"intent": "Say hello"})).await;
        let before = ada.waits_for_a_person(&workflow, 0).await;
        let routes = [
            (Method::GET, ""), (Method::GET, "/audit"), (Method::DELETE, ""), (Method::POST, "/pause"),
            (Method::POST, "/resume"), (Method::POST, "/steps/task/complete"), (Method::POST, "/steps/task/approve"),
            (Method::POST, "/steps/task/reject"),
        ];
        for (method, route) in routes {
            let path = |id: &str| format!("/api/v1/workflows/{id}{route}");
            let request = |client: &Client, id: &str| client.request(method.clone(), &path(id)).json(&json!({}));
            send(request(&eve, &workflow)).await.problem(403, "not_owner");
            send(request(&site.client(), &workflow)).await.problem(401, "unauthorized");
            for unknown in ["0199e0a4-0000-7000-8000-000000000001", "nonsense"] {
                send(request(&ada, unknown)).await.problem(404, "not_found");
            }
        }
        assert_eq!(eve.get("/api/v1/workflows").await.must(200)["items"], json!([]));
        assert_eq!(ada.workflow(&workflow).await, before);
    }

    async fn a_list_is_read_in_pages_that_new_workflows_do_not_shift(site: Site with UNPACED) {
        let ada = site.user("ada").await;
        let mut submitted = Vec::new();
        for number in 0..5 {
            submitted.insert(0, ada.submit(&json!({"intent": format!("Do thing {number}"), "run_at": FAR})).await);
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ada.get(&format!("/api/v1/workflows?limit=2{cursor}")).await.must(200);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            // Newer than the first page, so none of the later pages may show it.
            if seen.len() == 2 {
                ada.submit(&json!({"intent": "Come in between", "run_at": FAR})).await;
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, submitted);

        let found = ada.get("/api/v1/workflows?q=THING%203&status=pending").await.must(200);
        assert_eq!(ids(&found), [&submitted[1]]);
        let none = ada.get("/api/v1/workflows?status=completed").await.must(200);
        assert_eq!(none, json!({"items": [], "next_cursor": null}));
        ada.get("/api/v1/workflows?cursor=nonsense").await.problem(400, "invalid_cursor");
        for limit in ["0", "101", "many"] {
            ada.get(&format!("/api/v1/workflows?limit={limit}")).await.problem(400, "bad_request");
        }
        ada.get("/api/v1/workflows?status=odd").await.problem(400, "bad_request");
    }
}

/// In one process, where a wake-up has arrived when the answer comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_for_later_wakes_no_relay_unless_a_mail_is_to_be_sent() {
    let here = Here::new(App::sqlite(&[UNPACED]).await).await;
    let ada = here.verified("ada").await.client;
    let (now, later) = (json!({"intent": "Say hello"}), json!({"intent": "Say hello", "run_at": FAR}));
    let mut wakes = here.app.services.queue.wakes();
    ada.submit(&later).await;
    ada.post("/api/v1/intents/batch", &json!({"intents": [&later, &later]})).await.must(202);
    assert!(wakes.next().now_or_never().is_none());
    ada.submit(&now).await;
    assert!(wakes.next().now_or_never().is_some());
    ada.post("/api/v1/intents/batch", &json!({"intents": [&later, &now]})).await.must(202);
    assert!(wakes.next().now_or_never().is_some());
    ada.submit(&later).await;
    assert!(wakes.next().now_or_never().is_none());
    // Two credits are left, and a mail that says so.
    ada.submit(&later).await;
    assert!(wakes.next().now_or_never().is_some());
}
