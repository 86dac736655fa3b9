//! All integration tests, as one binary: one link, and servers that are started once.

mod cli;
mod engine;
mod harness;
mod scheduler;
mod worker;
