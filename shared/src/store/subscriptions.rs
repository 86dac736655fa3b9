//! The beginning of what was paid for.

use chrono::{DateTime, Utc};

use super::credits::{self, Subscription};
use super::{StoreResult, Tx, adjustments, users};
use crate::domain::payment::BillingCycle;
use crate::domain::tier::Tier;
use crate::ids::UserId;

/// Gives a user a period that was paid for, and tells its end. It follows on a subscription to the same tier that runs,
/// which only becomes longer; otherwise it begins now, with nothing used, in place of whatever there was.
pub async fn activate(
    tx: &mut Tx,
    user: UserId,
    tier: Tier,
    cycle: BillingCycle,
    now: DateTime<Utc>,
) -> StoreResult<DateTime<Utc>> {
    // Two first payments find no subscription to lock, so they wait for each other here.
    users::lock(tx, user).await?;
    let had = adjustments::lock(tx, user).await?.map(|subscriber| subscriber.subscribed);
    let running = had.filter(|had| had.subscription.tier == tier && had.subscription.runs(now));
    let (since, from, workflows_used) = running.map_or((now, now, 0), |had| {
        (had.current_period_start, had.subscription.current_period_end, had.subscription.workflows_used)
    });
    let current_period_end = cycle.end(from);
    let subscription = Subscription { tier, status: "active".to_owned(), current_period_end, workflows_used };
    credits::put_subscription(tx, user, &subscription, since).await?;
    adjustments::set_billing_cycle(tx, user, cycle.as_str()).await?;
    Ok(current_period_end)
}
