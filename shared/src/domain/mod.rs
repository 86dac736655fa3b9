//! The rules of AUTOOS, pure: no async, no SQL, no clock, no I/O.

pub mod audit;
pub mod entitlement;
pub mod money;
pub mod payment;
pub mod plan;
pub mod status;
pub mod tier;
pub mod workflow;
