//! Who may submit, and what pays for it: one pure function of the trial, the subscription, the limits and the time.
//!
//! A subscription that runs wins over a trial, also when its workflows are used up. What is shown, previewed and said in
//! refusals comes from here; the statements that charge (`store::credits`) check under a lock what they take.

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use sqlx::FromRow;

use super::status::Charged;
use super::tier::{Tier, Tiers};

/// How long a subscription whose payment failed goes on working.
pub const GRACE: TimeDelta = TimeDelta::days(7);

/// A user's trial.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Trial {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// Credits given in all.
    pub credits_total: i64,
    /// Credits left.
    pub credits: i64,
}

/// A user's subscription.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Subscription {
    /// What was bought.
    pub tier: Tier,
    /// As Stripe names it: `active`, `past_due`, `canceled`.
    pub status: String,
    /// The end of the period that is paid for.
    pub current_period_end: DateTime<Utc>,
    /// Workflows used, as they were last counted; see [`Subscribed::used`].
    pub workflows_used: i64,
}

/// A subscription with its period and what its counter counts.
///
/// Workflows are limited by the month, a period may have many; so the counter says from when it counts, and is worth
/// nothing in a later month.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Subscribed {
    /// The subscription.
    #[sqlx(flatten)]
    pub subscription: Subscription,
    /// The start of the period that is paid for.
    pub current_period_start: DateTime<Utc>,
    /// The start of the month that `workflows_used` counts; none: the period's first.
    pub counted_from: Option<DateTime<Utc>>,
    /// `monthly` or `annual`, if it was bought.
    pub billing_cycle: Option<String>,
}

/// What decides on a user's entitlement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The trial, if it was ever started.
    pub trial: Option<Trial>,
    /// The subscription, if there ever was one.
    pub subscribed: Option<Subscribed>,
}

/// Why nothing can be charged; the text is what users are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEntitled {
    /// The trial runs and has no credit left.
    #[error("Trial credits exhausted. Please upgrade to continue.")]
    TrialCreditsExhausted,
    /// The trial is over, and there never was a subscription.
    #[error("Your trial is over. Please upgrade to continue.")]
    TrialExpired,
    /// There is no subscription, or it has lapsed.
    #[error("Active subscription required. Please upgrade to continue.")]
    SubscriptionRequired,
    /// The subscription runs, and its workflows of this month are used.
    #[error("All {0} workflows of this month are used.")]
    WorkflowLimitReached(
        /// How many a month has.
        i64,
    ),
}

/// What an account is entitled to at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Whose limits hold.
    pub tier: Tier,
    /// What would pay for the next workflow, or why nothing would.
    pub charge: Result<Charged, NotEntitled>,
    /// Workflows used: in the month of a subscription, or of the trial's credits.
    pub used: i64,
    /// How many there are in all; none: unlimited.
    pub limit: Option<i64>,
    /// The month or the trial that these are of, from its start to its end; none before the trial begins.
    pub period: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Subscription {
    /// Whether it entitles at `now`.
    pub fn runs(&self, now: DateTime<Utc>) -> bool {
        runs(&self.status, self.current_period_end, now)
    }
}

/// Whether a subscription of this status and period entitles at `now`.
pub fn runs(status: &str, current_period_end: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    match status {
        "active" => current_period_end > now,
        "past_due" => current_period_end + GRACE > now,
        _ => false,
    }
}

impl Subscribed {
    /// The month of the period that `now` is in, from its start to its end. Months are counted from the period's start;
    /// the last one goes on through days of grace.
    pub fn month(&self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let (start, end) = (self.current_period_start, self.subscription.current_period_end);
        let nth = |n| start.checked_add_months(Months::new(n)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let at = now.min(end).max(start);
        let months = (at.year() - start.year()) * 12 + at.month() as i32 - start.month() as i32;
        let mut n = u32::try_from(months).unwrap_or(0);
        while n > 0 && (nth(n) > now || nth(n) >= end) {
            n -= 1;
        }
        (nth(n), nth(n + 1).min(end))
    }

    /// Workflows used in the month that `now` is in.
    pub fn used(&self, now: DateTime<Utc>) -> i64 {
        let counted_from = self.counted_from.unwrap_or(self.current_period_start);
        if counted_from >= self.month(now).0 { self.subscription.workflows_used } else { 0 }
    }
}

impl Entitlement {
    /// How many workflows can still be charged; none: unlimited.
    pub fn left(&self) -> Option<i64> {
        match self.charge {
            Ok(_) => self.limit.map(|limit| limit - self.used),
            Err(_) => Some(0),
        }
    }
}

/// What these facts entitle to at `now`.
pub fn entitlement(facts: &Facts, tiers: &Tiers, now: DateTime<Utc>) -> Entitlement {
    let runs = facts.subscribed.as_ref().filter(|subscribed| subscribed.subscription.runs(now));
    let trial = facts.trial.as_ref().filter(|trial| trial.ends_at > now);
    match (runs, trial, &facts.subscribed, &facts.trial) {
        (Some(subscribed), ..) => {
            let shown = by_subscription(subscribed, tiers, now);
            let full = shown.limit.filter(|limit| shown.used >= *limit);
            let charge = full.map_or(Ok(Charged::Subscription), |limit| Err(NotEntitled::WorkflowLimitReached(limit)));
            Entitlement { tier: subscribed.subscription.tier, charge, ..shown }
        }
        (None, Some(trial), ..) => {
            let has_credit = trial.credits > 0;
            let charge = if has_credit { Ok(Charged::Trial) } else { Err(NotEntitled::TrialCreditsExhausted) };
            Entitlement { charge, ..by_trial(trial) }
        }
        (None, None, Some(subscribed), _) => by_subscription(subscribed, tiers, now),
        (None, None, None, Some(trial)) => Entitlement { charge: Err(NotEntitled::TrialExpired), ..by_trial(trial) },
        (None, None, None, None) => nothing(),
    }
}

/// What a subscription counts, whether it runs or not.
fn by_subscription(subscribed: &Subscribed, tiers: &Tiers, now: DateTime<Utc>) -> Entitlement {
    let limit = tiers.limits(subscribed.subscription.tier).workflows_per_month;
    Entitlement { used: subscribed.used(now), limit, period: Some(subscribed.month(now)), ..nothing() }
}

/// What a trial counts, whether it runs or not.
fn by_trial(trial: &Trial) -> Entitlement {
    let period = Some((trial.started_at, trial.ends_at));
    Entitlement { used: trial.credits_total - trial.credits, limit: Some(trial.credits_total), period, ..nothing() }
}

const fn nothing() -> Entitlement {
    let charge = Err(NotEntitled::SubscriptionRequired);
    Entitlement { tier: Tier::FreeTrial, charge, used: 0, limit: Some(0), period: None }
}

#[cfg(test)]
mod tests;
