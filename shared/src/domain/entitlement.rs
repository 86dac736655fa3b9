//! Who may submit, and what pays for it: one pure function of the trial, the subscription, the limits and the time.
//!
//! A subscription that runs wins over a trial, also when its workflows are used up. Whom either entitles needs room for
//! results, and with a subscription a workflow that is left of the month; the first of these that is missing is told.
//! What is shown, previewed and said in refusals comes from here; the statements that charge (`store::credits`) check
//! under a lock what they take.

use chrono::{DateTime, Datelike, Months, SecondsFormat, TimeDelta, Utc};
use sqlx::FromRow;

use super::status::Charged;
use super::tier::{Tier, Tiers};

/// How long a subscription whose payment failed goes on working.
pub const GRACE: TimeDelta = TimeDelta::days(7);

/// What is left of a period after whole months and is no month of its own: who is billed on the last day of each month
/// has a period from 28 February to 31 March.
const REST: TimeDelta = TimeDelta::days(3);

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
    /// As Stripe names it: `active`, `trialing`, `past_due`, `canceled`, `unpaid`, `incomplete` and so on.
    pub status: String,
    /// The end of the period that is paid for.
    pub current_period_end: DateTime<Utc>,
    /// Workflows used, as they were last counted; see [`Subscribed::used`].
    pub workflows_used: i64,
    /// Until when it entitles, where status and period alone do not say it.
    pub entitles_until: Option<DateTime<Utc>>,
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
    /// The subscription at Stripe, if that bills it.
    pub stripe_subscription: Option<String>,
    /// Whether it ends with the period instead of being renewed.
    pub cancel_at_period_end: bool,
    /// Since when its payment has been failing.
    pub past_due_since: Option<DateTime<Utc>>,
    /// The tier that it goes on with when the period ends, if that is another.
    pub pending_tier: Option<Tier>,
    /// The billing cycle that it goes on with then.
    pub pending_cycle: Option<String>,
}

/// What decides on a user's entitlement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The trial, if it was ever started.
    pub trial: Option<Trial>,
    /// The subscription, if there ever was one.
    pub subscribed: Option<Subscribed>,
    /// Bytes of stored results.
    pub stored: i64,
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
    /// As much is stored as the tier allows.
    #[error("Your storage of {0} GB is full. Please upgrade to continue.")]
    StorageLimitReached(
        /// How many gigabytes there are.
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
    /// A subscription with nothing used.
    pub fn new(tier: Tier, status: &str, current_period_end: DateTime<Utc>) -> Self {
        Self { tier, status: status.to_owned(), current_period_end, workflows_used: 0, entitles_until: None }
    }

    /// Until when it entitles, if nothing more is heard of it; none: not at all.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        until(&self.status, self.current_period_end, self.entitles_until)
    }

    /// Whether it entitles at `now`.
    pub fn runs(&self, now: DateTime<Utc>) -> bool {
        self.until().is_some_and(|until| until > now)
    }
}

/// Until when a subscription of this status and period entitles, if nothing more is heard of it; none: not at all.
pub fn until(
    status: &str,
    current_period_end: DateTime<Utc>,
    entitles_until: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    match status {
        "active" | "trialing" => Some(entitles_until.unwrap_or(current_period_end)),
        "past_due" => Some(entitles_until.unwrap_or(current_period_end + GRACE)),
        _ => None,
    }
}

impl Subscribed {
    /// Whether Stripe bills it and has not ended it.
    pub fn is_billed(&self) -> bool {
        let ended = matches!(self.subscription.status.as_str(), "canceled" | "incomplete_expired");
        self.stripe_subscription.is_some() && !ended
    }

    /// Whether a next period follows without anybody doing anything, as far as is known.
    pub fn is_renewed(&self) -> bool {
        let is_paid = matches!(self.subscription.status.as_str(), "active" | "trialing");
        self.stripe_subscription.is_some() && is_paid && !self.cancel_at_period_end
    }

    /// What tells its end from every other one of the account's, for mails that are sent once for each. What Stripe bills
    /// ends with a period, or before that because a payment failed.
    pub fn end_name(&self) -> String {
        let end = self.subscription.current_period_end;
        let time = |end: DateTime<Utc>| end.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let why = if self.subscription.status == "past_due" { ":unpaid" } else { "" };
        match &self.stripe_subscription {
            Some(id) => format!("{id}:{}{why}", time(end)),
            None => time(self.subscription.until().unwrap_or(end)),
        }
    }

    /// The month of the period that `now` is in, from its start to its end. Months are counted from the period's start;
    /// the last one goes on through days of grace.
    pub fn month(&self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let (start, end) = (self.current_period_start, self.subscription.current_period_end);
        let last = end - REST;
        let nth = |n| start.checked_add_months(Months::new(n)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let at = now.min(end).max(start);
        let months = (at.year() - start.year()) * 12 + at.month() as i32 - start.month() as i32;
        let mut n = u32::try_from(months).unwrap_or(0);
        while n > 0 && (nth(n) > now || nth(n) >= last) {
            n -= 1;
        }
        let next = nth(n + 1);
        (nth(n), if next < last { next } else { end })
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

/// Whose limits hold at `now` for an account with this subscription, if it has one.
pub fn tier(subscribed: Option<&Subscribed>, now: DateTime<Utc>) -> Tier {
    let runs = subscribed.filter(|subscribed| subscribed.subscription.runs(now));
    runs.map_or(Tier::FreeTrial, |subscribed| subscribed.subscription.tier)
}

/// What these facts entitle to at `now`.
pub fn entitlement(facts: &Facts, tiers: &Tiers, now: DateTime<Utc>) -> Entitlement {
    let paid = by_payer(facts, tiers, now);
    let limits = tiers.limits(paid.tier);
    let full = limits.storage().is_some_and(|limit| facts.stored >= limit);
    match (paid.charge, limits.storage_gb) {
        (Ok(_) | Err(NotEntitled::WorkflowLimitReached(_)), Some(gigabytes)) if full => {
            Entitlement { charge: Err(NotEntitled::StorageLimitReached(gigabytes)), ..paid }
        }
        _ => paid,
    }
}

/// The same, whatever is stored.
fn by_payer(facts: &Facts, tiers: &Tiers, now: DateTime<Utc>) -> Entitlement {
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
