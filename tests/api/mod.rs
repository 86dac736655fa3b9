//! The API itself, in process and on a real socket: what it does with clients that are slow, huge, odd or hostile.
//!
//! For one more test: [`served::Served`] is the server, with bounds and settings of the test's choice, and
//! [`served::Raw`] a client that says exactly what it is told to.

mod hardening;
mod limits;
mod schemathesis;
mod served;
