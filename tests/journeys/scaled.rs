//! What only several processes can show: replicas that share the work, a Redis that fails, a mail server that refuses.

use std::time::Duration;

use serde_json::json;

use super::client::{Client, eventually, planned};
use super::{Autoos, PRIVATE, Settings, Site, UNPACED, borrow};
use crate::harness::redis::{self, RedisServer};
use crate::harness::stand_in_http::StandInHttp;

const MANY: Settings = &[("TRIAL_CREDITS", "100"), ("HTTP_ALLOW_PRIVATE", "true")];

/// Waits until the API says that it is ready, or that its queue is not.
async fn ready(client: &Client, status: u16) {
    let health = eventually(async || {
        let answer = client.get("/health/ready").await;
        if answer.status == status { Ok(answer) } else { Err(answer.text) }
    })
    .await
    .must(status);
    assert_eq!(health["database"], "ok", "{health}");
    assert_eq!(health["queue"], if status == 200 { "ok" } else { "failing" }, "{health}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_work_and_one_users_token() {
    let site = Site::scaled(&redis::shared().url, &[MANY, UNPACED]).await;
    let mut second_api = Autoos::spawn(&["api"], &borrow(&site.settings));
    let _second_worker = Autoos::spawn(&["worker"], &borrow(&site.settings));
    second_api.ready().await;
    let partner = StandInHttp::start().await;
    let here = site.user("ada").await;
    let there = here.at(second_api.base_url());
    let effect = json!({"method": "POST", "url": format!("{}/effects", partner.base_url())});
    let plan = planned(&json!([{"id": "call", "action": "http.request", "with": effect}]));
    for _ in 0..10 {
        let (a, b) = (here.submit(&plan).await, there.submit(&plan).await);
        there.ends(&a, "completed").await;
        here.ends(&b, "completed").await;
    }
    // Without a crash nothing is delivered twice, however many workers look.
    assert_eq!(partner.effects().into_values().collect::<Vec<_>>(), [1; 20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_the_api_share_one_limit_of_intents() {
    let site = Site::scaled(&redis::shared().url, &[]).await;
    let mut second_api = Autoos::spawn(&["api"], &borrow(&site.settings));
    second_api.ready().await;
    let here = site.user("ada").await;
    let there = here.at(second_api.base_url());
    let intent = json!({"intent": "Say hello"});
    for left in [8, 6, 4, 2, 0] {
        here.post("/api/v1/intents", &intent).await.must(202);
        let answer = there.post("/api/v1/intents", &intent).await;
        answer.must(202);
        assert_eq!(answer.header("ratelimit-remaining"), left.to_string());
    }
    here.post("/api/v1/intents", &intent).await.problem(429, "rate_limited");
    there.post("/api/v1/intents", &intent).await.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_are_accepted_without_redis_and_run_when_it_is_back() {
    let mut redis = RedisServer::start();
    let site = Site::scaled(&redis.url(), &[PRIVATE]).await;
    let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
    let effect = json!({"method": "POST", "url": format!("{}/effects", partner.base_url())});
    let plan = planned(&json!([{"id": "call", "action": "http.request", "with": effect}]));
    redis.kill();
    ready(&ada, 503).await;
    let accepted = [ada.submit(&plan).await, ada.submit(&plan).await];
    redis.restart();
    // All that it held is gone as well: the database alone knows what is to be done.
    redis.flush();
    ready(&ada, 200).await;
    for workflow in &accepted {
        ada.ends(workflow, "completed").await;
    }
    redis.stall(Duration::from_secs(3));
    let stalled = ada.submit(&plan).await;
    ada.ends(&stalled, "completed").await;
    assert_eq!(partner.effects().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_refused_for_good_fails_its_step_and_one_for_now_is_tried_again() {
    let site = Site::scaled(&redis::shared().url, &[]).await;
    let ada = site.user("ada").await;
    for (to, attempts) in [("bounce@example.com", 1), ("tempfail@example.com", 3)] {
        let workflow = ada
            .submit(&planned(&json!([
                {"id": "mail", "action": "email.send", "retry": {"max_attempts": 3, "initial_ms": 20},
                 "with": {"to": to, "subject": "Hello", "body": "Hello."}},
            ])))
            .await;
        let failed = ada.ends(&workflow, "failed").await;
        assert_eq!(failed["steps"][0]["attempts"], attempts, "{failed}");
        assert!(site.mails().iter().all(|mail| mail.to != to));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_finishes_what_it_runs() {
    let mut site = Site::scaled(&redis::shared().url, &[PRIVATE]).await;
    let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
    let slow = format!("{}/slow/2000", partner.base_url());
    let workflow =
        ada.submit(&planned(&json!([{"id": "call", "action": "http.request", "with": {"url": slow}}]))).await;
    eventually(async || if partner.requests().is_empty() { Err("not called yet".to_owned()) } else { Ok(()) }).await;
    let worker = site.worker.as_mut().unwrap_or_else(|| panic!("a site without a worker"));
    assert_eq!(worker.term().await, Some(0), "{}", worker.output());
    let done = ada.workflow(&workflow).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(partner.requests().len(), 1);
}
