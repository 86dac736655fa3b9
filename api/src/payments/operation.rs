//! A request that changes something at Stripe: done once however often it is sent, and to its end whoever waits for it.
//!
//! A row of `stripe_operations` is there before Stripe is asked for anything. Its id is in the idempotency key of every
//! call, and in the end it holds the answer, written in the transaction that stores what came of it. So a request that
//! is repeated gets the same answer, and one that was cut off anywhere goes on where it was. What makes something that
//! must not be there twice is called under [`Operation::key`], and says the same whenever it is called; all else under
//! [`Operation::try_key`].
//!
//! For one more such request: a struct that implements [`Work`], and [`run`] in its handler. What needs nobody but the
//! database uses [`begin`] and [`finish`] in its own transaction.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use shared::ids::OperationId;
use shared::services::Services;
use shared::store::{StoreError, StoreResult, Tx, stripe_operations};
use shared::stripe::sync::SyncError;
use shared::stripe::{Stripe, StripeError};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::replay::{Answer, Key};

/// How long an operation is worked on at a time. It ends before [`stripe_operations::BUSY`] does, so that whoever goes
/// on with it then is alone with it.
const AT_A_TIME: Duration = Duration::from_secs(50);

/// What a request does at Stripe.
pub trait Work: Send + Sync + 'static {
    /// What came of it.
    type Found: Send + 'static;

    /// Asks Stripe; holds no transaction while it does. It is done again from its beginning if it was cut off.
    fn ask(&self, operation: &Operation) -> impl Future<Output = Result<Self::Found, Stop>> + Send;

    /// Stores what came of it, in the transaction that ends the operation; gives the answer.
    fn store(
        &self,
        operation: &Operation,
        tx: &mut Tx,
        found: Self::Found,
    ) -> impl Future<Output = Result<Answer, Stop>> + Send;
}

/// What work has at hand.
pub struct Operation {
    /// Its id, the same when it is done again.
    pub id: OperationId,
    /// Everything else.
    pub services: Services,
    /// Whom to ask.
    pub stripe: Arc<Stripe>,
    /// The present.
    pub now: DateTime<Utc>,
}

/// Why an operation has no answer yet.
#[derive(Debug)]
pub enum Stop {
    /// It is refused, and nothing of it remains: the next request is another operation.
    Refused(ApiError),
    /// It is not known how far it is: the next request goes on with it.
    Paused(ApiError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Paused(ApiError::unfinished(&error))
    }
}

impl From<StripeError> for Stop {
    fn from(error: StripeError) -> Self {
        if error.may_pass() { Self::Paused(error.into()) } else { Self::Refused(error.into()) }
    }
}

impl From<SyncError> for Stop {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Stripe(error) => error.into(),
            SyncError::Store(error) => error.into(),
            error @ SyncError::UnknownPrice(_) => Self::Refused(error.into()),
        }
    }
}

impl Operation {
    /// The idempotency key of one step of it, the same in each try: what the step makes is made once.
    pub fn key(&self, step: &str) -> String {
        format!("autoos:{}:{step}", self.id)
    }

    /// The idempotency key of a step that does no harm when it is done again, another one in each try. What an earlier
    /// try did may have been undone since, or be over, and under the same key Stripe only repeats what it said then.
    pub fn try_key(&self, step: &str) -> String {
        format!("autoos:{}:{}:{step}", self.id, self.now.timestamp_micros())
    }

    /// When it was begun, to the millisecond.
    pub fn begun(&self) -> DateTime<Utc> {
        begun(self.id).unwrap_or(self.now)
    }

    /// Whether it was begun by an earlier request, which may have done all of it.
    pub fn is_resumed(&self) -> bool {
        is_resumed(self.id, self.now)
    }

    /// Notes that it stopped; gives what the client is told.
    async fn stop(&self, stop: Stop) -> ApiError {
        let noted = self.note(&stop).await;
        if let Err(error) = noted {
            // Its time runs out by itself, and then it can be gone on with.
            tracing::warn!(%error, operation = %self.id, "it was not noted that an operation stopped");
        }
        match stop {
            Stop::Refused(error) | Stop::Paused(error) => error,
        }
    }

    async fn note(&self, stop: &Stop) -> StoreResult<()> {
        let mut tx = self.services.db.begin().await?;
        match stop {
            Stop::Refused(_) => stripe_operations::give_up(&mut tx, self.id).await?,
            Stop::Paused(_) => stripe_operations::pause(&mut tx, self.id, self.services.clock.now()).await?,
        }
        tx.commit().await
    }
}

fn begun(id: OperationId) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

/// Whether an operation that is gone on with at `now` was begun by an earlier request, which may have done all of it.
pub fn is_resumed(id: OperationId, now: DateTime<Utc>) -> bool {
    begun(id).is_some_and(|begun| begun < now.trunc_subsecs(3))
}

/// The way to Stripe; 503 where there is none.
pub fn stripe(services: &Services) -> ApiResult<Arc<Stripe>> {
    let off = || ApiError::new(Code::PaymentsNotConfigured, "Payments through Stripe are not configured here.");
    services.stripe.clone().ok_or_else(off)
}

/// Does the work of a request, once. It goes on when nobody waits for it any more.
pub async fn run<W: Work>(app: &App, key: Key, work: W) -> ApiResult<Answer> {
    let (services, stripe) = (app.services.clone(), stripe(&app.services)?);
    let doing = async move { drive(services, stripe, &key, &work).await };
    tokio::spawn(doing.in_current_span()).await?
}

async fn drive<W: Work>(services: Services, stripe: Arc<Stripe>, key: &Key, work: &W) -> ApiResult<Answer> {
    let (now, end) = (services.clock.now(), Instant::now() + AT_A_TIME);
    let mut tx = services.db.begin().await?;
    let begun = begin(&mut tx, key, now).await?;
    tx.commit().await?;
    let id = match begun {
        Begun::Kept(answer) => return Ok(answer),
        Begun::Do(id) => id,
    };
    let operation = Operation { id, services, stripe, now };
    let done = timeout_at(end, perform(&operation, work)).await;
    match done.unwrap_or_else(|late| Err(Stop::Paused(ApiError::unfinished(&late)))) {
        Ok(answer) => {
            operation.services.queue.wake().await;
            Ok(answer)
        }
        Err(stop) => Err(operation.stop(stop).await),
    }
}

async fn perform<W: Work>(operation: &Operation, work: &W) -> Result<Answer, Stop> {
    let found = work.ask(operation).await?;
    let mut tx = operation.services.db.begin().await?;
    let answer = work.store(operation, &mut tx, found).await?;
    finish(&mut tx, operation.id, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What is to be done about a request.
pub enum Begun {
    /// Do it, as this operation.
    Do(OperationId),
    /// It has been done; this was the answer.
    Kept(Answer),
}

/// Begins the operation of a request, or finds what became of it.
pub async fn begin(tx: &mut Tx, key: &Key, now: DateTime<Utc>) -> ApiResult<Begun> {
    Ok(match stripe_operations::begin(tx, &key.request(), now).await? {
        stripe_operations::Begun::Do(id) => Begun::Do(id),
        stripe_operations::Begun::Answered { status, body } => Begun::Kept(Answer::kept(status, body)),
        stripe_operations::Begun::OtherBody => return Err(Key::reused()),
        stripe_operations::Begun::InProgress => {
            let detail = "A request of yours to this address is still being worked on; try again shortly.";
            return Err(ApiError::new(Code::InProgress, detail).retry_after(1));
        }
    })
}

/// Keeps the answer of an operation, in the transaction that it is of.
pub async fn finish(tx: &mut Tx, id: OperationId, answer: &Answer) -> StoreResult<()> {
    stripe_operations::finish(tx, id, answer.status(), answer.body()).await
}
