//! stripe-stateful-mock in Stripe's place: what comes of our retries where idempotency keys are kept as Stripe keeps
//! them.
//!
//! Only its charges fail on demand, and we make none; so before it stands [`Charging`], which makes a charge of every
//! change, under the key that it came with.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use shared::config::StripeConfig;
use shared::ids::UserId;
use shared::stripe::{NewCustomer, Stripe, StripeError, StripeResult};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::{config, gateway};
use crate::harness::counterpart::{TEST_KEY, get, posting};
use crate::harness::stateful_mock::StatefulMock;

/// The keys that changes came with.
type Keys = Arc<Mutex<Vec<String>>>;

/// Makes charges of changes, all with one source; stops when dropped.
struct Charging {
    base_url: String,
    keys: Keys,
    serving: AbortHandle,
}

impl Charging {
    async fn of(mock: &StatefulMock, source: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let (url, form) =
            (format!("{}/v1/charges", mock.base_url()), format!("amount=100&currency=usd&source={source}"));
        let keys = Keys::default();
        let noted = Arc::clone(&keys);
        let answer = move |headers: HeaderMap| charge((url.clone(), form.clone()), headers, Arc::clone(&noted));
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { base_url, keys, serving }
    }

    /// The keys of all tries so far.
    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Charging {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn charge((url, form): (String, String), headers: HeaderMap, keys: Keys) -> Response {
    let key = headers["idempotency-key"].to_str().expect("a key").to_owned();
    keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
    let charge = posting(&url, &form).bearer_auth(TEST_KEY).header("Idempotency-Key", key);
    let answer = charge.send().await.expect("answers");
    let status = answer.status();
    (status, answer.bytes().await.expect("a body")).into_response()
}

/// What comes of a change under a key.
async fn change(stripe: &Stripe, key: &str) -> StripeResult<String> {
    call(stripe, "ada@example.com", key).await
}

async fn call(stripe: &Stripe, email: &str, key: &str) -> StripeResult<String> {
    let new = NewCustomer { email, name: "Ada", user: UserId(Uuid::nil()) };
    stripe.create_customer(&new, key).await.map(|made| made.id)
}

/// How many customers or charges there are.
async fn count(mock: &StatefulMock, what: &str) -> Option<usize> {
    let (_, list) = get(&format!("{}/v1/{what}", mock.base_url())).await;
    list["data"].as_array().map(Vec::len)
}

fn unavailable(status: u16, saved: bool) -> StripeResult<String> {
    Err(StripeError::Unavailable { message: format!("status {status}"), saved })
}

#[tokio::test]
async fn a_change_that_is_asked_for_again_under_its_key_is_made_once() {
    let mock = StatefulMock::start().await;
    let stripe = gateway(mock.base_url());
    let first = change(&stripe, "one").await.expect("a customer");
    assert_eq!(change(&stripe, "one").await, Ok(first.clone()));
    assert_eq!(count(&mock, "customers").await, Some(1));
    let second = change(&stripe, "two").await.expect("a customer");
    assert_ne!(second, first);
    assert_eq!(count(&mock, "customers").await, Some(2));
}

#[tokio::test]
async fn a_key_is_good_for_one_request_only() {
    let mock = StatefulMock::start().await;
    let stripe = gateway(mock.base_url());
    change(&stripe, "one").await.expect("a customer");
    let other = call(&stripe, "eve@example.com", "one").await;
    assert!(matches!(other, Err(StripeError::KeyReused(_))), "{other:?}");
    assert_eq!(count(&mock, "customers").await, Some(1));
}

#[tokio::test]
async fn after_two_refusals_under_load_the_third_try_is_made_under_the_same_key() {
    let mock = StatefulMock::start().await;
    let charging = Charging::of(&mock, "tok_429|tok_429|tok_visa|a").await;
    let stripe = gateway(&charging.base_url);
    let made = change(&stripe, "one").await.expect("a charge");
    assert_eq!(charging.keys(), ["one"; 3]);
    assert_eq!(change(&stripe, "one").await, Ok(made));
    assert_eq!(count(&mock, "charges").await, Some(1));
}

#[tokio::test]
async fn what_was_given_up_under_load_is_gone_on_with_under_the_same_key() {
    let mock = StatefulMock::start().await;
    let charging = Charging::of(&mock, "tok_429|tok_429|tok_429|tok_429|tok_visa|b").await;
    let stripe = gateway(&charging.base_url);
    let given_up = change(&stripe, "one").await;
    assert_eq!(given_up, unavailable(429, false));
    assert!(given_up.is_err_and(|error| error.may_pass()));
    change(&stripe, "one").await.expect("a charge");
    assert_eq!(charging.keys(), ["one"; 5]);
    assert_eq!(count(&mock, "charges").await, Some(1));
}

#[tokio::test]
async fn a_failure_that_was_saved_comes_again_until_there_is_another_key() {
    let mock = StatefulMock::start().await;
    let charging = Charging::of(&mock, "tok_500|tok_visa|c").await;
    let stripe = gateway(&charging.base_url);
    for tries in [4, 8] {
        assert_eq!(change(&stripe, "one").await, unavailable(500, true));
        assert_eq!(charging.keys().len(), tries);
    }
    assert_eq!(count(&mock, "charges").await, Some(0));
    change(&stripe, "two").await.expect("a charge");
    assert_eq!(count(&mock, "charges").await, Some(1));
}

#[tokio::test]
async fn a_declined_payment_is_not_tried_again() {
    let mock = StatefulMock::start().await;
    let charging = Charging::of(&mock, "tok_chargeDeclinedInsufficientFunds").await;
    let stripe = gateway(&charging.base_url);
    let declined = StripeError::Declined {
        code: Some("card_declined".to_owned()),
        decline_code: Some("insufficient_funds".to_owned()),
        message: "Your card has insufficient funds.".to_owned(),
    };
    assert_eq!(change(&stripe, "one").await, Err(declined));
    assert_eq!(charging.keys(), ["one"]);
}

#[tokio::test]
async fn a_key_to_the_api_that_is_wrong_is_said_to_be() {
    let mock = StatefulMock::start().await;
    let config = StripeConfig { secret_key: Some("sk_live_of_somebody_else".into()), ..config(mock.base_url()) };
    let stripe = Stripe::new(&config).expect("a connection to Stripe").expect("a key");
    let refused = change(&stripe, "one").await;
    assert!(matches!(refused, Err(StripeError::Unauthorized(_))), "{refused:?}");
}
