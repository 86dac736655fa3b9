//! What the API refuses and how it says so; requests that are repeated or come in numbers.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::UNPACED;
use super::client::{Client, faulty, planned, send};
use crate::harness::stand_in_http::StandInHttp;

const INTENTS: &str = "/api/v1/intents";
const BATCH: &str = "/api/v1/intents/batch";

fn submission(client: &Client, key: &str, body: &Value) -> RequestBuilder {
    client.request(Method::POST, INTENTS).header("Idempotency-Key", key).json(body)
}

fn raw(client: &Client, kind: &str, body: &str) -> RequestBuilder {
    client.request(Method::POST, INTENTS).header("Content-Type", kind).body(body.to_owned())
}

async fn submitted(client: &Client) -> usize {
    let list = client.get("/api/v1/workflows?limit=100").await.must(200);
    list["items"].as_array().map_or(0, Vec::len)
}

journey! {
    async fn a_repeated_submission_gets_the_first_answer_byte_for_byte(site: Site) {
        let (ada, eve) = (site.user("ada").await, site.user("eve").await);
        let (hello, bye) = (json!({"intent": "Say hello"}), json!({"intent": "Say goodbye"}));
        let first = send(submission(&ada, "one", &hello)).await;
        let again = send(submission(&ada, "one", &hello)).await;
        first.must(202);
        again.must(202);
        assert_eq!(first.text, again.text);
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        send(submission(&ada, "one", &bye)).await.problem(422, "idempotency_key_reused");
        send(submission(&ada, "", &hello)).await.problem(422, "validation_failed");
        assert_eq!((submitted(&ada).await, ada.credits().await), (1, 9));

        // Another key, and another user with the same key, are other submissions.
        assert_ne!(send(submission(&ada, "two", &hello)).await.text, first.text);
        assert_ne!(send(submission(&eve, "one", &hello)).await.text, first.text);

        // The same request twice at the same time: one does it, both get its answer.
        let (a, b) = tokio::join!(send(submission(&ada, "three", &hello)), send(submission(&ada, "three", &hello)));
        assert_eq!((a.must(202), a.text.as_str()), (b.must(202), b.text.as_str()));
        assert_eq!((submitted(&ada).await, ada.credits().await), (3, 7));
    }

    async fn submissions_at_the_same_time_are_charged_refused_and_repeated_each_by_itself(site: Site with UNPACED) {
        let (ada, eve) = (site.user("ada").await, site.user("eve").await);
        let hello = json!({"intent": "Say hello"});
        // Each key twice, and more keys than ada has credits; eve is not held up by that.
        let sent = (0..60).map(|n| {
            let client = if n % 3 == 0 { &eve } else { &ada };
            send(submission(client, &format!("key-{}", n % 15), &hello))
        });
        let answers = futures_util::future::join_all(sent).await;
        for (client, keys) in [(&eve, vec![0, 3, 6, 9, 12]), (&ada, (0..15).filter(|n| n % 3 != 0).collect())] {
            let mut bodies = std::collections::BTreeSet::new();
            for (n, answer) in answers.iter().enumerate().filter(|(n, _)| keys.contains(&(n % 15))) {
                assert_eq!(answer.must(202)["status"], "pending");
                let twin = &answers[(n + 15) % 60];
                assert_eq!(answer.text, twin.text, "{n}");
                bodies.insert(answer.text.clone());
            }
            assert_eq!((bodies.len(), submitted(client).await), (keys.len(), keys.len()));
            assert_eq!(client.credits().await, 10 - keys.len() as i64);
        }
        let firsts = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count();
        assert_eq!(firsts, 15);
        // A refused key is refused again, and is good once it can be paid for.
        for _ in 0..2 {
            send(submission(&ada, "late", &hello)).await.problem(403, "trial_credits_exhausted");
        }
    }

    async fn the_same_key_of_two_users_stays_with_each(site: Site with UNPACED) {
        let (ada, eve) = (site.user("ada").await, site.user("eve").await);
        let hello = json!({"intent": "Say hello"});
        for n in 0..10 {
            send(submission(&eve, &format!("spent-{n}"), &hello)).await.must(202);
        }
        // In whatever batches they come: ada's are accepted once, and none of eve's is.
        for round in 0..5 {
            let key = format!("same-{round}");
            let sent = (0..12).map(|n| send(submission(if n % 3 == 0 { &ada } else { &eve }, &key, &hello)));
            let answers = futures_util::future::join_all(sent).await;
            for (n, answer) in answers.iter().enumerate() {
                if n % 3 == 0 {
                    assert_eq!((answer.must(202), &answer.text), (answers[0].must(202), &answers[0].text));
                } else {
                    answer.problem(403, "trial_credits_exhausted");
                }
            }
        }
        assert_eq!((submitted(&ada).await, submitted(&eve).await), (5, 10));
    }

    async fn a_batch_is_accepted_whole_or_not_at_all(site: Site with UNPACED) {
        let ada = site.user("ada").await;
        let batch = |count: usize| json!({"intents": vec![json!({"intent": "Say hello"}); count]});
        ada.post(BATCH, &batch(11)).await.problem(403, "trial_credits_exhausted");
        let bad = json!({"intents": [{"intent": "Say hello"}, {"intent": ""}]});
        let problem = ada.post(BATCH, &bad).await.problem(422, "validation_failed");
        assert_eq!(faulty(&problem), ["intents[1].intent"], "{problem}");
        for count in [0, 101] {
            let problem = ada.post(BATCH, &batch(count)).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), ["intents"], "{problem}");
        }
        assert_eq!((submitted(&ada).await, ada.credits().await), (0, 10));

        let accepted = ada.post(BATCH, &batch(3)).await.must(202);
        let results = accepted["results"].as_array().cloned().unwrap_or_default();
        let left: Vec<_> = results.iter().filter_map(|result| result["credits_remaining"].as_i64()).collect();
        assert_eq!(left, [9, 8, 7], "{accepted}");
        assert_eq!((submitted(&ada).await, ada.credits().await), (3, 7));
    }

    async fn a_batch_counts_each_of_its_intents_against_the_limit(site: Site) {
        let ada = site.user("ada").await;
        let batch = |count: usize| json!({"intents": vec![json!({"intent": "Say hello"}); count]});
        ada.post(BATCH, &batch(6)).await.must(202);
        let refused = ada.post(BATCH, &batch(5)).await;
        refused.problem(429, "rate_limited");
        assert_ne!(refused.header("retry-after"), "");
        assert_eq!((submitted(&ada).await, ada.credits().await), (6, 4));
    }

    async fn every_refusal_is_a_problem_document(site: Site with UNPACED) {
        let ada = site.user("ada").await;
        let json = "application/json";
        for broken in ["", "{", "{\"intent\": \"x\"} more", "{intent}"] {
            send(raw(&ada, json, broken)).await.problem(400, "malformed_json");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            send(raw(&ada, kind, "{}")).await.problem(415, "unsupported_media_type");
        }
        let large = format!("{{\"intent\": \"{}\"}}", "x".repeat(256 * 1024));
        send(raw(&ada, json, &large)).await.problem(413, "body_too_large");
        ada.get("/nowhere").await.problem(404, "not_found");
        send(ada.request(Method::PUT, INTENTS)).await.problem(405, "method_not_allowed");
        send(raw(&site.client(), json, "{}")).await.problem(401, "unauthorized");

        let given = ada.request(Method::GET, "/nowhere").header("X-Request-Id", "mine-1.2:3");
        assert_eq!(send(given).await.problem(404, "not_found")["request_id"], "mine-1.2:3");
        let odd = ada.request(Method::GET, "/nowhere").header("X-Request-Id", "<script>");
        assert_ne!(send(odd).await.problem(404, "not_found")["request_id"], "<script>");
        assert_eq!((submitted(&ada).await, ada.credits().await), (0, 10));
    }

    async fn an_intent_that_makes_no_sense_is_told_everything_that_is_wrong(site: Site with UNPACED) {
        let ada = site.user("ada").await;
        let invalid = async |body: Value, fields: &[&str]| {
            let problem = ada.post(INTENTS, &body).await.problem(422, "validation_failed");
            let mut found = faulty(&problem);
            found.sort_unstable();
            assert_eq!(found, fields, "{problem}");
        };
        invalid(json!({}), &["intent"]).await;
        invalid(json!({"intent": "x", "color": "red"}), &["color"]).await;
        invalid(json!({"intent": 7}), &["intent"]).await;
        invalid(json!({"intent": " "}), &["intent"]).await;
        invalid(json!({"intent": "x".repeat(4001)}), &["intent"]).await;
        invalid(json!({"intent": "x", "priority": "urgent"}), &["priority"]).await;
        for at in ["tomorrow", "-200000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z"] {
            invalid(json!({"intent": "x", "run_at": at}), &["run_at"]).await;
        }
        let several = json!({"intent": "", "context": [], "max_cost": -1, "callback_url": "ftp://x"});
        invalid(several, &["callback_url", "context", "intent", "max_cost"]).await;
        let plan = json!([
            {"id": "a", "action": "fly"},
            {"id": "b", "action": "wait", "needs": ["c"], "with": {"seconds": "long"}},
        ]);
        let faults = ["plan.steps[0].action", "plan.steps[1].needs", "plan.steps[1].with.seconds"];
        invalid(planned(&plan), &faults).await;
        assert_eq!((submitted(&ada).await, ada.credits().await), (0, 10));
    }

    async fn a_workflow_cannot_call_private_addresses(site: Site) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let port = partner.base_url().rsplit(':').next().unwrap_or_default();
        let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "169.254.169.254".to_owned()];
        for host in hosts {
            let step = json!([{"id": "call", "action": "http.request", "with": {"url": format!("http://{host}/ok")}}]);
            let workflow = ada.submit(&planned(&step)).await;
            let failed = ada.ends(&workflow, "failed").await;
            let error = failed["error"].as_str().unwrap_or_default();
            assert!(error.contains("must not be called"), "{failed}");
            assert_eq!(failed["steps"][0]["attempts"], 1, "{failed}");
        }
        assert!(partner.requests().is_empty());
    }
}
