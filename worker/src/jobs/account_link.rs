//! Mails the link that somebody asked for, if the address has an account that has a use for it.

use shared::account_links::{self, LinkError};
use shared::job::{Job, LinkPurpose};
use shared::store::account_events::{self, Event, EventKind};
use shared::store::{StoreResult, outbox, users};

use crate::Worker;

/// Makes the link and decides on the mail, once for each time that it was asked for.
pub async fn run(worker: &Worker, job: Job) -> StoreResult<()> {
    let Job::AccountLink { email, purpose, .. } = &job else { return Ok(()) };
    let services = &worker.services;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    if !outbox::end(&mut tx, &job).await? {
        return Ok(());
    }
    if let Some(user) = users::by_email(&mut tx, email).await?.filter(|user| purpose.suits(user)) {
        match account_links::send(&mut tx, &services.config, (&user, *purpose), now).await {
            Ok(()) => {}
            Err(LinkError::Store(error)) => return Err(error),
            Err(error @ LinkError::Random(_)) => {
                tracing::error!(%error, "no link can be made; trying again");
                return Ok(());
            }
        }
        let kind = match purpose {
            LinkPurpose::VerifyEmail => EventKind::VerificationRequested,
            LinkPurpose::ResetPassword => EventKind::ResetRequested,
        };
        account_events::record(&mut tx, &Event::new(kind, "anonymous".to_owned(), user.id, now)).await?;
    }
    tx.commit().await?;
    services.queue.wake().await;
    Ok(())
}
