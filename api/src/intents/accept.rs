//! Accepting intents: those that arrive at the same time share a transaction.
//!
//! Each is charged, stored or refused by itself; only when the transaction as a whole fails is it done again for each.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::batcher::{Batcher, Together};
use shared::domain::status::{Charged, WorkflowStatus};
use shared::engine;
use shared::ids::WorkflowId;
use shared::services::Services;
use shared::store::workflows::NewWorkflow;
use shared::store::{Db, StoreResult, Tx};
use utoipa::ToSchema;

use super::gate::{self, Payer};
use super::request::{Estimate, IntentRequest};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::CurrentUser;
use crate::replay::{Answer, Key, Turns};

/// The most intents of one transaction.
const BATCH: usize = 64;
/// Transactions at once on `PostgreSQL`; `SQLite` has one writer.
const LANES: usize = 2;

/// An intent that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Where to look: `GET /api/v1/workflows/{workflow_id}`.
    #[schema(value_type = uuid::Uuid)]
    workflow_id: WorkflowId,
    /// `pending`.
    status: WorkflowStatus,
    #[serde(flatten)]
    estimate: Estimate,
    /// One sentence for people.
    message: String,
    /// Trial credits left; missing with a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_remaining: Option<i64>,
}

/// A sound intent on its way through the gate.
#[derive(Debug)]
pub struct Intent {
    payer: Payer,
    actor: String,
    new: NewWorkflow,
    estimate: Estimate,
}

impl Intent {
    /// Checks a request; field paths begin with `prefix`. The time orders it in lists.
    pub fn check(
        request: IntentRequest,
        prefix: &str,
        (app, current): (&App, &CurrentUser),
        at: DateTime<Utc>,
    ) -> ApiResult<Self> {
        let estimate = Estimate::of(&request.check(&app.services, prefix)?.plan, &app.services);
        let payer = Payer::of(current, app);
        Ok(Self {
            payer,
            actor: current.user.actor(),
            new: request.into_new(payer.user, payer.charged, WorkflowId::new(at)),
            estimate,
        })
    }
}

/// Charges and stores intents in the caller's transaction, or says of each why not; and whether relays should look then.
pub async fn accept(
    tx: &mut Tx,
    services: &Services,
    intents: &[&Intent],
    now: DateTime<Utc>,
) -> StoreResult<(Vec<ApiResult<Accepted>>, bool)> {
    let wanted: Vec<_> = intents.iter().map(|intent| (intent.payer, intent.new.id)).collect();
    let charges = gate::charge(tx, services, &wanted, now).await?;
    let paid = intents.iter().zip(&charges).filter(|(_, charge)| charge.is_ok());
    let rows: Vec<_> =
        paid.map(|(intent, _)| (&intent.new, services.circumstances(intent.actor.clone(), now))).collect();
    // Few credits are told of by mail.
    let mail = charges.iter().any(|charge| matches!(charge, Ok(Some(gate::FEW))));
    let wake = engine::accept(tx, &rows).await? || mail;
    let told = charges.into_iter().zip(intents).map(|(charge, intent)| Ok(intent.accepted(charge?)));
    Ok((told.collect(), wake))
}

impl Intent {
    fn accepted(&self, credits_remaining: gate::Left) -> Accepted {
        let message = match (self.payer.charged, credits_remaining) {
            (Charged::Trial, Some(left)) => {
                format!("Intent submitted successfully. Trial credits remaining: {left}")
            }
            _ => "Intent submitted successfully.".to_owned(),
        };
        let (workflow_id, estimate) = (self.new.id, self.estimate.clone());
        Accepted { workflow_id, status: WorkflowStatus::Pending, estimate, message, credits_remaining }
    }
}

/// An intent with the key that makes its request safe to repeat.
pub struct Submission {
    /// What was sent.
    pub intent: Intent,
    /// The key.
    pub key: Key,
}

/// Stores the intents of many requests in one transaction.
pub struct Accepting(Services);

impl Together for Accepting {
    type Item = Submission;
    type Answer = ApiResult<Answer>;
    const NEEDS_CALLER: bool = true;

    async fn run(&self, submissions: &[Submission]) -> StoreResult<Vec<ApiResult<Answer>>> {
        let Self(services) = self;
        let now = services.clock.now();
        let mut tx = services.db.begin().await?;
        let keys: Vec<_> = submissions.iter().map(|submission| &submission.key).collect();
        let turns = Turns::take(&mut tx, &keys, now).await?;
        let first = submissions.iter().enumerate().filter(|(i, _)| turns.is_first(*i));
        let first: Vec<_> = first.map(|(_, submission)| &submission.intent).collect();
        let (accepted, wake) = accept(&mut tx, services, &first, now).await?;
        let answers = accepted.into_iter().map(|one| one.and_then(|one| Answer::json(StatusCode::ACCEPTED, &one)));
        let answers = turns.finish(&mut tx, answers.collect()).await?;
        tx.commit().await?;
        if wake {
            services.queue.wake().await;
        }
        Ok(answers)
    }
}

/// Starts the tasks that accept.
pub fn acceptor(services: &Services) -> Batcher<Accepting> {
    let lanes = if matches!(services.db, Db::Postgres(_)) { LANES } else { 1 };
    Batcher::start(lanes, BATCH, Accepting(services.clone()))
}

impl App {
    /// Submits an intent and waits until it is stored or refused.
    pub async fn submit(&self, submission: Submission) -> ApiResult<Answer> {
        match self.acceptor.ask(submission).await {
            Some(answer) => answer?,
            None => Err(ApiError::stopping()),
        }
    }
}
