//! The beginning of what was paid for, and what Stripe bills.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::adjustments::Subscriber;
use super::credits::{self, GRACE, Subscription, subscribed};
use super::{StoreResult, Tx, adjustments, agents, users};
use crate::domain::entitlement::Subscribed;
use crate::domain::payment::BillingCycle;
use crate::domain::tier::Tier;
use crate::ids::UserId;

/// A subscription that ends, with whom to tell.
#[derive(Debug, Clone, FromRow)]
pub struct Ending {
    /// The account.
    pub user_id: UserId,
    /// Its address.
    pub email: String,
    /// The person's name.
    pub full_name: String,
    /// The subscription.
    #[sqlx(flatten)]
    pub subscribed: Subscribed,
}

/// Subscriptions that entitle until after `from` and not after `to` if nothing more is heard of them, of accounts that
/// are open.
pub async fn ending(tx: &mut Tx, from: DateTime<Utc>, to: DateTime<Utc>) -> StoreResult<Vec<Ending>> {
    let sql = concat!(
        "select user_id, email, full_name, ",
        subscribed!(),
        " from subscriptions join users on users.id = user_id where not disabled and deleted_at is null
         and status in ('active', 'trialing', 'past_due') and coalesce(entitles_until, current_period_end) > $1
         and coalesce(entitles_until, current_period_end) <= $2 order by user_id"
    );
    // Days of grace that are not stored are only known to `Subscription::until`.
    let rows: Vec<Ending> = on!(tx, |c| sqlx::query_as(sql).bind(from - GRACE).bind(to).fetch_all(&mut *c).await?);
    let ends = |row: &Ending| row.subscribed.subscription.until().is_some_and(|until| from < until && until <= to);
    Ok(rows.into_iter().filter(ends).collect())
}

/// Subscriptions that Stripe bills and has not ended, as far as we know, those of accounts after `after`.
pub async fn all_billed(tx: &mut Tx, after: Option<UserId>, limit: i64) -> StoreResult<Vec<Subscriber>> {
    let sql = concat!(
        "select user_id, email, ",
        subscribed!(),
        " from subscriptions join users on users.id = user_id where stripe_subscription is not null
         and status not in ('canceled', 'incomplete_expired') and (cast($1 as uuid) is null or user_id > $1)
         order by user_id limit $2"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(after).bind(limit).fetch_all(&mut *c).await?))
}

/// Gives a user a period that was paid for, and tells its end. It follows on a subscription to the same tier that runs,
/// which only becomes longer; otherwise it begins now, with nothing used, in place of whatever there was. Steps that
/// wait for a free agent start as far as the plan has more.
pub async fn activate(
    tx: &mut Tx,
    user: UserId,
    tier: Tier,
    cycle: BillingCycle,
    now: DateTime<Utc>,
) -> StoreResult<DateTime<Utc>> {
    // Two first payments find no subscription to lock, so they wait for each other here.
    users::lock(tx, user).await?;
    // Before the subscription is locked: trials come first.
    credits::end_trial(tx, user, now).await?;
    let had = adjustments::lock(tx, user).await?.map(|subscriber| subscriber.subscribed);
    let running = had.filter(|had| had.subscription.tier == tier && had.subscription.runs(now));
    let (since, from, workflows_used) = running.map_or((now, now, 0), |had| {
        (had.current_period_start, had.subscription.current_period_end, had.subscription.workflows_used)
    });
    let current_period_end = cycle.end(from);
    let subscription = Subscription { workflows_used, ..Subscription::new(tier, "active", current_period_end) };
    credits::put_subscription(tx, user, &subscription, since).await?;
    adjustments::set_billing_cycle(tx, user, cycle.as_str()).await?;
    agents::look_again(tx, user, now).await?;
    Ok(current_period_end)
}

/// A subscription as Stripe bills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed {
    /// What Stripe calls it.
    pub stripe_subscription: String,
    /// What is bought.
    pub tier: Tier,
    /// For how long at a time.
    pub billing_cycle: BillingCycle,
    /// Where it stands, as Stripe names it.
    pub status: String,
    /// The period that is billed, from its start to its end.
    pub period: (DateTime<Utc>, DateTime<Utc>),
    /// Whether it ends with the period.
    pub cancel_at_period_end: bool,
    /// Since when its payment has been failing.
    pub past_due_since: Option<DateTime<Utc>>,
    /// Until when it entitles, where status and period do not say it.
    pub entitles_until: Option<DateTime<Utc>>,
    /// What it becomes when the period ends, if that is something else.
    pub pending: Option<(Tier, BillingCycle)>,
}

/// That a subscription is still in the period that is written, as a condition.
macro_rules! same_period {
    () => {
        "subscriptions.stripe_subscription = excluded.stripe_subscription
         and subscriptions.current_period_start = excluded.current_period_start"
    };
}

/// Writes an account's subscription as Stripe bills it, in place of whatever there was. In a new period nothing is
/// used; within one, what was used stays. Whoever calls this has locked the account.
pub async fn put_billed(tx: &mut Tx, user: UserId, billed: &Billed) -> StoreResult<()> {
    let (pending_tier, pending_cycle) = billed.pending.unzip();
    let sql = concat!(
        "insert into subscriptions (user_id, tier, status, current_period_start, current_period_end, workflows_used,
         billing_cycle, stripe_subscription, cancel_at_period_end, past_due_since, entitles_until, pending_tier,
         pending_cycle) values ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12)
         on conflict (user_id) do update set tier = excluded.tier, status = excluded.status,
         current_period_start = excluded.current_period_start, current_period_end = excluded.current_period_end,
         billing_cycle = excluded.billing_cycle, stripe_subscription = excluded.stripe_subscription,
         cancel_at_period_end = excluded.cancel_at_period_end, past_due_since = excluded.past_due_since,
         entitles_until = excluded.entitles_until, pending_tier = excluded.pending_tier,
         pending_cycle = excluded.pending_cycle, workflows_used = case when ",
        same_period!(),
        " then subscriptions.workflows_used else 0 end, counted_from = case when ",
        same_period!(),
        " then subscriptions.counted_from end"
    );
    on!(tx, |c| {
        sqlx::query(sql)
            .bind(user)
            .bind(billed.tier.name())
            .bind(&billed.status)
            .bind(billed.period.0)
            .bind(billed.period.1)
            .bind(billed.billing_cycle.as_str())
            .bind(&billed.stripe_subscription)
            .bind(billed.cancel_at_period_end)
            .bind(billed.past_due_since)
            .bind(billed.entitles_until)
            .bind(pending_tier.map(Tier::name))
            .bind(pending_cycle.map(BillingCycle::as_str))
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}
