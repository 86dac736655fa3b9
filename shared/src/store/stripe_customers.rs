//! Whom Stripe knows each account as, and whose word of a customer is the newest.
//!
//! Whoever reads a customer's state at Stripe takes a number first and gives it back when writing: what was read
//! earlier than what has been written is not written. The customer's row is the lock of all that belongs to it: events
//! and the row in the outbox too, so that none of them is overlooked. Accounts are locked before customers.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::{StoreResult, Tx};
use crate::ids::UserId;
use crate::job::Job;

/// The customer of an account, in live mode or in test mode.
pub async fn get(tx: &mut Tx, user: UserId, livemode: bool) -> StoreResult<Option<String>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select customer from stripe_customers where user_id = $1 and livemode = $2")
            .bind(user)
            .bind(livemode)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// The account of a customer, if it is one of ours.
pub async fn owner(tx: &mut Tx, customer: &str) -> StoreResult<Option<UserId>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select user_id from stripe_customers where customer = $1")
            .bind(customer)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// Notes the customer of an account, unless it has one already; gives the one that is kept. A customer of another
/// account is an error.
pub async fn put(tx: &mut Tx, customer: &str, user: UserId, livemode: bool, now: DateTime<Utc>) -> StoreResult<String> {
    on!(tx, |c| {
        sqlx::query(
            "insert into stripe_customers (customer, user_id, livemode, sync_started, sync_written, created_at)
             values ($1, $2, $3, 0, 0, $4) on conflict do nothing",
        )
        .bind(customer)
        .bind(user)
        .bind(livemode)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select customer from stripe_customers where user_id = $1 and livemode = $2")
            .bind(user)
            .bind(livemode)
            .fetch_one(&mut *c)
            .await?
    }))
}

/// Customers with their accounts, those after `after`, in the order of their names.
pub async fn all(tx: &mut Tx, livemode: bool, after: Option<&str>, limit: i64) -> StoreResult<Vec<(String, UserId)>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select customer, user_id from stripe_customers
             where livemode = $1 and (cast($2 as text) is null or customer > $2) order by customer limit $3",
        )
        .bind(livemode)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Takes a number for what is about to be read at Stripe; `None`: the customer is not one of ours. To be committed
/// before the reading begins.
pub async fn start_sync(tx: &mut Tx, customer: &str) -> StoreResult<Option<i64>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "update stripe_customers set sync_started = sync_started + 1 where customer = $1 returning sync_started",
        )
        .bind(customer)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// Whether what was read under this number may be written, in this transaction; false: what was read later has been
/// written already. Either way the customer is locked.
pub async fn finish_sync(tx: &mut Tx, customer: &str, number: i64) -> StoreResult<bool> {
    lock(tx, customer).await?;
    let done = on!(tx, |c| {
        sqlx::query("update stripe_customers set sync_written = $2 where customer = $1 and sync_written < $2")
            .bind(customer)
            .bind(number)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// Keeps others from writing what belongs to a customer until the transaction ends.
pub async fn lock(tx: &mut Tx, customer: &str) -> StoreResult<()> {
    if !tx.has_one_writer() {
        let sql = "select 1 from stripe_customers where customer = $1 for update";
        on!(tx, |c| sqlx::query(sql).bind(customer).execute(&mut *c).await.map(drop))?;
    }
    Ok(())
}

/// Has a customer's state read now, all of it if `full`; whoever asked for all of it before gets that.
pub async fn wake(tx: &mut Tx, customer: &str, full: bool, now: DateTime<Utc>) -> StoreResult<()> {
    lock(tx, customer).await?;
    let job = Job::SyncCustomer { customer: customer.to_owned(), full };
    on!(tx, |c| {
        sqlx::query(
            "insert into outbox (key, job, lane, due_at, pushes) values ($1, $2, $3, $4, 0)
             on conflict (key) do update set due_at = excluded.due_at, pushes = 0,
             job = case when $5 then excluded.job else outbox.job end",
        )
        .bind(job.key())
        .bind(Json(&job))
        .bind(job.lane().name())
        .bind(now)
        .bind(full)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// Ends the work that [`wake`] asked for, after a customer's state has been read, all of it if `full`. If somebody has
/// asked for all of it meanwhile and only a part was read, the work stays. Whoever calls this has locked the customer
/// and seen that no events wait.
pub async fn rest(tx: &mut Tx, customer: &str, full: bool) -> StoreResult<()> {
    let part = Job::SyncCustomer { customer: customer.to_owned(), full: false };
    on!(tx, |c| {
        sqlx::query("delete from outbox where key = $1 and ($2 or job = $3)")
            .bind(part.key())
            .bind(full)
            .bind(Json(&part))
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}
