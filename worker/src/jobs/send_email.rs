//! Delivers one mail that was decided on.

use chrono::TimeDelta;
use shared::email::{Email, MailError, render};
use shared::job::Job;
use shared::store::{StoreResult, mails, outbox};
use uuid::Uuid;

use crate::Worker;

/// Deliveries after which a mail is given up.
const MAX_ATTEMPTS: i64 = 12;

/// Sends the mail unless that has been done. A delivery that is repeated after a crash has the same Message-ID.
pub async fn run(worker: &Worker, id: Uuid) -> StoreResult<()> {
    let services = &worker.services;
    let mut reader = services.db.read().await?;
    let pending = mails::pending(&mut reader, id).await?;
    drop(reader);
    let Some(pending) = pending else {
        let mut tx = services.db.begin().await?;
        outbox::delete(&mut tx, &[Job::SendEmail { mail: id }.key()]).await?;
        return tx.commit().await;
    };
    let sent = match render(&pending.payload.0) {
        Ok(rendered) => {
            let email = Email {
                message_id: format!("{id}@autoos"),
                to: vec![pending.address],
                subject: rendered.subject,
                text: rendered.text,
                html: Some(rendered.html),
                headers: Vec::new(),
            };
            services.mailer.send(&email).await
        }
        Err(error) => Err(MailError::Permanent(error.to_string())),
    };
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    match sent {
        Ok(()) => mails::finish(&mut tx, id, "sent", None, now).await?,
        Err(MailError::Transient(error)) if pending.attempts + 1 < MAX_ATTEMPTS => {
            tracing::warn!(%error, mail.id = %id, "not delivered; trying again");
            let pause = TimeDelta::seconds((5_i64 << pending.attempts.min(10)).min(3_600));
            mails::retry(&mut tx, id, &error, now + pause).await?;
        }
        Err(error) => {
            tracing::error!(%error, mail.id = %id, "cannot be delivered; given up");
            mails::finish(&mut tx, id, "bounced", Some(&error.to_string()), now).await?;
        }
    }
    tx.commit().await
}
