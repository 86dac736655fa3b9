//! Stripe as something to talk to: calls with their retries, and lists page by page.
//!
//! What a call is and what becomes of one attempt is in `attempt.rs`, when it is made again in `retry.rs`. A change
//! goes under an idempotency key, the same for all its attempts, so that it is made once however often it is asked for;
//! what only reads needs none. One line is logged for each call, without anything of its content.

use reqwest::{Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use stripe_client_core::RequestBuilder;
use tokio::time::{Instant, sleep};

use super::attempt::{Attempt, Call, authorization};
use super::error::{StripeError, StripeResult};
use super::objects::{List, Object};
use super::retry::{Patience, chance};
use crate::config::StripeConfig;

/// How many objects a page of a list has; Stripe gives no more.
pub(super) const PAGE: i64 = 100;
/// How many pages of a list are read.
const MAX_PAGES: i64 = 100;

/// The connection to Stripe.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    /// The address of the API, without a slash at its end.
    base: String,
    key: SecretString,
    patience: Patience,
}

impl Stripe {
    /// The connection that is configured; none without a secret key. Fails when the key cannot be sent, or when the
    /// system's certificates cannot be loaded.
    pub fn new(config: &StripeConfig) -> Result<Option<Self>, StripeError> {
        let Some(key) = config.secret_key.clone() else { return Ok(None) };
        authorization(&key)?;
        let client = Client::builder()
            .user_agent(concat!("autoos/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build();
        let client = client
            .map_err(|error| StripeError::Unavailable { message: format!("no client: {error}"), saved: false })?;
        let base = config.api_base.as_str().trim_end_matches('/').to_owned();
        Ok(Some(Self { client, base, key, patience: Patience::default() }))
    }

    /// The same connection with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Whether real money is meant, as far as the key tells.
    pub fn livemode(&self) -> Option<bool> {
        let key = self.key.expose_secret();
        let begins = |with: [&str; 2]| with.iter().any(|start| key.starts_with(start));
        match (begins(["sk_live_", "rk_live_"]), begins(["sk_test_", "rk_test_"])) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Whether real money is meant; a key that does not say is one of a stand-in.
    pub fn is_live(&self) -> bool {
        self.livemode().unwrap_or(false)
    }

    /// Makes a call that only reads.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> StripeResult<T> {
        decode(&self.exchange(request, None).await?)
    }

    /// Makes a call that changes something, once for each idempotency key.
    pub(super) async fn change<T: DeserializeOwned>(&self, request: RequestBuilder, key: &str) -> StripeResult<T> {
        decode(&self.exchange(request, Some(key)).await?)
    }

    /// Everything on a list. `page` asks for [`PAGE`] objects after the one with an id.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        page: impl Fn(Option<&str>) -> RequestBuilder,
    ) -> StripeResult<Vec<T>> {
        self.raw_list(MAX_PAGES, page).await?.iter().map(|object| decode(object.get().as_bytes())).collect()
    }

    /// The same, as Stripe wrote it, if it has no more than that many pages.
    pub(super) async fn raw_list(
        &self,
        max_pages: i64,
        page: impl Fn(Option<&str>) -> RequestBuilder,
    ) -> StripeResult<Vec<Box<RawValue>>> {
        let mut all: Vec<Box<RawValue>> = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..max_pages {
            let list: List<Box<RawValue>> = self.read(page(last.as_deref())).await?;
            let end = list.data.last().filter(|_| list.has_more);
            last = end.map(|object| decode::<Object>(object.get().as_bytes())).transpose()?.map(|object| object.id);
            all.extend(list.data);
            if last.is_none() {
                return Ok(all);
            }
        }
        Err(StripeError::Unreadable(format!("the list has more than {} objects", max_pages * PAGE)))
    }

    /// The body of the answer, after as many attempts as it takes and patience allows.
    async fn exchange(&self, request: RequestBuilder, key: Option<&str>) -> StripeResult<Vec<u8>> {
        let call = Call::new(&self.base, &self.key, request, key)?;
        let deadline = Instant::now() + self.patience.total;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let limit = self.patience.attempt.min(deadline.saturating_duration_since(Instant::now()));
            let attempt = call.attempt(&self.client, &self.key, limit).await;
            let pause = attempt.again.pause(attempts, self.patience.first_pause, chance());
            let Some(pause) = pause.filter(|pause| Instant::now() + *pause < deadline) else {
                log(&call, &attempt, attempts);
                return attempt.result;
            };
            sleep(pause).await;
        }
    }
}

fn log(call: &Call, attempt: &Attempt, attempts: u32) {
    let (method, path) = (call.method.as_str(), call.path.as_str());
    let (status, request) = (attempt.status, attempt.request.as_deref());
    match &attempt.result {
        Ok(_) => tracing::debug!(
            stripe.method = method,
            stripe.path = path,
            stripe.status = status,
            stripe.request = request,
            stripe.attempts = attempts,
            "Stripe did it"
        ),
        Err(error) => tracing::warn!(
            stripe.method = method,
            stripe.path = path,
            stripe.status = status,
            stripe.request = request,
            stripe.attempts = attempts,
            error = error.outline(),
            "Stripe did not do it"
        ),
    }
}

/// Reads what Stripe wrote.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> StripeResult<T> {
    serde_json::from_slice(body).map_err(|error| StripeError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(key: Option<&str>) -> StripeConfig {
        StripeConfig {
            secret_key: key.map(SecretString::from),
            publishable_key: None,
            webhook_secrets: Vec::new(),
            api_base: "https://api.example/".parse().unwrap(),
        }
    }

    #[test]
    fn without_a_key_there_is_no_connection() {
        assert!(Stripe::new(&config(None)).unwrap().is_none());
        assert!(matches!(Stripe::new(&config(Some("sk_\u{7f}"))), Err(StripeError::Unauthorized(_))));
    }

    #[tokio::test]
    async fn the_key_tells_whether_real_money_is_meant_and_is_not_shown() {
        for (key, expected) in [
            ("sk_live_1", Some(true)),
            ("rk_live_1", Some(true)),
            ("sk_test_1", Some(false)),
            ("rk_test_1", Some(false)),
            ("sk_1", None),
        ] {
            let stripe = Stripe::new(&config(Some(key))).unwrap().unwrap();
            assert_eq!(stripe.livemode(), expected, "{key}");
            assert!(!format!("{stripe:?}").contains(key), "{stripe:?}");
        }
    }
}
