use std::time::Duration;

use serde_json::json;

use super::*;
use crate::actions::stand_in_server::{StandInServer, answer};
use crate::actions::tests::{lenient_rules, run_of};

async fn request_by(rules: HttpRules, with: Value) -> Result<Value, ActionError> {
    let http = HttpClient::new(rules).unwrap();
    match run(&run_of("http.request", with), &http).await? {
        Done::Output(output) => Ok(output),
        other => panic!("{other:?}"),
    }
}

async fn request(with: Value) -> Result<Value, ActionError> {
    request_by(lenient_rules(), with).await
}

fn redirect_to(url: &str) -> String {
    answer("302 Found", &format!("Location: {url}\r\n"), "")
}

#[tokio::test]
async fn an_answer_becomes_the_output() {
    let server = StandInServer::start(&[answer(
        "200 OK",
        "X-Trace: Abc\r\nContent-Type: application/json\r\n",
        "{\"total\": 42}",
    )])
    .await;
    let output = request(json!({"url": server.url("/sales"), "query": {"week": 14}})).await.unwrap();
    assert_eq!(output["status"], 200);
    assert_eq!(output["json"], json!({"total": 42}));
    assert_eq!(output["bytes"], 13);
    assert_eq!(output["headers"]["x-trace"], "Abc");
    assert_eq!(output.get("text"), None);
    assert!(server.seen()[0].starts_with("GET /sales?week=14 HTTP/1.1\r\n"), "{:?}", server.seen());
}

#[tokio::test]
async fn a_request_says_who_we_are_and_which_step_it_is_for() {
    let server = StandInServer::start(&[answer("201 Created", "", "ok")]).await;
    let with = json!({"method": "POST", "url": server.url("/"), "headers": {"X-Mine": "1"}, "body": {"n": 1}});
    assert_eq!(request(with).await.unwrap()["text"], "ok");
    let seen = server.seen().remove(0);
    for part in [
        "POST / HTTP/1.1",
        "idempotency-key: 00000000-0000-0000-0000-000000000000:step",
        concat!("user-agent: autoos/", env!("CARGO_PKG_VERSION")),
        "x-mine: 1",
        "content-type: application/json",
        "\r\n\r\n{\"n\":1}",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
}

#[tokio::test]
async fn a_status_that_was_not_expected_fails_and_shows_no_query() {
    let server = StandInServer::start(&[answer("404 Not Found", "", "")]).await;
    let error = request(json!({"url": server.url("/x?key=secret")})).await.unwrap_err();
    assert_eq!(error, ActionError::Fail(format!("GET {} answered 404", server.url("/x"))));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let server = StandInServer::start(&[answer("503 Busy", "Retry-After: 7\r\n", "")]).await;
    let error = request(json!({"url": server.url("/")})).await.unwrap_err();
    assert!(matches!(error, ActionError::RetryAfter(_, pause) if pause == Duration::from_secs(7)), "{error}");
}

#[tokio::test]
async fn a_step_may_expect_other_statuses_or_take_any() {
    let answers = [answer("404 Not Found", "", "none"), answer("500 Oops", "", ""), redirect_to("/elsewhere")];
    let server = StandInServer::start(&answers).await;
    let expected = request(json!({"url": server.url("/"), "expect_status": [404]})).await.unwrap();
    assert_eq!((&expected["status"], &expected["text"]), (&json!(404), &json!("none")));
    let any = request(json!({"url": server.url("/"), "fail_on_status": false})).await.unwrap();
    assert_eq!(any["status"], 500);
    let redirect = request(json!({"url": server.url("/"), "expect_status": [302]})).await.unwrap();
    assert_eq!(redirect["headers"]["location"], "/elsewhere");
}

#[tokio::test]
async fn redirects_are_followed_and_credentials_stay_behind() {
    let other = StandInServer::start(&[answer("200 OK", "", "there")]).await;
    let server = StandInServer::start(&[redirect_to("/two"), redirect_to(&other.url("/three"))]).await;
    let headers = json!({"Authorization": "Bearer secret", "X-Mine": "1"});
    let with = json!({"method": "POST", "url": server.url("/one"), "headers": headers, "body": "x"});
    assert_eq!(request(with).await.unwrap()["text"], "there");
    let (first, second, third) = (&server.seen()[0], &server.seen()[1], &other.seen()[0]);
    assert!(first.starts_with("POST /one ") && first.contains("authorization: Bearer secret"), "{first}");
    assert!(second.starts_with("GET /two ") && second.contains("authorization: Bearer secret"), "{second}");
    assert!(third.starts_with("GET /three ") && third.contains("x-mine: 1"), "{third}");
    assert!(!third.contains("secret") && third.contains("idempotency-key: "), "{third}");
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = StandInServer::start(&vec![redirect_to("/again"); 6]).await;
    let error = request(json!({"url": server.url("/")})).await.unwrap_err();
    assert!(matches!(&error, ActionError::Fail(message) if message.contains("redirect number 6")), "{error}");
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn every_hop_is_judged() {
    for target in ["ftp://example.com/", "http://ada:secret@127.0.0.1/"] {
        let server = StandInServer::start(&[redirect_to(target)]).await;
        let error = request(json!({"url": server.url("/")})).await.unwrap_err();
        assert!(matches!(&error, ActionError::Fail(message) if message.contains("was not sent")), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_by_number_and_by_name() {
    let server = StandInServer::start(&[answer("200 OK", "", "")]).await;
    for url in [server.url("/"), server.url("/").replace("127.0.0.1", "localhost")] {
        let strict = HttpRules { allow_private: false, ..lenient_rules() };
        let error = request_by(strict, json!({"url": url})).await.unwrap_err();
        assert!(matches!(&error, ActionError::Fail(message) if message.contains("loopback")), "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails() {
    let body = "x".repeat(3000);
    let chunked =
        "200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nbb8\r\n".to_owned() + &body + "\r\n0\r\n\r\n";
    let server = StandInServer::start(&[answer("200 OK", "", &body), chunked, answer("200 OK", "", &body)]).await;
    for _ in 0..2 {
        let error = request(json!({"url": server.url("/"), "max_bytes": 2999})).await.unwrap_err();
        assert!(matches!(&error, ActionError::Fail(message) if message.contains("more than 2999 bytes")), "{error}");
    }
    assert_eq!(request(json!({"url": server.url("/"), "max_bytes": 3000})).await.unwrap()["bytes"], 3000);
}

#[tokio::test]
async fn a_connection_that_fails_is_worth_another_try() {
    let error = request(json!({"url": "http://127.0.0.1:1/"})).await.unwrap_err();
    assert!(matches!(&error, ActionError::Retry(message) if message.contains("refused")), "{error}");
    let server = StandInServer::start(&["200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort".into()]).await;
    let error = request(json!({"url": server.url("/")})).await.unwrap_err();
    assert!(matches!(error, ActionError::Retry(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let hurried = HttpRules { timeout: Duration::from_millis(50), ..lenient_rules() };
    let error = request_by(hurried, json!({"url": url})).await.unwrap_err();
    assert!(matches!(error, ActionError::Retry(_)), "{error}");
}
