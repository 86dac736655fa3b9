//! One call as it is sent, and what comes of sending it once.

use std::error::Error as _;
use std::iter::successors;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use stripe_client_core::{RequestBuilder, StripeMethod};
use url::Url;

use super::error::{StripeError, StripeResult, refusal};
use super::retry::{Again, text};

/// The version of the API that is spoken, whatever the account's own is. Changing it is a decision: read Stripe's list
/// of changes first.
const VERSION: &str = "2026-09-30.endive";
/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The longest idempotency key that Stripe takes.
const MAX_KEY: usize = 255;

/// A call, the same however often it is sent.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
}

/// What came of sending a call once.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) result: StripeResult<Vec<u8>>,
    /// None: there was no answer.
    pub(super) status: Option<u16>,
    /// What Stripe calls this request.
    pub(super) request: Option<String>,
    pub(super) again: Again,
}

impl Call {
    /// `base` is the address of the API without a slash at its end.
    pub(super) fn new(
        base: &str,
        secret: &SecretString,
        request: RequestBuilder,
        key: Option<&str>,
    ) -> StripeResult<Self> {
        let url = Url::parse(&format!("{base}/v1{}", request.path));
        let mut url = url.map_err(|error| wrong(format!("the address cannot be read: {error}")))?;
        url.set_query(request.query.as_deref().filter(|query| !query.is_empty()));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization(secret)?);
        headers.insert("stripe-version", HeaderValue::from_static(VERSION));
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        if let Some(key) = key {
            headers.insert("idempotency-key", idempotency_key(key)?);
        }
        Ok(Self { method: method(request.method), path: request.path, url, headers, body: request.body })
    }

    /// Sends it once.
    pub(super) async fn attempt(&self, client: &Client, secret: &SecretString, limit: Duration) -> Attempt {
        match self.send(client, limit).await {
            Ok(answer) => answer.judge(secret),
            Err(error) => Attempt {
                result: Err(StripeError::Unavailable { message: lost(&error, limit), saved: false }),
                status: None,
                request: None,
                again: Again::Soon,
            },
        }
    }

    async fn send(&self, client: &Client, limit: Duration) -> reqwest::Result<Answer> {
        let request = client.request(self.method.clone(), self.url.clone());
        let request = request.headers(self.headers.clone()).timeout(limit);
        let request = match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: body(response).await? })
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// None: too long.
    body: Option<Vec<u8>>,
}

impl Answer {
    fn judge(self, secret: &SecretString) -> Attempt {
        let status = self.status.as_u16();
        let result = match self.body {
            Some(body) if self.status.is_success() => Ok(body),
            None if self.status.is_success() => {
                Err(StripeError::Unreadable(format!("it has more than {MAX_ANSWER} bytes")))
            }
            body => {
                let body = body.unwrap_or_default();
                // A stand-in, or what sits in between, may repeat the key that it refuses.
                let told = String::from_utf8_lossy(&body).replace(secret.expose_secret(), "[the key]");
                Err(refusal(status, &told))
            }
        };
        let request = text(&self.headers, "request-id").map(str::to_owned);
        Attempt { result, status: Some(status), request, again: Again::asked_by(self.status, &self.headers) }
    }
}

/// None: longer than [`MAX_ANSWER`].
async fn body(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Fails if the key has characters that no header may have.
pub(super) fn authorization(secret: &SecretString) -> StripeResult<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()));
    let mut value = value.map_err(|_| StripeError::Unauthorized("it has characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn idempotency_key(key: &str) -> StripeResult<HeaderValue> {
    let value = HeaderValue::from_str(key).ok().filter(|_| (1..=MAX_KEY).contains(&key.len()));
    value.ok_or_else(|| wrong(format!("an idempotency key has 1 to {MAX_KEY} printable characters")))
}

fn wrong(message: String) -> StripeError {
    StripeError::Invalid { code: None, param: None, message }
}

fn method(method: StripeMethod) -> Method {
    match method {
        StripeMethod::Get => Method::GET,
        StripeMethod::Post => Method::POST,
        StripeMethod::Delete => Method::DELETE,
    }
}

/// The innermost cause says what happened; the layers around it only say that something did, and where.
fn lost(error: &reqwest::Error, limit: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {limit:?}");
    }
    let cause = successors(error.source(), |&cause| cause.source()).last();
    cause.map_or_else(|| "the connection failed".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(request: RequestBuilder, key: Option<&str>) -> StripeResult<Call> {
        Call::new("https://api.example/stripe", &"sk_test_1".into(), request, key)
    }

    fn get() -> RequestBuilder {
        RequestBuilder::new(StripeMethod::Get, "/prices")
    }

    #[test]
    fn the_version_is_the_one_that_the_requests_were_made_for() {
        assert_eq!(VERSION, stripe_client_core::VERSION.as_str());
    }

    #[test]
    fn a_path_goes_below_the_address_of_the_api_and_its_version() {
        let price = RequestBuilder { query: Some("lookup_keys[0]=autoos:a+b%26c".into()), ..get() };
        let url = call(price, None).unwrap().url;
        assert_eq!(url.as_str(), "https://api.example/stripe/v1/prices?lookup_keys[0]=autoos:a+b%26c");
        let all = RequestBuilder { query: Some(String::new()), ..get() };
        assert_eq!(call(all, None).unwrap().url.as_str(), "https://api.example/stripe/v1/prices");
    }

    #[test]
    fn a_call_shows_nothing_of_the_key() {
        let call = call(get(), Some("autoos:1:a")).unwrap();
        assert_eq!(call.headers[AUTHORIZATION], "Bearer sk_test_1");
        assert_eq!(call.headers["idempotency-key"], "autoos:1:a");
        assert!(!format!("{call:?}").contains("sk_test_1"), "{call:?}");
    }

    #[test]
    fn what_no_header_may_have_is_refused_before_anything_is_sent() {
        for key in ["", "a\nb", &"k".repeat(MAX_KEY + 1)] {
            assert!(matches!(call(get(), Some(key)), Err(StripeError::Invalid { .. })), "{key:?}");
        }
        assert!(call(get(), Some(&"k".repeat(MAX_KEY))).is_ok());
        assert!(matches!(authorization(&"sk_\n".into()), Err(StripeError::Unauthorized(_))));
    }
}
