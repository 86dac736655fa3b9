//! What each function of `shared::store` does, on both engines.
//!
//! Mostly one file per file of the store. For one more function: a test in its file. The store cuts many rows into
//! statements of few sizes, so whatever takes many at once is tried with [`MANY`].

mod account_events;
mod accounts;
mod adjustments;
mod agents;
mod billed;
mod billing;
mod checkout_sessions;
mod closing;
mod credits;
mod db;
mod duties;
mod idempotency;
mod invoices;
mod leases;
mod mails;
mod mfa;
mod outbox;
mod payment_notes;
mod payments;
mod sessions;
mod signing_keys;
mod stripe_customers;
mod stripe_events;
mod stripe_operations;
mod stripe_payments;
mod stripe_prices;
mod stripe_reconciliations;
mod subscriptions;
mod usage;
mod users;
mod workflow_rows;
mod workflows;

use serde_json::json;
use shared::domain::plan::Plan;
use shared::domain::status::{Charged, Priority};
use shared::domain::workflow::{Claim, Command};
use shared::engine;
use shared::ids::{UserId, WorkflowId};
use shared::store::Tx;
use shared::store::workflows::NewWorkflow;

use crate::harness::engines::App;

/// More rows than one statement takes, with several pieces.
const MANY: usize = 64 + 16 + 4 + 1;

async fn begin(app: &App) -> Tx {
    app.services.db.begin().await.expect("a transaction")
}

/// An intent that nobody has planned yet.
fn intent(app: &App, user: UserId, words: &str) -> NewWorkflow {
    NewWorkflow {
        id: WorkflowId::new(app.clock.now()),
        user_id: user,
        intent: words.to_owned(),
        context: json!({"to": "bob@example.com"}),
        priority: Priority::Normal,
        plan: None,
        max_cost: None,
        callback_url: None,
        charged: Charged::Subscription,
        run_at: None,
    }
}

async fn accept(app: &App, new: &NewWorkflow) -> WorkflowId {
    let with = app.services.circumstances(format!("user:{}", new.user_id), app.clock.now());
    let mut tx = begin(app).await;
    engine::accept(&mut tx, &[(new, with)]).await.expect("a workflow");
    tx.commit().await.expect("a commit");
    new.id
}

/// A plan of steps that do not need each other, `s000` being the last, so that its order is not that of names.
fn parallel(steps: usize) -> Plan {
    let steps: Vec<_> = (0..steps)
        .rev()
        .map(|n| json!({"id": format!("s{n:03}"), "action": "template.render", "with": {"template": "done"}}))
        .collect();
    serde_json::from_value(json!({"steps": steps})).expect("a plan")
}

/// A running workflow of steps that do not need each other; none of them is claimed.
async fn planned(app: &App, user: UserId, steps: usize) -> WorkflowId {
    let id = accept(app, &intent(app, user, "a test")).await;
    let command = Command::Plan { plan: parallel(steps), costs: vec![0; steps], by: "given".to_owned() };
    order(app, id, command).await;
    id
}

/// Gives a command that must not be refused.
async fn order(app: &App, id: WorkflowId, command: Command) -> Option<Claim> {
    let outcome = app.services.order(id, command, "engine".to_owned()).await;
    outcome.expect("a store").expect("an order that is not refused")
}

async fn claim(app: &App, id: WorkflowId, step: &str) -> Claim {
    order(app, id, Command::Claim { step: step.to_owned() }).await.expect("a claim")
}
