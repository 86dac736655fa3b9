//! Trials, subscriptions and the credit ledger.
//!
//! The balance moves in the same statement that checks it, and every movement has an entry in the append-only ledger
//! whose (reason, reference) is unique: the sum of the entries is the balance, and nothing happens twice.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::{INSERT_END, StoreError, StoreResult, Tx, batch, insert_into, pieces};
use crate::domain::entitlement::{Facts, Subscribed};
use crate::domain::status::Charged;
use crate::domain::tier::Limits;
use crate::ids::{self, UserId, WorkflowId};

pub use crate::domain::entitlement::{GRACE, Subscription, Trial, until};

/// The columns of [`Subscribed`].
macro_rules! subscribed {
    () => {
        "tier, status, current_period_start, current_period_end, workflows_used, entitles_until, counted_from,
         billing_cycle, stripe_subscription, cancel_at_period_end, past_due_since, pending_tier, pending_cycle"
    };
}
pub(super) use subscribed;

/// Starts a user's trial once; a second call changes nothing.
pub async fn start_trial(tx: &mut Tx, user: UserId, trial: &Trial) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into trials (user_id, started_at, ends_at, credits_total, credits) values ($1, $2, $3, 0, 0)
             on conflict (user_id) do nothing",
        )
        .bind(user)
        .bind(trial.started_at)
        .bind(trial.ends_at)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    if done == 1 {
        grant(tx, user, trial.credits_total, ("trial_grant", user.0), trial.started_at).await?;
    }
    Ok(done == 1)
}

/// Gives credits once per (reason, reference). False: given before, or the user has no trial.
pub async fn grant(
    tx: &mut Tx,
    user: UserId,
    credits: i64,
    (reason, reference): (&str, Uuid),
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    if trial(tx, user).await?.is_none() || !enter(tx, user, credits, (reason, reference), now).await? {
        return Ok(false);
    }
    on!(tx, |c| {
        sqlx::query("update trials set credits = credits + $2, credits_total = credits_total + $2 where user_id = $1")
            .bind(user)
            .bind(credits)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(true)
}

/// Writes a ledger entry; false if there is one for this reason and reference.
async fn enter(
    tx: &mut Tx,
    user: UserId,
    amount: i64,
    (reason, reference): (&str, Uuid),
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "insert into ledger (id, user_id, amount, reason, reference, created_at) values ($1, $2, $3, $4, $5, $6)
             on conflict (reason, reference) do nothing",
        )
        .bind(ids::new(now))
        .bind(user)
        .bind(amount)
        .bind(reason)
        .bind(reference)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// The bytes of results that are stored for the account of a row, as a column.
macro_rules! stored {
    ($table:literal) => {
        concat!("coalesce((select storage from in_use i where i.user_id = ", $table, ".user_id), 0) as stored")
    };
}

/// Takes one trial credit for each workflow whose owner's trial runs, has one left, and stores less than `storage` bytes
/// (`None`: unlimited), in the order given; gives for each what is left then.
pub async fn charge_trials(
    tx: &mut Tx,
    wanted: &[(UserId, WorkflowId)],
    storage: Option<i64>,
    now: DateTime<Utc>,
) -> StoreResult<Vec<Option<i64>>> {
    let sql = concat!("select user_id, credits, ends_at, ", stored!("trials"), " from trials where user_id in (");
    let trials: Vec<(UserId, i64, DateTime<Utc>, i64)> = lock(tx, sql, wanted.iter().map(|(user, _)| *user)).await?;
    let pays = |ends: DateTime<Utc>, stored: i64| ends > now && storage.is_none_or(|limit| stored < limit);
    let running = trials.into_iter().filter(|(_, _, ends, stored)| pays(*ends, *stored));
    let mut left: BTreeMap<_, _> = running.map(|(user, credits, ..)| (user, credits)).collect();
    let mut charged = Vec::with_capacity(wanted.len());
    let (mut counts, mut entries) = (BTreeMap::new(), Vec::new());
    for (user, workflow) in wanted {
        let credits = left.get_mut(user).filter(|credits| **credits > 0);
        charged.push(credits.map(|credits| {
            *credits -= 1;
            *counts.entry(*user).or_insert(0_i64) += 1;
            entries.push((*user, workflow.0));
            *credits
        }));
    }
    take_credits(tx, &counts).await?;
    enter_charges(tx, &entries, now).await?;
    Ok(charged)
}

/// A subscription with whose it is.
#[derive(FromRow)]
struct Payer {
    user_id: UserId,
    #[sqlx(flatten)]
    subscribed: Subscribed,
    stored: i64,
}

/// Takes one of a subscription's workflows for each of `wanted`, which names the payer and the limits of workflows and
/// storage, if the subscription entitles at `now`; in the order given.
pub async fn charge_subscriptions(
    tx: &mut Tx,
    wanted: &[(UserId, Limits)],
    now: DateTime<Utc>,
) -> StoreResult<Vec<bool>> {
    let sql = concat!(
        "select user_id, ",
        subscribed!(),
        ", ",
        stored!("subscriptions"),
        " from subscriptions where user_id in ("
    );
    let payers: Vec<Payer> = lock(tx, sql, wanted.iter().map(|(user, _)| *user)).await?;
    let running = payers.into_iter().filter(|payer| payer.subscribed.subscription.runs(now));
    let months = running.map(|Payer { user_id, subscribed, stored }| {
        (user_id, (subscribed.used(now), subscribed.month(now).0, stored))
    });
    let mut months: BTreeMap<_, _> = months.collect();
    let mut charged = Vec::with_capacity(wanted.len());
    let mut counted = BTreeMap::new();
    let below = |amount: i64, limit: Option<i64>| limit.is_none_or(|limit| amount < limit);
    for (user, limits) in wanted {
        let month = months
            .get_mut(user)
            .filter(|(used, _, stored)| below(*used, limits.workflows_per_month) && below(*stored, limits.storage()));
        charged.push(month.is_some());
        if let Some((used, since, _)) = month {
            *used += 1;
            counted.insert(*user, (*used, *since));
        }
    }
    set_used(tx, &counted).await?;
    Ok(charged)
}

/// Reads the rows of those who pay and keeps them locked, in the order of users so that no two wait for each other.
async fn lock<T>(tx: &mut Tx, sql: &'static str, users: impl Iterator<Item = UserId>) -> StoreResult<Vec<T>>
where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let users: Vec<_> = users.collect::<BTreeSet<_>>().into_iter().collect();
    let mut rows = Vec::with_capacity(users.len());
    let end = tx.either(") order by user_id", ") order by user_id for update");
    for piece in pieces(&users) {
        rows.extend(on!(tx, |c| {
            let mut q = QueryBuilder::new(sql);
            piece.push_list(&mut q);
            q.push(end);
            q.build_query_as::<T>().fetch_all(&mut *c).await?
        }));
    }
    Ok(rows)
}

/// Takes credits from trials that [`lock`] has read.
async fn take_credits(tx: &mut Tx, counts: &BTreeMap<UserId, i64>) -> StoreResult<()> {
    let counts: Vec<_> = counts.iter().collect();
    for piece in pieces(&counts) {
        let done = batch!(tx, |q| {
            q.push("update trials set credits = credits - v.column2 from (");
            q.push_values(piece.filled(), |mut row, (user, count)| {
                row.push_bind(**user).push_bind(**count);
            });
            q.push(") as v where user_id = v.column1 and credits >= v.column2");
        });
        if done != piece.len() as u64 {
            return Err(StoreError::Conflict("balance"));
        }
    }
    Ok(())
}

/// Sets what was used, and since when, of subscriptions that [`lock`] has read.
async fn set_used(tx: &mut Tx, counted: &BTreeMap<UserId, (i64, DateTime<Utc>)>) -> StoreResult<()> {
    let counted: Vec<_> = counted.iter().collect();
    for piece in pieces(&counted) {
        let done = batch!(tx, |q| {
            q.push("update subscriptions set workflows_used = v.column2, counted_from = v.column3 from (");
            q.push_values(piece.filled(), |mut row, (user, (used, since))| {
                row.push_bind(**user).push_bind(*used).push_bind(*since);
            });
            q.push(") as v where user_id = v.column1");
        });
        if done != piece.len() as u64 {
            return Err(StoreError::Conflict("balance"));
        }
    }
    Ok(())
}

/// Writes the ledger entries of charges, one for each workflow.
async fn enter_charges(tx: &mut Tx, entries: &[(UserId, Uuid)], now: DateTime<Utc>) -> StoreResult<()> {
    for piece in pieces(entries) {
        batch!(tx, |q| {
            q.push(insert_into("ledger (id, user_id, amount, reason, reference, created_at)"));
            q.push_values(piece.marked(), |mut row, (mark, (user, workflow))| {
                row.push_bind(mark).push_bind(ids::new(now)).push_bind(*user).push_bind(-1_i64).push_bind("charge");
                row.push_bind(*workflow).push_bind(now);
            });
            q.push(INSERT_END);
        });
    }
    Ok(())
}

/// Gives back what a workflow was charged, once.
pub async fn refund(
    tx: &mut Tx,
    user: UserId,
    workflow: WorkflowId,
    charged: Charged,
    now: DateTime<Utc>,
) -> StoreResult<bool> {
    let amount = i64::from(charged == Charged::Trial);
    if !enter(tx, user, amount, ("refund", workflow.0), now).await? {
        return Ok(false);
    }
    let sql = match charged {
        Charged::Trial => "update trials set credits = credits + 1 where user_id = $1",
        Charged::Subscription => {
            "update subscriptions set workflows_used = workflows_used - 1 where user_id = $1 and workflows_used > 0"
        }
    };
    on!(tx, |c| sqlx::query(sql).bind(user).execute(&mut *c).await?.rows_affected());
    Ok(true)
}

/// Whether a workflow's charge has been given back.
pub async fn refunded(tx: &mut Tx, workflow: WorkflowId) -> StoreResult<bool> {
    let entries: i64 = on!(tx, |c| {
        sqlx::query_scalar("select count(*) from ledger where reason = 'refund' and reference = $1")
            .bind(workflow)
            .fetch_one(&mut *c)
            .await?
    });
    Ok(entries > 0)
}

/// A user's trial, if it was ever started.
pub async fn trial(tx: &mut Tx, user: UserId) -> StoreResult<Option<Trial>> {
    Ok(on!(tx, |c| {
        sqlx::query_as("select started_at, ends_at, credits_total, credits from trials where user_id = $1")
            .bind(user)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// A user's subscription, if there is one.
pub async fn subscription(tx: &mut Tx, user: UserId) -> StoreResult<Option<Subscription>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select tier, status, current_period_end, workflows_used, entitles_until from subscriptions
             where user_id = $1",
        )
        .bind(user)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// What decides on a user's entitlement.
pub async fn facts(tx: &mut Tx, user: UserId) -> StoreResult<Facts> {
    let sql = concat!("select ", subscribed!(), " from subscriptions where user_id = $1");
    let subscribed = on!(tx, |c| sqlx::query_as(sql).bind(user).fetch_optional(&mut *c).await?);
    let stored = super::usage::in_use(tx, user).await?.storage;
    Ok(Facts { trial: trial(tx, user).await?, subscribed, stored })
}

/// Writes a subscription that Stripe does not bill as it now is; with another start of its period, what was used counts
/// from there.
pub async fn put_subscription(
    tx: &mut Tx,
    user: UserId,
    subscription: &Subscription,
    since: DateTime<Utc>,
) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into subscriptions (user_id, tier, status, current_period_start, current_period_end, workflows_used,
             entitles_until) values ($1, $2, $3, $4, $5, $6, $7) on conflict (user_id) do update set
             tier = excluded.tier, status = excluded.status, current_period_start = excluded.current_period_start,
             current_period_end = excluded.current_period_end, workflows_used = excluded.workflows_used,
             entitles_until = excluded.entitles_until, stripe_subscription = null, cancel_at_period_end = false,
             past_due_since = null, pending_tier = null, pending_cycle = null, counted_from = case when
             subscriptions.current_period_start = excluded.current_period_start then subscriptions.counted_from end",
        )
        .bind(user)
        .bind(subscription.tier.name())
        .bind(&subscription.status)
        .bind(since)
        .bind(subscription.current_period_end)
        .bind(subscription.workflows_used)
        .bind(subscription.entitles_until)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// Ends a trial that runs: a subscription takes its place.
pub async fn end_trial(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> StoreResult<()> {
    let sql = "update trials set ends_at = $2 where user_id = $1 and ends_at > $2";
    on!(tx, |c| sqlx::query(sql).bind(user).bind(now).execute(&mut *c).await?.rows_affected());
    Ok(())
}

/// A trial that ends in a window of time, with whom to tell.
#[derive(Debug, Clone, FromRow)]
pub struct EndingTrial {
    /// The account.
    pub user_id: UserId,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// Credits left.
    pub credits: i64,
    /// The account's address.
    pub email: String,
    /// The account's full name.
    pub full_name: String,
}

/// Trials that end after `from` and not after `to`, of accounts that are not disabled and have no subscription.
pub async fn trials_ending(tx: &mut Tx, from: DateTime<Utc>, to: DateTime<Utc>) -> StoreResult<Vec<EndingTrial>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select t.user_id, t.ends_at, t.credits, u.email, u.full_name from trials t join users u on u.id = t.user_id
             where t.ends_at > $1 and t.ends_at <= $2 and not u.disabled
             and not exists (select 1 from subscriptions s where s.user_id = t.user_id
             and s.status in ('active', 'trialing', 'past_due'))
             order by t.ends_at, t.user_id",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Accounts whose ledger does not add up to their balance: (user, balance, sum). A sound store has none.
pub async fn unbalanced(tx: &mut Tx) -> StoreResult<Vec<(UserId, i64, i64)>> {
    tx.read_whole_tables().await?;
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select t.user_id, t.credits, cast(coalesce(sum(l.amount), 0) as bigint) from trials t
             left join ledger l on l.user_id = t.user_id group by t.user_id, t.credits
             having t.credits <> coalesce(sum(l.amount), 0)",
        )
        .fetch_all(&mut *c)
        .await?
    }))
}
