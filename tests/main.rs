//! All integration tests, as one binary: one link, and servers that are started once.

mod cli;
mod harness;
mod worker;
