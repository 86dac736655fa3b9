//! The rules of AUTOOS, pure: no async, no SQL, no clock, no I/O.

pub mod plan;
