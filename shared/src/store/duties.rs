//! The scheduler's memory: when each duty last ticked, and which replica does it now.

use chrono::{DateTime, Utc};

use super::{StoreResult, Tx};

/// Takes a duty until `until` if nobody else holds it; gives the last tick that was done.
pub async fn take(
    tx: &mut Tx,
    name: &str,
    holder: &str,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> StoreResult<Option<DateTime<Utc>>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "insert into duties (name, last_tick, holder, lease_until) values ($1, $3, $2, $4)
             on conflict (name) do update set holder = excluded.holder, lease_until = excluded.lease_until
             where duties.holder is null or duties.holder = excluded.holder or duties.lease_until <= $3
             returning last_tick",
        )
        .bind(name)
        .bind(holder)
        .bind(now)
        .bind(until)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// Records a tick as done, and lets the duty go; false if it was taken away meanwhile.
pub async fn done(tx: &mut Tx, name: &str, holder: &str, tick: DateTime<Utc>) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update duties set last_tick = $3, holder = null, lease_until = null where name = $1 and holder = $2",
        )
        .bind(name)
        .bind(holder)
        .bind(tick)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}
