//! What every role of AUTOOS stands on: the domain, the store, the queue, mail, planning and configuration.
//!
//! Nothing in here answers HTTP, runs an action or decides that something is due: that is `api`, `worker` and
//! `scheduler`, none of which knows the others.

pub mod clock;
pub mod domain;
pub mod ids;
pub mod job;
pub mod store;
