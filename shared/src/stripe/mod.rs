//! Stripe: what is asked of it, what it answers, what it tells by webhook, and how its word becomes ours.
//!
//! Requests are made of async-stripe's types (`calls`) and sent by our own transport, which pins the version of the API
//! and retries within bounds under one idempotency key. Answers are read into tolerant shapes of ours (`objects`). What
//! Stripe says about a customer is applied in one place, `sync`, by reading its present state, so that neither the
//! order of webhooks nor their number matters. To add a call: a function in `calls/`; to look at one more field:
//! `objects.rs`.

mod attempt;
mod calls;
mod error;
pub mod inbox;
pub mod mapping;
pub mod objects;
mod retry;
pub mod sync;
mod transport;
pub mod webhook;

pub use self::calls::{
    CheckoutFor, NewCheckout, NewCustomer, NewPrice, NewRefund, NewSubscription, lookup_key, lookup_key_once,
};
pub use self::error::{StripeError, StripeResult};
pub use self::retry::Patience;
pub use self::transport::Stripe;
