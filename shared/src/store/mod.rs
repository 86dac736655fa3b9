//! The only SQL of AUTOOS: free functions that take a transaction first, plain values in, domain types out.
//!
//! One file per aggregate. A function that is added here gets a `both_engines!` test in `tests/store/`. The rules that
//! keep one text true on both engines are in `migrations/README.md`.

#[macro_use]
pub mod db;
mod batch;
mod group_commit;

pub mod account_events;
pub mod accounts;
pub mod adjustments;
pub mod agents;
pub mod checkout_sessions;
pub mod credits;
pub mod duties;
pub mod idempotency;
pub mod invoices;
pub mod mails;
pub mod measure;
pub mod mfa;
pub mod outbox;
pub mod payment_notes;
pub mod payments;
pub mod pruning;
pub mod sessions;
pub mod signing_keys;
pub mod stripe_customers;
pub mod stripe_events;
pub mod stripe_operations;
pub mod stripe_prices;
pub mod stripe_reconciliations;
pub mod subscriptions;
pub mod usage;
pub mod users;
pub mod workflow_rows;
pub mod workflows;

pub(crate) use batch::{INSERT_END, batch, insert_into, pieces};
pub use db::{Db, StoreError, StoreResult, Tx};
