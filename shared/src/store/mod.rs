//! The only SQL of AUTOOS: free functions that take a transaction first, plain values in, domain types out.
//!
//! One file per aggregate. A function that is added here gets a `both_engines!` test in `tests/store/`. The rules that
//! keep one text true on both engines are in `migrations/README.md`.

#[macro_use]
pub mod db;
mod group_commit;

pub use db::{Db, StoreError, StoreResult, Tx};
