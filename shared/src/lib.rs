//! What every role of AUTOOS stands on: the domain, the store, the queue, mail, planning and configuration.
//!
//! Nothing in here answers HTTP, runs an action or decides that something is due: that is `api`, `worker` and
//! `scheduler`, none of which knows the others.

pub mod actions;
pub mod batcher;
pub mod clock;
pub mod config;
pub mod domain;
pub mod email;
pub mod engine;
pub mod ids;
pub mod job;
pub mod passwords;
pub mod planner;
pub mod queue;
pub mod services;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod tokens;
