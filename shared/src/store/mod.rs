//! The only SQL of AUTOOS: free functions that take a transaction first, plain values in, domain types out.
//!
//! One file per aggregate. A function that is added here gets a `both_engines!` test in `tests/store/`. The rules that
//! keep one text true on both engines are in `migrations/README.md`.

#[macro_use]
pub mod db;
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

pub use db::{Db, StoreError, StoreResult, Tx};

/// Fine enough that most batches take two or three statements, and few enough that all of them stay prepared.
const PIECES: [usize; 11] = [64, 48, 32, 24, 16, 12, 8, 6, 4, 2, 1];

/// Cuts rows into pieces of few different sizes, so that statements with one group of parameters per row come in few
/// texts and stay prepared.
pub(crate) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = PIECES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// Builds and runs one statement on either engine: `batch!(tx, |q| { q.push("…"); … })` gives the rows affected.
macro_rules! batch {
    ($tx:expr, |$q:ident| $build:block) => {
        on!($tx, |c| {
            let mut $q = sqlx::QueryBuilder::new("");
            $build
            $q.build().execute(&mut *c).await?.rows_affected()
        })
    };
}
pub(crate) use batch;
