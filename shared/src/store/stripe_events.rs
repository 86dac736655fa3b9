//! What Stripe told, each event once, by its id.
//!
//! An event is stored first and applied later, together with all others that wait for the same customer. One that could
//! not be applied often enough is dead, until a person has it replayed.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{StoreResult, Tx, batch, pieces, stripe_customers};
use crate::ids::{self, UserId};

pub use crate::domain::payment::{EventStatus, Via};

/// An event that has just come.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// What Stripe calls it.
    pub id: &'a str,
    /// What happened, in Stripe's words.
    pub kind: &'a str,
    /// The object that it is about.
    pub object_id: Option<&'a str>,
    /// The customer that it is about.
    pub customer: Option<&'a str>,
    /// Whether real money is meant.
    pub livemode: Option<bool>,
    /// The version of Stripe's API that its shape is of.
    pub api_version: Option<&'a str>,
    /// How it came.
    pub via: Via,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// All of it, as it came.
    pub payload: &'a str,
    /// Whether there is something to apply.
    pub status: EventStatus,
}

/// Stores an event; false: it was stored before. Of a closed account, what it says is dropped. Locks the customer, so
/// that nobody who is ending the work for it overlooks the event.
pub async fn insert(tx: &mut Tx, event: &NewEvent<'_>, now: DateTime<Utc>) -> StoreResult<bool> {
    if let Some(customer) = event.customer {
        stripe_customers::lock(tx, customer).await?;
    }
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into stripe_events (id, row_id, kind, object_id, customer, livemode, api_version, via, status,
             attempts, created_at, received_at, payload) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11,
             case when exists (select 1 from stripe_customers s join users u on u.id = s.user_id
             where s.customer = $5 and u.deleted_at is not null) then '{}' else $12 end) on conflict (id) do nothing",
        )
        .bind(event.id)
        .bind(ids::new(now))
        .bind(event.kind)
        .bind(event.object_id)
        .bind(event.customer)
        .bind(event.livemode)
        .bind(event.api_version)
        .bind(event.via.as_str())
        .bind(event.status.as_str())
        .bind(event.created_at)
        .bind(now)
        .bind(event.payload)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// An event that waits to be applied.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Pending {
    /// What Stripe calls it.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// The object that it is about.
    pub object_id: Option<String>,
    /// How often it was tried in vain to apply it.
    pub attempts: i64,
}

/// The events that wait for a customer, up to `limit` of them, those that came first before the others.
pub async fn pending(tx: &mut Tx, customer: &str, limit: i64) -> StoreResult<Vec<Pending>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, kind, object_id, attempts from stripe_events where customer = $1 and status = 'pending'
             order by row_id limit $2",
        )
        .bind(customer)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Notes that events have been applied, also those that were given up meanwhile.
pub async fn applied(tx: &mut Tx, ids: &[String], now: DateTime<Utc>) -> StoreResult<()> {
    for piece in pieces(ids) {
        batch!(tx, |q| {
            q.push("update stripe_events set status = 'applied', error = null, applied_at = ").push_bind(now);
            q.push(" where status in ('pending', 'dead') and id in (");
            piece.push_list(&mut q);
            q.push(")");
        });
    }
    Ok(())
}

/// Notes why events could not be applied; those that it was tried with `max_attempts` times are dead.
pub async fn failed(tx: &mut Tx, ids: &[String], error: &str, max_attempts: i64) -> StoreResult<()> {
    for piece in pieces(ids) {
        batch!(tx, |q| {
            q.push("update stripe_events set attempts = attempts + 1, error = ").push_bind(error.to_owned());
            q.push(", status = case when attempts + 1 >= ").push_bind(max_attempts);
            q.push(" then 'dead' else 'pending' end where status = 'pending' and id in (");
            piece.push_list(&mut q);
            q.push(")");
        });
    }
    Ok(())
}

/// Notes why events could not be applied where they are not to blame: up to `most` of the tries are counted, so that
/// some are left for when it is their turn.
pub async fn delayed(tx: &mut Tx, ids: &[String], error: &str, most: i64) -> StoreResult<()> {
    for piece in pieces(ids) {
        batch!(tx, |q| {
            q.push("update stripe_events set error = ").push_bind(error.to_owned());
            q.push(", attempts = attempts + case when attempts < ").push_bind(most);
            q.push(" then 1 else 0 end where status = 'pending' and id in (");
            piece.push_list(&mut q);
            q.push(")");
        });
    }
    Ok(())
}

/// An event as admins see it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredEvent {
    /// What Stripe calls it.
    pub id: String,
    /// Our id of it; events that came later have greater ones.
    pub row_id: Uuid,
    /// What happened.
    pub kind: String,
    /// The object that it is about.
    pub object_id: Option<String>,
    /// The customer that it is about.
    pub customer: Option<String>,
    /// Whether real money is meant.
    pub livemode: Option<bool>,
    /// The version of Stripe's API that its shape is of.
    pub api_version: Option<String>,
    /// How it came.
    pub via: Via,
    /// Where it stands.
    pub status: EventStatus,
    /// How often it was tried in vain to apply it.
    pub attempts: i64,
    /// Why it could not be applied, the last time.
    pub error: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
}

/// The columns of [`StoredEvent`].
macro_rules! columns {
    () => {
        "id, row_id, kind, object_id, customer, livemode, api_version, via, status, attempts, error, created_at,
         received_at, applied_at"
    };
}

/// Which events to read; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Those that stand here.
    pub status: Option<EventStatus>,
    /// Those that came before this one, by our id of it.
    pub before: Option<Uuid>,
}

/// Reads events, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<StoredEvent>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from stripe_events where (cast($1 as text) is null or status = $1)
         and (cast($2 as uuid) is null or row_id < $2) order by row_id desc limit $3"
    );
    Ok(on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(filter.status.map(EventStatus::as_str))
            .bind(filter.before)
            .bind(limit)
            .fetch_all(&mut *c)
            .await?
    }))
}

/// Reads an event.
pub async fn get(tx: &mut Tx, id: &str) -> StoreResult<Option<StoredEvent>> {
    let sql = concat!("select ", columns!(), " from stripe_events where id = $1");
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// Makes a dead or ignored event wait for its customer again; `None` if it is neither, or is about no customer.
pub async fn replay(tx: &mut Tx, id: &str) -> StoreResult<Option<StoredEvent>> {
    let sql = concat!(
        "update stripe_events set status = 'pending', attempts = 0, error = null
         where id = $1 and status in ('dead', 'ignored') and customer is not null returning ",
        columns!()
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// Deletes events that came before `before` and that nothing is to be done about.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from stripe_events where status in ('applied', 'ignored') and received_at < $1")
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}

/// Forgets what the events of an account say, which may be a name and an address.
pub async fn anonymise(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "update stripe_events set payload = '{}'
             where customer in (select customer from stripe_customers where user_id = $1)",
        )
        .bind(user)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}
