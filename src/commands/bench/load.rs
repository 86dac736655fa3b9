//! Submits intents, as fast as the answers come or at a steady pace, and waits until their workflows are done.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::TimeDelta;
use shared::clock::Clock;
use shared::ids::WorkflowId;
use shared::store::{Db, measure, outbox};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::client::{Connection, request};
use super::users::Users;

/// How often the database is asked whether the workflows are done. Not more often: asking costs CPU time as well.
const POLL: Duration = Duration::from_millis(20);
/// What is due later than this does not belong to the workflows that are waited for.
const LATER: TimeDelta = TimeDelta::hours(1);
/// How long a load may take that is longer than it should be.
const PATIENCE: Duration = Duration::from_mins(1);

/// A way to submit.
pub struct Load<'a> {
    /// The APIs that share the load.
    pub apis: &'a [SocketAddr],
    /// Who submits.
    pub users: &'a Users,
    /// Where to see what became of it.
    pub db: &'a Db,
}

impl Load<'_> {
    /// Submits over a connection for each user until `span` is over; gives how many intents were accepted.
    pub async fn flood(&self, body: &str, span: Duration) -> anyhow::Result<u64> {
        let mut clients = JoinSet::new();
        for (api, request) in self.apis.iter().cycle().zip(self.requests(body)?) {
            let connection = Connection::open(*api).await.context("the API takes no connection")?;
            clients.spawn(submit_until(Instant::now() + span, connection, request));
        }
        let all = tokio::time::timeout(span + PATIENCE, sum(clients));
        all.await.context("the API does not answer any more")?
    }

    /// Submits `per_second` for `span`, one after the other; gives how long the answer of each took, all accepted.
    pub async fn paced(&self, body: &str, per_second: u32, span: Duration) -> anyhow::Result<Vec<Duration>> {
        let requests = self.requests(body)?;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = Connection::open(self.apis[0]).await.context("the API takes no connection")?;
        let begin = Instant::now();
        let mut took = Vec::new();
        for request in requests.iter().cycle() {
            ticks.tick().await;
            if begin.elapsed() >= span {
                break;
            }
            let sent = Instant::now();
            submit(&mut connection, request).await?;
            took.push(sent.elapsed());
        }
        Ok(took)
    }

    fn requests(&self, body: &str) -> anyhow::Result<Vec<Vec<u8>>> {
        let tokens = self.users.access(Clock::System.now()).context("making tokens")?;
        Ok(tokens.iter().map(|token| request("POST", "/api/v1/intents", token, body)).collect())
    }

    /// Waits until nothing is open that is due soon, and checks that all `accepted` workflows after `since` completed.
    pub async fn all_completed(&self, since: WorkflowId, accepted: u64, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while self.is_busy().await? {
            if Instant::now() > deadline {
                bail!(
                    "{} of {accepted} workflows are done after {} s",
                    self.completed(since).await?,
                    patience.as_secs()
                );
            }
            tokio::time::sleep(POLL).await;
        }
        let completed = self.completed(since).await?;
        if completed != accepted as i64 {
            bail!("{accepted} intents were accepted, but {completed} workflows completed");
        }
        Ok(())
    }

    /// Every open piece of work has a row in the outbox, and the next one is found at once, however many there are.
    async fn is_busy(&self) -> anyhow::Result<bool> {
        let mut tx = self.db.read().await?;
        let [interactive, ..] = outbox::next_due(&mut tx).await?;
        Ok(interactive.is_some_and(|due| due < Clock::System.now() + LATER))
    }

    async fn completed(&self, since: WorkflowId) -> anyhow::Result<i64> {
        Ok(measure::completed(&mut self.db.read().await?, since).await?)
    }

    /// A completed workflow, to be copied.
    pub async fn first_completed(&self, since: WorkflowId) -> anyhow::Result<WorkflowId> {
        let found = measure::first_completed(&mut self.db.read().await?, since).await?;
        found.context("no workflow has completed")
    }

    /// When the first steps of the workflows after `since` were run.
    pub async fn first_steps(&self, since: WorkflowId) -> anyhow::Result<Vec<measure::FirstStep>> {
        Ok(measure::first_steps(&mut self.db.read().await?, since).await?)
    }
}

async fn sum(mut clients: JoinSet<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    let mut accepted = 0;
    while let Some(ended) = clients.join_next().await {
        accepted += ended.context("a client broke down").flatten()?;
    }
    Ok(accepted)
}

async fn submit_until(end: Instant, mut connection: Connection, request: Vec<u8>) -> anyhow::Result<u64> {
    let mut accepted = 0;
    while Instant::now() < end {
        submit(&mut connection, &request).await?;
        accepted += 1;
    }
    Ok(accepted)
}

async fn submit(connection: &mut Connection, request: &[u8]) -> anyhow::Result<()> {
    let status = connection.send(request).await.context("submitting an intent")?;
    if status != 202 {
        bail!("an intent was not accepted: {}", connection.answer());
    }
    Ok(())
}
