//! What every answer looks like, also to odd requests; what browsers are told; which pages may call.

use ::api::Bounds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::served::Served;
use crate::journeys::client::{Answer, Client, PASSWORD, send};

const APP: &str = "https://app.example.com";
const DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// The headers that no answer is without.
fn is_guarded(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), value, "{name} with {}", answer.text);
    }
    assert!(answer.header("permissions-policy").contains("camera=()"), "{}", answer.text);
    assert_ne!(answer.header("x-request-id"), "", "{}", answer.text);
}

async fn signed_up(client: &Client) -> Client {
    let body = json!({
        "email": "ada@example.com", "username": "ada", "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "professional",
    });
    client.with_tokens(&client.post("/auth/signup", &body).await.must(201)["tokens"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_is_a_problem_with_all_headers() {
    let served = Served::as_usual().await;
    let client = served.client();
    let sign_in = |kind: &str, body: &str| {
        client.request(Method::POST, "/auth/signin").header("content-type", kind).body(body.to_owned())
    };
    for (request, status, code) in [
        (sign_in("application/json", "{"), 400, "malformed_json"),
        (client.request(Method::GET, "/auth/me"), 401, "unauthorized"),
        (client.request(Method::GET, "/nowhere"), 404, "not_found"),
        (client.request(Method::PUT, "/auth/signin"), 405, "method_not_allowed"),
        (client.request(Method::OPTIONS, "/auth/signin"), 405, "method_not_allowed"),
        (client.request(Method::TRACE, "/auth/signin"), 405, "method_not_allowed"),
        (sign_in("text/plain", "{}"), 415, "unsupported_media_type"),
        (sign_in("application/json", "{}"), 422, "validation_failed"),
    ] {
        let answer = send(request).await;
        answer.problem(status, code);
        is_guarded(&answer);
        assert_eq!(answer.header("content-security-policy"), DATA);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trick_with_the_path_gets_anywhere() {
    let served = Served::as_usual().await;
    for path in [
        "//",
        "//auth/me",
        "/auth//me",
        "/auth/me/",
        "/auth/./me",
        "/auth/../auth/me",
        "/auth/%2e%2e/auth/me",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/auth%2fme",
        "/auth/me%00",
        "/auth/me;a=b",
        "/AUTH/me",
        "/%61uth/me",
        "/%ff",
        "/%",
    ] {
        let answer = served.connect().await.ask("GET", path).await;
        answer.problem(404, "not_found");
        is_guarded(&answer);
    }
    for (method, target) in [("OPTIONS", "*"), ("CONNECT", "example.com:443"), ("GET", "http://example.com/nowhere")] {
        let answer = served.connect().await.ask(method, target).await;
        assert!((400..500).contains(&answer.status), "{method} {target}: {}", answer.status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_ids_and_queries_are_refused_and_break_nothing() {
    let served = Served::as_usual().await;
    let ada = signed_up(&served.client()).await;
    for id in ["%2f", "a%2fb", "%ff", "%00", "%F0%9F%A6%80", "0199e0a4"] {
        ada.get(&format!("/api/v1/workflows/{id}")).await.problem(404, "not_found");
    }
    for id in ["%ff", "0199e0a4-0000-7000-8000-000000000001"] {
        let path = format!("/api/v1/workflows/{id}/steps/%ff/approve");
        ada.post(&path, &json!({})).await.problem(404, "not_found");
    }
    for query in ["limit=%ff", "limit=0", "limit=-1", "limit=1&limit=2", "limit=99999999999999999999"] {
        ada.get(&format!("/api/v1/workflows?{query}")).await.problem(400, "bad_request");
    }
    for cursor in ["%00", "%ff", "x", "AAAA"] {
        ada.get(&format!("/api/v1/workflows?cursor={cursor}")).await.problem(400, "invalid_cursor");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_run_exactly_what_stands_in_them() {
    let served = Served::as_usual().await;
    for path in ["/docs", "/auth/verify-email?token=x"] {
        let page = served.client().get(path).await;
        assert_eq!(page.status, 200, "{path}");
        is_guarded(&page);
        let policy = page.header("content-security-policy");
        for (element, directive) in [("script", "script-src"), ("style", "style-src")] {
            let (_, rest) = page.text.split_once(&format!("<{element}>")).expect(element);
            let (text, _) = rest.split_once(&format!("</{element}>")).expect(element);
            let source = format!("{directive} 'sha256-{}';", STANDARD.encode(Sha256::digest(text)));
            assert!(policy.contains(&source), "{path}: {source} in {policy}");
        }
        for directive in ["default-src 'none';", "connect-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(directive), "{path}: {directive} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        // What the policy would stop: scripts in attributes, styles in attributes, and files of others.
        for stopped in [" onclick=", " onload=", " onsubmit=", " style=", " src="] {
            assert!(!page.text.contains(stopped), "{path}: {stopped}");
        }
    }
    let data = served.client().get("/health/live").await;
    assert_eq!(data.header("content-security-policy"), DATA);
    is_guarded(&data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_told_to_come_over_https_where_there_is_https() {
    for (base_url, expected) in [("http://127.0.0.1:8000", ""), ("https://autoos.example.com", "max-age=31536000")] {
        let served =
            Served::start(Bounds::default(), |config| config.base_url = base_url.parse().expect("a URL")).await;
        let answer = served.client().get("/health/live").await;
        assert_eq!(answer.header("strict-transport-security"), expected, "{base_url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_others_may_not_call_by_default() {
    let served = Served::as_usual().await;
    for (method, status) in [(Method::OPTIONS, 405), (Method::GET, 200)] {
        let request = served.client().request(method, "/payments/pricing").header("origin", APP);
        let answer = send(request.header("access-control-request-method", "GET")).await;
        assert_eq!(answer.status, status);
        let told = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!told, "{:?}", answer.headers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_named_origins_may_call_every_route() {
    let served = Served::start(Bounds::default(), |config| config.cors_origins = vec![APP.to_owned()]).await;
    let client = served.client();
    let document: Value = serde_json::from_str(&::api::openapi()).expect("JSON");
    for path in document["paths"].as_object().expect("paths").keys() {
        // A parameter in braces is an id like any other.
        let preflight = client.request(Method::OPTIONS, &path.replace(['{', '}'], "")).header("origin", APP);
        let preflight = preflight.header("access-control-request-method", "POST");
        let answer = send(preflight.header("access-control-request-headers", "authorization,idempotency-key")).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        for (name, value) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-methods", "GET,POST,PATCH,DELETE"),
            ("access-control-allow-headers", "authorization,content-type,idempotency-key,x-request-id,last-event-id"),
            ("access-control-max-age", "3600"),
            ("access-control-allow-credentials", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        is_guarded(&answer);
    }
    let from = |origin: &str, path: &str| send(client.request(Method::GET, path).header("origin", origin));
    for path in ["/payments/pricing", "/auth/me", "/nowhere"] {
        let answer = from(APP, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), APP, "{path}");
        assert!(answer.header("vary").contains("origin"), "{path}");
        for name in ["ratelimit-remaining", "retry-after", "idempotent-replayed", "x-request-id"] {
            assert!(answer.header("access-control-expose-headers").contains(name), "{path}: {name}");
        }
    }
    for stranger in ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null"] {
        assert_eq!(from(stranger, "/payments/pricing").await.header("access-control-allow-origin"), "", "{stranger}");
    }
}
