//! `http.request`: calls an HTTP service and takes in the answer.
//!
//! Redirects are followed here and not by the client, so that every hop is judged by the address rules and credentials
//! stay with the host they were meant for. What is sent is in `http_call.rs`, what comes back in `http_answer.rs`.

use std::error::Error;
use std::iter::successors;

use chrono::{DateTime, Utc};
use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use shared::actions::params::HttpRequest;
use tokio::time::timeout;
use url::Url;

use super::address_rules::{HttpRules, Refused};
use super::http_answer::{output, status_error};
use super::http_call::Call;
use super::{ActionError, Done, Run};

/// A client, and the rules that it is used by.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: Client,
    rules: HttpRules,
}

impl HttpClient {
    /// Fails when the system's certificates cannot be loaded.
    pub(super) fn new(rules: HttpRules) -> Result<Self, reqwest::Error> {
        Ok(Self { client: rules.client()?, rules })
    }
}

/// Sends the request, follows redirects, and judges the answer.
pub(super) async fn run(run: &Run, http: &HttpClient) -> Result<Done, ActionError> {
    let params: HttpRequest = run.params()?;
    let call = Call::first(&params, &run.idempotency_key())?;
    // A little less than the attempt's own limit, so that the answer can still say what happened.
    let limit = http.rules.timeout.min(run.limit.mul_f32(0.9));
    let late = format!("{call} took longer than {} seconds.", limit.as_secs());
    let result = timeout(limit, exchange(http, call, &params, run.now)).await;
    match result.unwrap_or(Err(ActionError::Retry(late))) {
        Err(ActionError::Retry(error)) if params.capture_errors => {
            Ok(Done::Output(json!({"status": 0, "error": error})))
        }
        other => other.map(Done::Output),
    }
}

async fn exchange(
    http: &HttpClient,
    mut call: Call,
    params: &HttpRequest,
    now: DateTime<Utc>,
) -> Result<Value, ActionError> {
    for _ in 0..=http.rules.max_redirects {
        http.rules
            .check_url(&call.url)
            .map_err(|refused| ActionError::Fail(format!("{call} was not sent: {refused}.")))?;
        let response = send(&http.client, &call).await?;
        match redirect(&response, &call, params) {
            Some(to) => call = call.redirected(response.status(), to),
            None => return answer(response, &call, params, now).await,
        }
    }
    Err(ActionError::Fail(format!("{call} would be redirect number {}.", http.rules.max_redirects + 1)))
}

async fn send(client: &Client, call: &Call) -> Result<Response, ActionError> {
    let request = client.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
    let request = match &call.body {
        Some(body) => request.body(body.clone()),
        None => request,
    };
    request.send().await.map_err(|error| connection_error(&error, call))
}

/// Where the answer sends us, unless the step asked for this very status.
fn redirect(response: &Response, call: &Call, params: &HttpRequest) -> Option<Url> {
    let status = response.status();
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&status) || params.expects(status.as_u16()) {
        return None;
    }
    call.url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

async fn answer(
    mut response: Response,
    call: &Call,
    params: &HttpRequest,
    now: DateTime<Utc>,
) -> Result<Value, ActionError> {
    let status = response.status();
    if params.fail_on_status && !params.expects(status.as_u16()) {
        return Err(status_error(&call.to_string(), status, response.headers(), now));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&error, call))? {
        if (body.len() + chunk.len()) as u64 > params.max_bytes {
            let limit = params.max_bytes;
            return Err(ActionError::Fail(format!("{call} was answered with more than {limit} bytes.")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(output(status, response.headers(), &body))
}

/// The innermost cause says what happened; the layers around it only say that something did.
fn connection_error(error: &reqwest::Error, call: &Call) -> ActionError {
    let causes = || successors(error.source(), |&cause| cause.source());
    if let Some(refused) = causes().find_map(|cause| cause.downcast_ref::<Refused>()) {
        return ActionError::Fail(format!("{call} was not sent: {refused}."));
    }
    if error.is_builder() {
        return ActionError::Fail(format!("{call} is not a request that can be sent."));
    }
    if error.is_timeout() {
        return ActionError::Retry(format!("{call} was not answered in time."));
    }
    let cause = causes().last().map_or_else(|| "the connection failed".to_owned(), ToString::to_string);
    ActionError::Retry(format!("{call} failed: {cause}."))
}

#[cfg(test)]
mod tests;
