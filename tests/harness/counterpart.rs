//! What the servers that take Stripe's place have in common: how they are run, and a client to try them with.
//!
//! For one more such server write a module like `emulate.rs`: a command for [`Counterpart::start`], and tests of all that
//! others may rely on.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use super::child::{Guarded, free_port, temp_dir};

/// A key that all of them take for one of a test account.
pub const TEST_KEY: &str = "sk_test_12345";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server, killed and removed when dropped.
pub struct Counterpart {
    _process: Guarded,
    base_url: String,
    _dir: TempDir,
}

impl Counterpart {
    /// Runs the command that `make` has for a free port and an empty directory, and waits until it answers there. It sees
    /// nothing of our environment but `PATH`.
    pub async fn start(make: impl FnOnce(u16, &Path) -> Command) -> Self {
        let dir = temp_dir();
        let port = free_port();
        let mut command = make(port, dir.path());
        command.env_clear().env("PATH", env::var("PATH").unwrap_or_default()).env("HOME", dir.path());
        command.current_dir(dir.path());
        let mut process = Guarded::spawn(&mut command, dir.path(), "KILL");
        let base_url = format!("http://127.0.0.1:{port}");
        process.wait_until_answered(&base_url, |_| true).await;
        Self { _process: process, base_url, _dir: dir }
    }

    /// Its address without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

/// A client that takes every answer as it comes, redirects too.
pub fn client() -> Client {
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT).build();
    client.unwrap_or_else(|error| panic!("HTTP client: {error}"))
}

/// Status and JSON of the answer to a GET.
pub async fn get(url: &str) -> (u16, Value) {
    answer(client().get(url)).await
}

/// Status and JSON of the answer to a POST of this form, which is encoded already.
pub async fn post(url: &str, form: &str) -> (u16, Value) {
    answer(posting(url, form)).await
}

/// The same POST, before it is sent.
pub fn posting(url: &str, form: &str) -> RequestBuilder {
    client().post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned())
}

/// Status and JSON of the answer to a request; what is not JSON is given as text.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.bearer_auth(TEST_KEY).send().await.expect("answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
