//! What Stripe tells on its own: taken only with its signature, stored once, and believed no further.

use std::fmt::Write;

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, send};
use super::here::Here;
use crate::harness::engines::{Settings, both_engines};

const WEBHOOK: &str = "/webhooks/stripe";
const EVENTS: &str = "/payments/stripe-events";
/// While a secret is replaced there are two.
const SECRETS: Settings = &[("STRIPE_WEBHOOK_SECRET", "whsec_one, whsec_two")];
const TEST_MODE: Settings = &[
    ("STRIPE_WEBHOOK_SECRET", "whsec_one"),
    ("STRIPE_SECRET_KEY", "sk_test_1"),
    ("STRIPE_API_BASE", "http://127.0.0.1:9"),
];

fn event(id: &str) -> String {
    json!({
        "id": id, "object": "event", "type": "invoice.paid", "created": 1_768_467_000, "livemode": false,
        "api_version": "2026-09-30.endive", "pending_webhooks": 1,
        "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_unknown"}},
    })
    .to_string()
}

/// The signature of a body, as `Stripe-Signature` has it.
pub fn v1(secret: &str, time: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let mut text = String::new();
    for byte in tag.as_ref() {
        write!(text, "{byte:02x}").expect("a string takes it");
    }
    text
}

async fn tell(nobody: &Client, body: &str, signature: &str) -> Answer {
    let request = nobody.request(Method::POST, WEBHOOK).header("content-type", "application/json");
    send(request.header("Stripe-Signature", signature).body(body.to_owned())).await
}

/// Tells it as Stripe does.
async fn tell_signed(here: &Here, body: &str) -> Answer {
    let time = here.app.clock.now().timestamp();
    tell(&here.nobody, body, &format!("t={time},v1={}", v1("whsec_one", time, body))).await
}

async fn stored(admin: &Client) -> Vec<Value> {
    admin.get(EVENTS).await.must(200)["items"].as_array().cloned().unwrap_or_default()
}

both_engines! {
    async fn without_a_secret_nothing_is_taken(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        tell_signed(&here, &event("evt_1")).await.problem(503, "payments_not_configured");
        tell(&here.nobody, "x", "").await.problem(503, "payments_not_configured");
        assert_eq!(stored(&root).await, Vec::<Value>::new());
    }

    async fn what_stripe_has_not_signed_is_refused_in_the_same_words(app: App with SECRETS) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let (body, now) = (event("evt_1"), here.app.clock.now().timestamp());
        let good = v1("whsec_one", now, &body);
        let (old, new) = (now - 301, now + 301);
        let mut details = Vec::new();
        for signature in [
            String::new(),
            "\u{e9}".to_owned(),
            "garbage".to_owned(),
            good.clone(),
            format!("v1={good}"),
            format!("t={now}"),
            format!("t={now},v1="),
            format!("t={now},v0={good}"),
            format!("t=now,v1={good}"),
            format!("t={},v1={good}", now + 1),
            format!("t={now},v1={}", v1("whsec_three", now, &body)),
            // Both together are no secret.
            format!("t={now},v1={}", v1("whsec_one, whsec_two", now, &body)),
            format!("t={now},v1={}", v1("", now, &body)),
            format!("t={now},v1={}", v1("whsec_one", now, &event("evt_2"))),
            format!("t={old},v1={}", v1("whsec_one", old, &body)),
            format!("t={new},v1={}", v1("whsec_one", new, &body)),
        ] {
            let problem = tell(&here.nobody, &body, &signature).await.problem(400, "invalid_signature");
            details.push(problem["detail"].clone());
        }
        let bare = here.nobody.request(Method::POST, WEBHOOK).body(body.clone());
        details.push(send(bare).await.problem(400, "invalid_signature")["detail"].clone());
        details.dedup();
        assert_eq!(details.len(), 1, "{details:?}");
        assert_eq!(stored(&root).await, Vec::<Value>::new());
        assert_eq!(here.nobody.get(WEBHOOK).await.status, 405);
    }

    async fn what_is_signed_is_stored_once_with_any_of_the_secrets(app: App with SECRETS) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let (now, jobs) = (here.app.clock.now().timestamp(), here.jobs().await);
        let body = event("evt_1");
        for (secret, time) in [("whsec_one", now), ("whsec_two", now - 300), ("whsec_two", now + 300)] {
            let signature = format!("t={time},v1={},v1={},v0=x", v1("whsec_old", time, &body), v1(secret, time, &body));
            assert_eq!(tell(&here.nobody, &body, &signature).await.must(200), json!({"received": true}));
        }
        let events = stored(&root).await;
        assert_eq!(events.len(), 1, "{events:?}");
        for (name, value) in [
            ("event_id", json!("evt_1")), ("type", json!("invoice.paid")), ("object_id", json!("in_1")),
            ("customer", json!("cus_unknown")), ("livemode", json!(false)), ("via", json!("webhook")),
            ("api_version", json!("2026-09-30.endive")), ("status", json!("ignored")), ("attempts", json!(0)),
            ("error", json!(null)), ("created_at", json!("2026-01-15T08:50:00Z")),
            ("received_at", json!("2026-01-15T09:00:00Z")), ("applied_at", json!(null)),
        ] {
            assert_eq!(events[0][name], value, "{name} in {:?}", events[0]);
        }
        assert!(!events[0].to_string().contains("pending_webhooks"));
        // Nobody of ours is meant, so there is nothing to do.
        root.post(&format!("{EVENTS}/evt_1/replay"), &json!({})).await.problem(409, "wrong_state");
        assert_eq!(here.jobs().await, jobs);

        here.pass(TimeDelta::seconds(1));
        tell_signed(&here, &event("evt_2")).await.must(200);
        let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&stored(&root).await), ["evt_2", "evt_1"]);
        let page = root.get(&format!("{EVENTS}?limit=1")).await.must(200);
        let cursor = page["next_cursor"].as_str().unwrap_or_default();
        let next = root.get(&format!("{EVENTS}?status=ignored&limit=1&cursor={cursor}")).await.must(200);
        assert_eq!((&next["items"][0]["event_id"], &next["next_cursor"]), (&json!("evt_1"), &json!(null)));
        assert_eq!(root.get(&format!("{EVENTS}?status=pending")).await.must(200)["items"], json!([]));
    }

    async fn what_is_signed_and_is_no_event_is_refused(app: App with SECRETS) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        for body in ["", "x", "[]", "{}", r#"{"type": "invoice.paid"}"#, r#"{"id": "", "type": "invoice.paid"}"#] {
            tell_signed(&here, body).await.problem(400, "bad_request");
        }
        let mut large: Value = serde_json::from_str(&event("evt_1")).expect("JSON");
        large["data"]["object"]["description"] = json!("x".repeat(600 * 1024));
        tell_signed(&here, &large.to_string()).await.must(200);
        large["data"]["object"]["description"] = json!("x".repeat(1024 * 1024));
        tell_signed(&here, &large.to_string()).await.problem(413, "body_too_large");
        assert_eq!(stored(&root).await.len(), 1);
    }

    async fn what_happened_in_the_other_mode_is_refused(app: App with TEST_MODE) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let live = event("evt_1").replace(r#""livemode":false"#, r#""livemode":true"#);
        assert!(live.contains("true"), "{live}");
        tell_signed(&here, &live).await.problem(400, "bad_request");
        assert_eq!(stored(&root).await, Vec::<Value>::new());
        tell_signed(&here, &event("evt_1")).await.must(200);
        assert_eq!(stored(&root).await.len(), 1);
    }
}
