//! What every role of AUTOOS stands on: the domain, the store, the queue, mail, planning and configuration.
//!
//! Nothing in here answers HTTP, runs an action or decides that something is due: that is `api`, `worker` and
//! `scheduler`, none of which knows the others.

pub mod account_links;
pub mod actions;
pub mod backup_codes;
pub mod batcher;
pub mod clock;
pub mod config;
pub mod domain;
pub mod email;
mod encoding;
pub mod engine;
pub mod ids;
pub mod job;
pub mod limiter;
pub mod password_rules;
pub mod passwords;
pub mod planner;
pub mod qr;
pub mod queue;
pub mod seal;
pub mod services;
pub mod store;
pub mod stripe;
pub mod telemetry;
pub mod template;
pub mod tokens;
pub mod totp;
pub mod upi;
