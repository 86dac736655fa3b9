//! Mails that have been decided on: one row per (user, kind, occasion), delivered by `Job::SendEmail`.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{StoreResult, Tx, outbox};
use crate::email::Mail;
use crate::ids::{self, UserId};
use crate::job::Job;

/// A mail that waits to be delivered.
#[derive(Debug, Clone, FromRow)]
pub struct Pending {
    /// Where to.
    pub address: String,
    /// What to say.
    pub payload: Json<Mail>,
    /// Deliveries tried so far.
    pub attempts: i64,
}

/// Decides on a mail, once per user, kind and occasion; false if it was decided on before.
pub async fn put(
    tx: &mut Tx,
    (user, address): (UserId, &str),
    mail: &Mail,
    occasion: &str,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let id = ids::new(now);
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into mails (id, user_id, address, kind, occasion, payload, status, attempts, created_at)
             values ($1, $2, $3, $4, $5, $6, 'pending', 0, $7) on conflict (user_id, kind, occasion) do nothing",
        )
        .bind(id)
        .bind(user)
        .bind(address)
        .bind(mail.kind())
        .bind(occasion)
        .bind(Json(mail))
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    if done == 1 {
        outbox::put(tx, &[(Job::SendEmail { mail: id }, now)]).await?;
    }
    Ok(done == 1)
}

/// Reads a mail that still has to be delivered.
pub async fn pending(tx: &mut Tx, id: Uuid) -> StoreResult<Option<Pending>> {
    Ok(on!(tx, |c| {
        sqlx::query_as("select address, payload, attempts from mails where id = $1 and status = 'pending'")
            .bind(id)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// Records the end of a mail (`sent` or `bounced`); its text is dropped, since it may hold a token. Of a closed account
/// the address goes too, and what the server said, which often repeats it.
pub async fn finish(tx: &mut Tx, id: Uuid, status: &str, error: Option<&str>, now: DateTime<Utc>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "update mails set status = $2, sent_at = $4, attempts = attempts + 1, payload = '{}',
             address = case when exists (select 1 from users u where u.id = user_id and u.deleted_at is not null)
             then '' else address end,
             last_error = case when exists (select 1 from users u where u.id = user_id and u.deleted_at is not null)
             then null else $3 end where id = $1 and status = 'pending'",
        )
        .bind(id)
        .bind(status)
        .bind(error)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    outbox::delete(tx, &[Job::SendEmail { mail: id }.key()]).await
}

/// Records a delivery that failed and is tried again at `due`.
pub async fn retry(tx: &mut Tx, id: Uuid, error: &str, due: DateTime<Utc>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update mails set last_error = $2, attempts = attempts + 1 where id = $1 and status = 'pending'")
            .bind(id)
            .bind(error)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    outbox::put(tx, &[(Job::SendEmail { mail: id }, due)]).await
}
