//! Reaching for what is not one's own: routes without a token or without the role, fields that nobody may set, ids of
//! others. The routes come from the document, so that a new one cannot be forgotten here.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::engines::both_engines;
use crate::journeys::address;
use crate::journeys::client::{Answer, Client, PASSWORD, planned, send};
use crate::journeys::here::Here;

const UNKNOWN: &str = "0199e0a4-0000-7000-8000-000000000001";

/// What may be asked by anybody. A route that is missing here and asks for no token is a mistake.
const OPEN: [&str; 17] = [
    "GET /.well-known/jwks.json",
    "GET /auth/reset-password",
    "GET /auth/verify-email",
    "GET /docs",
    "GET /health/live",
    "GET /health/ready",
    "GET /openapi.json",
    "GET /payments/pricing",
    "POST /auth/forgot-password",
    "POST /auth/refresh",
    "POST /auth/resend-verification",
    "POST /auth/reset-password",
    "POST /auth/signin",
    "POST /auth/signout",
    "POST /auth/signup",
    "POST /auth/verify-email",
    // Whoever tells something there proves with a signature who they are.
    "POST /webhooks/stripe",
];

/// One method of one route.
struct Operation {
    method: Method,
    path: String,
    /// The chapter of the document that it stands in.
    chapter: String,
    /// Whether it asks for a token.
    guarded: bool,
}

impl Operation {
    /// All there are.
    fn all() -> Vec<Self> {
        let document: Value = serde_json::from_str(&::api::openapi()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let each = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(move |(method, operation)| Self::new(method, path, operation))
        });
        each.collect()
    }

    fn new(method: &str, path: &str, operation: &Value) -> Self {
        Self {
            method: method.to_uppercase().parse().expect("a method"),
            path: path.to_owned(),
            chapter: operation["tags"][0].as_str().unwrap_or_default().to_owned(),
            guarded: operation["security"].is_array(),
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Does it to something.
    async fn on(&self, client: &Client, id: &str) -> Answer {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let request = client.request(self.method.clone(), &path);
        send(if self.method == Method::GET { request } else { request.json(&json!({})) }).await
    }
}

/// Without what tells one request from another.
fn bare(answer: &Answer) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&answer.text).expect("JSON");
    body["request_id"] = Value::Null;
    (answer.status, body)
}

both_engines! {
    async fn every_route_that_is_not_open_asks_for_a_token(app: App) {
        let here = Here::new(app).await;
        let (guarded, open): (Vec<_>, Vec<_>) = Operation::all().into_iter().partition(|operation| operation.guarded);
        let open: BTreeSet<_> = open.iter().map(Operation::name).collect();
        assert_eq!(open, BTreeSet::from(OPEN.map(str::to_owned)));
        assert!(guarded.len() > 20, "{}", guarded.len());
        for operation in guarded {
            let answer = operation.on(&here.nobody, UNKNOWN).await;
            assert_eq!(answer.status, 401, "{}: {}", operation.name(), answer.text);
            answer.problem(401, "unauthorized");
        }
    }

    async fn what_is_for_admins_is_for_nobody_else(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.verified("ada").await, here.verified("eve").await);
        let for_admins = |operation: &Operation| operation.chapter == "Admin";
        let operations: Vec<_> = Operation::all().into_iter().filter(for_admins).collect();
        assert!(operations.len() >= 5, "{}", operations.len());
        for operation in &operations {
            for id in [ada.id.to_string(), eve.id.to_string(), UNKNOWN.to_owned()] {
                let answer = operation.on(&eve.client, &id).await;
                assert_eq!(answer.status, 403, "{}: {}", operation.name(), answer.text);
                answer.problem(403, "forbidden");
            }
        }
        for account in [&ada, &eve] {
            account.client.get("/auth/me").await.must(200);
        }
    }

    async fn somebody_elses_workflow_is_out_of_reach_on_every_route(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.verified("ada").await.client, here.verified("eve").await.client);
        let root = here.admin("root").await.client;
        let ask = json!([{"id": "ask", "action": "human.task", "with": {"instructions": "Water the plants"}}]);
        let workflow = ada.submit(&planned(&ask)).await;
        here.app.run_until_idle().await;
        let audit = format!("/api/v1/workflows/{workflow}/audit");
        let (before, trail) = (ada.workflow(&workflow).await, ada.get(&audit).await.must(200));
        let on_one = |operation: &Operation| operation.path.starts_with("/api/v1/workflows/{id}");
        let operations: Vec<_> = Operation::all().into_iter().filter(on_one).collect();
        assert!(operations.len() >= 8, "{}", operations.len());
        for operation in &operations {
            let answer = operation.on(&eve, &workflow).await;
            assert_eq!(answer.status, 403, "{}: {}", operation.name(), answer.text);
            answer.problem(403, "not_owner");
            operation.on(&eve, UNKNOWN).await.problem(404, "not_found");
            // Admins may read any, and no more.
            let expected = if operation.method == Method::GET { 200 } else { 403 };
            assert_eq!(operation.on(&root, &workflow).await.status, expected, "{}", operation.name());
        }
        assert_eq!(eve.get("/api/v1/workflows").await.must(200)["items"], json!([]));
        assert_eq!(ada.workflow(&workflow).await, before);
        assert_eq!(ada.get(&audit).await.must(200), trail);
        assert_eq!((ada.credits().await, eve.credits().await), (9, 10));
    }

    async fn somebody_elses_session_is_like_one_that_there_is_not(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.sign_up("ada").await.client, here.sign_up("eve").await.client);
        let sessions = ada.get("/auth/sessions").await.must(200);
        let id = sessions["items"][0]["session_id"].as_str().expect("a session");
        let others = eve.delete(&format!("/auth/sessions/{id}")).await;
        others.problem(404, "not_found");
        assert_eq!(bare(&others), bare(&eve.delete(&format!("/auth/sessions/{UNKNOWN}")).await));
        ada.get("/auth/me").await.must(200);

        // Nor does a query say whose things are meant, nor a cursor.
        let me = ada.get("/auth/me").await.must(200);
        let query = format!("user_id={}", me["user_id"].as_str().unwrap_or_default());
        assert_eq!(eve.get(&format!("/auth/me?{query}")).await.must(200)["username"], "eve");
        let listed = eve.get(&format!("/auth/sessions?{query}")).await.must(200);
        assert!(!listed.to_string().contains(id), "{listed}");
        for n in 0..2 {
            here.pass(TimeDelta::seconds(1));
            here.sign_in("ada", PASSWORD).await.must(200);
            let cursor = ada.get("/auth/sessions?limit=1").await.must(200)["next_cursor"].clone();
            let cursor = cursor.as_str().expect("a cursor");
            let listed = eve.get(&format!("/auth/sessions?cursor={cursor}")).await.must(200);
            assert!(!listed.to_string().contains(id), "{n}: {listed}");
        }
    }

    async fn nobody_can_make_themselves_more_than_they_are(app: App) {
        let here = Here::new(app).await;
        let wishes = [
            ("tier", json!("enterprise")), ("email_verified", json!(true)), ("credits", json!(1_000)),
            ("credits_total", json!(1_000)), ("disabled", json!(false)), ("mfa_enabled", json!(true)),
            ("user_id", json!(UNKNOWN)), ("created_at", json!("2000-01-01T00:00:00Z")), ("is_admin", json!(true)),
            ("password_hash", json!("x")), ("__proto__", json!({"role": "admin"})),
        ];
        let mut body = json!({
            "email": address("eve"), "username": "eve", "password": PASSWORD,
            "full_name": "Eve", "role": "professional",
        });
        for (name, value) in &wishes {
            let mut more = body.clone();
            more[name] = value.clone();
            here.nobody.post("/auth/signup", &more).await.problem(422, "validation_failed");
        }
        for role in ["admin", "Admin", "admin ", "root", ""] {
            body["role"] = json!(role);
            here.nobody.post("/auth/signup", &body).await.problem(422, "validation_failed");
        }
        // Nothing of it has made an account.
        let eve = here.verified("eve").await.client;
        let before = eve.get("/auth/me").await.must(200);
        let own = [("role", json!("admin")), ("email", json!(address("ada"))), ("password", json!("x"))];
        for (name, value) in wishes.iter().chain(&own) {
            let mut change = json!({"full_name": "Eve the Great"});
            change[name] = value.clone();
            eve.patch("/auth/me", &change).await.problem(422, "validation_failed");
        }
        // Naming a field twice, in two ways, is no way around.
        let twice = r#"{"full_name": "Eve", "full_name": "Eve the Great"}"#;
        let request = eve.request(Method::PATCH, "/auth/me").header("content-type", "application/json").body(twice);
        send(request).await.problem(422, "validation_failed");
        assert_eq!(eve.get("/auth/me").await.must(200), before);
        for (name, value) in [("role", json!("professional")), ("tier", json!("free_trial")), ("credits", json!(10))] {
            assert_eq!(before[name], value, "{before}");
        }
        // An intent takes no more than it says, too.
        for (name, value) in [("user_id", json!(UNKNOWN)), ("charged", json!("nothing")), ("cost", json!(0))] {
            let mut intent = json!({"intent": "Say hello"});
            intent[name] = value;
            eve.post("/api/v1/intents", &intent).await.problem(422, "validation_failed");
        }
        assert_eq!(eve.credits().await, 10);
    }
}
