//! The client's side of a journey: HTTP calls with answers that are easy to check, and mails as people read them.
//!
//! A helper here panics with what it got when that is not what it was told to expect, so that journeys read as plain
//! stories. For one more kind of waiting: a method that calls [`eventually`].

use std::path::{Path, PathBuf};
use std::time::Instant;

use mailparse::{MailHeaderMap, ParsedMail};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{PATIENCE, POLL};
use crate::harness::smtp::SmtpServer;

/// The password of everybody.
pub const PASSWORD: &str = "Correct-Horse7-Battery";

/// Looks again and again until it is there; an `Err` says what was seen instead.
pub async fn eventually<T>(look: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "after {PATIENCE:?}: {seen}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// An intent with a plan of these steps.
pub fn planned(steps: &Value) -> Value {
    json!({"intent": "Do what the plan says", "plan": {"steps": steps}})
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The value of a header, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, if the status is the expected one.
    pub fn must(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// Checks that there is nothing but the expected status.
    pub fn empty(&self, status: u16) {
        assert_eq!((self.status, self.text.as_str()), (status, ""));
    }

    /// The body, if it is a whole problem document of that status and code.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.must(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{problem}");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {problem}");
        }
        assert_eq!(self.header("www-authenticate"), if status == 401 { "Bearer" } else { "" }, "{problem}");
        problem
    }
}

/// Somebody who calls the API, signed in or not.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    bearer: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    pub fn new(base_url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let http = http.unwrap_or_else(|error| panic!("HTTP client: {error}"));
        Self { http, base_url: base_url.to_owned(), bearer: None, headers: Vec::new() }
    }

    /// The same client, talking to another process.
    pub fn at(&self, base_url: &str) -> Self {
        Self { base_url: base_url.to_owned(), ..self.clone() }
    }

    /// The same client with the access token of a pair.
    pub fn with_tokens(&self, tokens: &Value) -> Self {
        Self { bearer: tokens["access_token"].as_str().map(str::to_owned), ..self.clone() }
    }

    /// The same client with anything as its access token.
    pub fn with_bearer(&self, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client with a header in each of its requests; another value replaces the one before.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(other, _)| *other != name);
        client.headers.push((name, value.to_owned()));
        client
    }

    /// A request that is not like the others.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Closes the own account.
    pub async fn close(&self, password: &str) -> Answer {
        send(self.request(Method::DELETE, "/auth/me").json(&json!({ "password": password }))).await
    }

    /// Signs somebody in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.post("/auth/signin", &json!({"email": email, "password": password})).await
    }

    /// Submits an intent and gives the id of its workflow.
    pub async fn submit(&self, intent: &Value) -> String {
        id(&self.post("/api/v1/intents", intent).await.must(202))
    }

    /// A workflow as it is now.
    pub async fn workflow(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/workflows/{id}")).await.must(200)
    }

    /// Gives a workflow an order such as `pause`.
    pub async fn order(&self, id: &str, order: &str) -> Answer {
        send(self.request(Method::POST, &format!("/api/v1/workflows/{id}/{order}"))).await
    }

    /// Waits until a workflow is as `is` wants it.
    pub async fn until(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(async || {
            let workflow = self.workflow(id).await;
            if is(&workflow) { Ok(workflow) } else { Err(format!("the workflow is {workflow:#}")) }
        })
        .await
    }

    /// Waits for the end of a workflow, which must be this one.
    pub async fn ends(&self, id: &str, status: &str) -> Value {
        let ended = |w: &Value| ["completed", "failed", "cancelled"].iter().any(|end| w["status"] == *end);
        let workflow = self.until(id, ended).await;
        assert_eq!(workflow["status"], status, "{workflow:#}");
        workflow
    }

    /// Waits until the step at this place in the plan waits for a person.
    pub async fn waits_for_a_person(&self, id: &str, step: usize) -> Value {
        self.until(id, |w| w["steps"][step]["status"] == "waiting").await
    }

    /// Trial credits left.
    pub async fn credits(&self) -> i64 {
        let trial = self.get("/payments/trial").await.must(200);
        trial["credits_remaining"].as_i64().unwrap_or_else(|| panic!("{trial}"))
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap_or_else(|error| panic!("half an answer: {error:?}"));
    Answer { status, headers, text }
}

/// The id in a workflow or in the answer to an intent.
pub fn id(body: &Value) -> String {
    body["workflow_id"].as_str().unwrap_or_else(|| panic!("no workflow_id in {body}")).to_owned()
}

/// The fields that a problem document complains about; several complaints in a row about one field are one.
pub fn faulty(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut fields: Vec<_> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
    fields.dedup();
    fields
}

/// A mail on arrival.
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub message_id: String,
    /// The plain text of it.
    pub text: String,
}

impl Mail {
    /// The token in its link.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once("token=").unwrap_or_else(|| panic!("no token in {}", self.text));
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    }
}

/// Where mails arrive.
pub enum Mailbox {
    Folder(PathBuf),
    Server(SmtpServer),
}

impl Mailbox {
    /// All mails so far.
    pub fn mails(&self) -> Vec<Mail> {
        let raw = match self {
            Self::Folder(folder) => files(folder),
            Self::Server(server) => server.messages(),
        };
        raw.iter().map(|raw| read(raw)).collect()
    }
}

/// The folder is made with the first mail.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mails = paths.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
    mails.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

fn read(raw: &str) -> Mail {
    let mail = mailparse::parse_mail(raw.as_bytes()).unwrap_or_else(|error| panic!("{error} in {raw}"));
    let header = |name: &str| mail.headers.get_first_value(name).unwrap_or_default();
    let text = mail.parts().find(|part| part.ctype.mimetype == "text/plain").map(body);
    let text = text.unwrap_or_else(|| panic!("no plain text in {raw}"));
    Mail { to: header("To"), subject: header("Subject"), message_id: header("Message-ID"), text }
}

fn body(part: &ParsedMail<'_>) -> String {
    part.get_body().unwrap_or_else(|error| panic!("{error} in a mail")).replace("\r\n", "\n")
}
