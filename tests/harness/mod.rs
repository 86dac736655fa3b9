//! Real servers and stand-ins that the tests talk to: Postgres, Redis, an SMTP server, the built program, an HTTP partner.
//!
//! Each module holds one of them, starts it on a free port of the loopback interface and takes it down again, also when
//! the test process is killed (see `child::Guarded`). To add one more: write a module whose `start` spawns a `Guarded`
//! and waits until the server answers, add it below, and have its own tests show what the others may rely on.

pub mod child;
pub mod engines;
pub mod postgres;
pub mod redis;
pub mod smtp;
pub mod stand_in_http;
