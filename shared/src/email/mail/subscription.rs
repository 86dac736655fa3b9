//! Mails about what an account is entitled to: credits that run low, a subscription that an admin changed.

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
    /// The status, as `active`.
    pub status: Option<Change<String>>,
    /// The end of the period.
    pub current_period_end: Option<Change<DateTime<Utc>>>,
    /// Why, in the words of whoever changed it; templates shorten them.
    pub reason: String,
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
    let given = SubscriptionChanged {
        name: "Ada Lovelace".into(),
        at: day(1),
        tier: Change::between(None, Tier::Student),
        status: Change::between(None, "active".into()),
        current_period_end: Change::between(None, day(31)),
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
    vec![
        ("two", low(2)),
        ("none", low(0)),
        ("given", Mail::SubscriptionChanged(given)),
        ("moved", Mail::SubscriptionChanged(moved)),
        ("upgraded", Mail::SubscriptionChanged(upgraded)),
    ]
}
