//! Slow and greedy clients: each of them gets its answer or its end in time, and nobody else waits for them.

use std::time::Duration;

use ::api::Bounds;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::served::{PATIENCE, Served};

/// Short, so that running into a bound takes no time.
const SHORT: Duration = Duration::from_millis(250);
const SIGN_IN: &str = "POST /auth/signin HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_to_its_end_ends_the_connection() {
    let served = Served::start(Bounds { head: SHORT, ..Bounds::default() }, |_| {}).await;
    let mut silent = served.connect().await;
    assert_eq!(silent.rest().await, "");
    let mut halting = served.connect().await;
    halting.send("GET /health/live HTTP/1.1\r\nHost: te").await;
    assert_eq!(halting.rest().await, "");

    // Each byte comes in time, but they have no end.
    let mut trickling = served.connect().await;
    trickling.send("GET /health/live HTTP/1.1\r\nHost: ").await;
    let ended = async {
        while trickling.stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("an end of the connection");
    served.client().get("/health/live").await.must(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_arrive_is_a_timeout_of_the_request() {
    let served = Served::start(Bounds { body: SHORT, ..Bounds::default() }, |_| {}).await;
    let mut slow = served.connect().await;
    slow.send(&format!("{SIGN_IN}Content-Length: 100\r\n\r\n{{\"email\"")).await;
    slow.answer().await.problem(408, "request_timeout");
    assert_eq!(slow.rest().await, "");
    served.client().get("/health/live").await.must(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_answer_in_time_is_given_up() {
    let served = Served::start(Bounds { request: SHORT, ..Bounds::default() }, |_| {}).await;
    // A body that is waited for stands in for anything that takes too long.
    let mut slow = served.connect().await;
    slow.send(&format!("{SIGN_IN}Content-Length: 100\r\n\r\n{{\"email\"")).await;
    let answer = slow.answer().await;
    answer.problem(503, "timed_out");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_no_answers_is_cut_off() {
    let served = Served::start(Bounds { write: SHORT, ..Bounds::default() }, |_| {}).await;
    let mut greedy = served.connect().await;
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    // Sooner or later the answers fill all buffers on the way, and then the server closes the connection.
    let ended = async { while greedy.stream.write_all(&request).await.is_ok() {} };
    timeout(PATIENCE, ended).await.expect("an end of the connection");
    served.client().get("/health/live").await.must(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused() {
    let served = Served::as_usual().await;
    let body = json!({"email": "ada@example.com", "password": "x".repeat(256 * 1024)});
    served.client().post("/auth/signin", &body).await.problem(413, "body_too_large");

    let long = "x".repeat(9_000);
    for target in [format!("/{long}"), format!("/health/live?{long}")] {
        served.connect().await.ask("GET", &target).await.problem(414, "uri_too_long");
    }
    let many = |count: usize| "X-One: more\r\n".repeat(count);
    for (headers, status) in
        [(many(99), "200"), (many(100), "431"), (format!("X-One: {}\r\n", "x".repeat(17_000)), "431")]
    {
        let mut raw = served.connect().await;
        raw.send(&format!("GET /health/live HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_connections_are_open_at_once() {
    let served = Served::start(Bounds { connections: 1, ..Bounds::default() }, |_| {}).await;
    let mut first = served.connect().await;
    first.ask("GET", "/health/live").await.must(200);
    let mut second = served.connect().await;
    second.send("GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").await;
    // Nothing could end this wait early but a mistake.
    assert!(timeout(SHORT, second.answer()).await.is_err());
    first.ask("GET", "/health/live").await.must(200);
    drop(first);
    second.answer().await.must(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_closes_what_is_idle_and_lets_a_running_request_end() {
    let served = Served::as_usual().await;
    let (mut idle, mut fresh, mut running) = (served.connect().await, served.connect().await, served.connect().await);
    idle.ask("GET", "/health/live").await.must(200);
    running.send(&format!("{SIGN_IN}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")).await;
    // The handler asks for the body: the request runs.
    running.until("HTTP/1.1 100 Continue\r\n\r\n").await;

    served.stop.cancel();
    served.lets_nobody_in().await;
    assert_eq!((idle.rest().await, fresh.rest().await), (String::new(), String::new()));
    running.send("{}").await;
    running.answer().await.problem(422, "validation_failed");
    assert_eq!(running.rest().await, "");
    served.ended().await;
}
