//! What admins see of subscriptions, and do to them and to trials.
//!
//! Whoever changes something here locks the account first (`users::lock`), as closing does.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use super::credits::subscribed;
use super::{StoreResult, Tx};
use crate::domain::entitlement::{Subscribed, Subscription};
use crate::domain::tier::Tier;
use crate::ids::UserId;

/// A subscription with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Subscriber {
    /// The account.
    pub user_id: UserId,
    /// Its address.
    pub email: String,
    /// The subscription.
    #[sqlx(flatten)]
    pub subscribed: Subscribed,
}

/// Which subscriptions to list; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this status.
    pub status: Option<String>,
    /// Those of this tier.
    pub tier: Option<Tier>,
    /// Those of accounts made before this one.
    pub before: Option<UserId>,
}

/// Reads subscriptions, those of the newest accounts first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<Subscriber>> {
    let sql = concat!(
        "select user_id, email, ",
        subscribed!(),
        " from subscriptions join users on users.id = user_id where (cast($1 as text) is null or status = $1)
         and (cast($2 as text) is null or tier = $2) and (cast($3 as uuid) is null or user_id < $3)
         order by user_id desc limit $4"
    );
    Ok(on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(&filter.status)
            .bind(filter.tier.map(Tier::name))
            .bind(filter.before)
            .bind(limit)
            .fetch_all(&mut *c)
            .await?
    }))
}

/// One account's subscription, as a statement.
macro_rules! one {
    () => {
        concat!(
            "select user_id, email, ",
            subscribed!(),
            " from subscriptions join users on users.id = user_id where user_id = $1"
        )
    };
}

/// Reads one account's subscription.
pub async fn get(tx: &mut Tx, user: UserId) -> StoreResult<Option<Subscriber>> {
    Ok(on!(tx, |c| sqlx::query_as(one!()).bind(user).fetch_optional(&mut *c).await?))
}

/// The same, and keeps it from being changed until the transaction ends.
pub async fn lock(tx: &mut Tx, user: UserId) -> StoreResult<Option<Subscriber>> {
    let sql = tx.either(one!(), concat!(one!(), " for update of subscriptions"));
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(user).fetch_optional(&mut *c).await?))
}

/// Changes tier, status and end of a subscription; what was used stays. Nobody bills it from then on, and what Stripe
/// said of it is dropped: whoever calls this has seen that Stripe has ended it, if it was Stripe's. False: there is
/// none.
pub async fn set(tx: &mut Tx, user: UserId, to: &Subscription) -> StoreResult<bool> {
    let sql = "update subscriptions set tier = $2, status = $3, current_period_end = $4, entitles_until = null,
         stripe_subscription = null, cancel_at_period_end = false, past_due_since = null, pending_tier = null,
         pending_cycle = null where user_id = $1";
    let done = on!(tx, |c| {
        sqlx::query(sql)
            .bind(user)
            .bind(to.tier.name())
            .bind(&to.status)
            .bind(to.current_period_end)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// Notes how a subscription is paid for: `monthly` or `annual`.
pub async fn set_billing_cycle(tx: &mut Tx, user: UserId, cycle: &str) -> StoreResult<()> {
    let sql = "update subscriptions set billing_cycle = $2 where user_id = $1";
    on!(tx, |c| sqlx::query(sql).bind(user).bind(cycle).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// Moves the end of a trial by so much from now, or from its end if that is later; gives the old end and the new one.
/// `None`: there is no trial.
pub async fn extend_trial(
    tx: &mut Tx,
    user: UserId,
    by: TimeDelta,
    now: DateTime<Utc>,
) -> StoreResult<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let sql = tx.either(
        "select ends_at from trials where user_id = $1",
        "select ends_at from trials where user_id = $1 for update",
    );
    let from: Option<DateTime<Utc>> = on!(tx, |c| sqlx::query_scalar(sql).bind(user).fetch_optional(&mut *c).await?);
    let Some(from) = from else { return Ok(None) };
    let to = from.max(now) + by;
    on!(tx, |c| {
        sqlx::query("update trials set ends_at = $2 where user_id = $1")
            .bind(user)
            .bind(to)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(Some((from, to)))
}
