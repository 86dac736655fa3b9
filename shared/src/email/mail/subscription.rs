//! Mails about what an account is entitled to: credits that run low, a subscription that changes or ends.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Mail, day};
use crate::domain::tier::Tier;

/// See [`Mail::CreditsLow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsLow {
    /// The user's full name.
    pub name: String,
    /// The page where a plan is chosen.
    pub link: String,
    /// The credits that are left.
    pub credits_left: i64,
    /// When the trial ends.
    pub ends_at: DateTime<Utc>,
}

/// See [`Mail::SubscriptionChanged`]. What did not change is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionChanged {
    /// The user's full name.
    pub name: String,
    /// When it was changed.
    pub at: DateTime<Utc>,
    /// The tier.
    pub tier: Option<Change<Tier>>,
    /// How often it is billed: `monthly` or `annual`.
    #[serde(default)]
    pub billing_cycle: Option<Change<String>>,
    /// The status, as `active`.
    pub status: Option<Change<String>>,
    /// The end of the period.
    pub current_period_end: Option<Change<DateTime<Utc>>>,
    /// Whether it is renewed when the period ends.
    #[serde(default)]
    pub renews: Option<Change<bool>>,
    /// Why, in the words of whoever changed it; templates shorten them.
    pub reason: String,
}

/// See [`Mail::SubscriptionEnding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionEnding {
    /// The user's full name.
    pub name: String,
    /// The name of the tier.
    pub plan: String,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// Days until then, begun ones included; at least 1.
    pub days_left: i64,
    /// Whether it ends because a payment failed; else because it is not renewed.
    pub payment_failed: bool,
    /// The page where it is paid, or where a plan is chosen.
    pub link: String,
}

/// See [`Mail::SubscriptionEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionEnded {
    /// The user's full name.
    pub name: String,
    /// The name of the tier.
    pub plan: String,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// The page where a plan is chosen.
    pub link: String,
}

/// What something was and is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change<T> {
    /// What it was; none: there was nothing.
    pub from: Option<T>,
    /// What it is.
    pub to: T,
}

impl<T: PartialEq> Change<T> {
    /// The change from one to the other, if they differ.
    pub fn between(from: Option<T>, to: T) -> Option<Self> {
        (from.as_ref() != Some(&to)).then_some(Self { from, to })
    }
}

/// The samples of the mails in this file.
pub(super) fn samples() -> Vec<(&'static str, Mail)> {
    let low = |credits_left: i64| {
        Mail::CreditsLow(CreditsLow {
            name: "Ada Lovelace".into(),
            link: "https://autoos.example/plans".into(),
            credits_left,
            ends_at: day(31),
        })
    };
    let mut samples = vec![("two", low(2)), ("none", low(0))];
    samples.extend(changed_samples());
    samples.extend(end_samples());
    samples
}

fn changed_samples() -> Vec<(&'static str, Mail)> {
    let given = SubscriptionChanged {
        name: "Ada Lovelace".into(),
        at: day(1),
        tier: Change::between(None, Tier::Student),
        billing_cycle: None,
        status: Change::between(None, "active".into()),
        current_period_end: Change::between(None, day(31)),
        renews: None,
        reason: "Scholarship of the winter term".into(),
    };
    let moved = SubscriptionChanged {
        tier: None,
        status: Change::between(Some("active".into()), "past_due".into()),
        current_period_end: Change::between(Some(day(31)), day(15)),
        reason: "The bank <b>returned</b>\nthe payment & its fee".into(),
        ..given.clone()
    };
    let upgraded = SubscriptionChanged {
        tier: Change::between(Some(Tier::Student), Tier::Enterprise),
        status: None,
        current_period_end: None,
        reason: "As agreed on the phone".into(),
        ..given.clone()
    };
    let cancelled = SubscriptionChanged {
        tier: None,
        billing_cycle: Change::between(Some("monthly".into()), "annual".into()),
        renews: Change::between(Some(true), false),
        reason: "It was cancelled and ends with the period.".into(),
        ..upgraded.clone()
    };
    vec![
        ("given", Mail::SubscriptionChanged(given)),
        ("moved", Mail::SubscriptionChanged(moved)),
        ("upgraded", Mail::SubscriptionChanged(upgraded)),
        ("cancelled", Mail::SubscriptionChanged(cancelled)),
    ]
}

fn end_samples() -> Vec<(&'static str, Mail)> {
    let ending = |days_left: i64, payment_failed: bool| {
        Mail::SubscriptionEnding(SubscriptionEnding {
            name: "Ada Lovelace".into(),
            plan: "student".into(),
            ends_at: day(31),
            days_left,
            payment_failed,
            link: "https://autoos.example/plans".into(),
        })
    };
    let ended = Mail::SubscriptionEnded(SubscriptionEnded {
        name: "Ada Lovelace".into(),
        plan: "student".into(),
        ended_at: day(31),
        link: "https://autoos.example/plans".into(),
    });
    vec![("not_renewed", ending(3, false)), ("payment_failed", ending(1, true)), ("default", ended)]
}
