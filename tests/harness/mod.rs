//! Real servers and stand-ins that the tests talk to: Postgres, Redis, an SMTP server, the built program, an HTTP partner,
//! and for Stripe's part what others wrote: its own SDK (`stripe_sdk`) and three servers that behave like parts of it
//! (`localstripe`, `emulate`, `stateful_mock`).
//!
//! Each module holds one of them, starts it on a free port of the loopback interface and takes it down again, also when
//! the test process is killed (see `child::Guarded`). To add one more: write a module whose `start` spawns a `Guarded`
//! and waits until the server answers, add it below, and have its own tests show what the others may rely on.

pub mod child;
pub mod counterpart;
pub mod emulate;
pub mod engines;
pub mod installed;
pub mod localstripe;
pub mod postgres;
pub mod price_translator;
pub mod redis;
pub mod smtp;
pub mod stand_in_http;
pub mod stateful_mock;
pub mod stripe_sdk;
