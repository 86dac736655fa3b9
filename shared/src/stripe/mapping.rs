//! What a customer's subscriptions and refunds at Stripe are to us: pure functions, tried with every status that Stripe
//! has.
//!
//! One of the subscriptions counts; what it is for is known by the id of its price alone, whatever else is written on it.
//! How long each status entitles is said here, and nowhere else.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::objects::{Item, Refund, Subscription};
use crate::domain::entitlement::GRACE;
use crate::domain::payment::{BillingCycle, PaymentStatus};
use crate::domain::tier::Tier;
use crate::store::subscriptions::Billed;

/// How long a period that will be renewed entitles beyond its end: word of the renewal may come late, and whoever pays
/// is not locked out for that.
pub const RENEWAL_SLACK: TimeDelta = TimeDelta::days(1);

/// What is sold at each of our prices, by the price's id.
pub type Prices = BTreeMap<String, (Tier, BillingCycle)>;

/// Why a subscription cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// Its price is not one of ours.
    #[error("the price {0} is not one of ours")]
    UnknownPrice(
        /// The price's id.
        String,
    ),
    /// It does not say what it has been billed for.
    #[error("the subscription {0} has no period")]
    NoPeriod(
        /// The subscription's id.
        String,
    ),
}

/// The one of a customer's subscriptions that counts: one that is paid for before one that is not, one that we know the
/// price of before one that we do not, the newest of those. One that has ended at a price that is not ours never was
/// anything of ours.
pub fn counting<'a>(subscriptions: &'a [Subscription], prices: &Prices) -> Option<&'a Subscription> {
    let candidates = subscriptions.iter().filter(|one| one.is_live() || sold(one, prices).is_some());
    candidates.max_by(|one, other| rank(one, prices).cmp(&rank(other, prices)))
}

fn rank<'a>(subscription: &'a Subscription, prices: &Prices) -> (u8, bool, i64, &'a str) {
    let standing = match subscription.status.as_str() {
        "active" | "trialing" => 3,
        "past_due" => 2,
        "unpaid" | "incomplete" | "paused" => 1,
        _ => 0,
    };
    (standing, sold(subscription, prices).is_some(), subscription.created, &subscription.id)
}

fn sold(subscription: &Subscription, prices: &Prices) -> Option<(Tier, BillingCycle)> {
    prices.get(subscription.item().and_then(Item::price)?).copied()
}

/// A subscription as we keep it. `next` is the price that it goes on with when the period ends, if it is planned to
/// change; `failing_since` counts if its payment is failing.
pub fn billed(
    subscription: &Subscription,
    prices: &Prices,
    next: Option<&str>,
    failing_since: DateTime<Utc>,
) -> Result<Billed, Unmapped> {
    let now_for = sold(subscription, prices).ok_or_else(|| {
        let price = subscription.item().and_then(Item::price).unwrap_or("(none)");
        Unmapped::UnknownPrice(price.to_owned())
    })?;
    let period = subscription.period().ok_or_else(|| Unmapped::NoPeriod(subscription.id.clone()))?;
    let (tier, billing_cycle) = now_for;
    Ok(Billed {
        stripe_subscription: subscription.id.clone(),
        tier,
        billing_cycle,
        status: subscription.status.clone(),
        period,
        cancel_at_period_end: subscription.ends_with_period(),
        past_due_since: (subscription.status == "past_due").then_some(failing_since),
        entitles_until: entitles_until(subscription, period.1, failing_since),
        pending: next.and_then(|price| prices.get(price)).copied().filter(|next| *next != now_for),
    })
}

/// Until when a subscription entitles if nothing more is heard of it; none: not at all.
fn entitles_until(
    subscription: &Subscription,
    period_end: DateTime<Utc>,
    failing_since: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match subscription.status.as_str() {
        "active" | "trialing" if subscription.ends_with_period() => Some(period_end),
        "active" | "trialing" => period_end.checked_add_signed(RENEWAL_SLACK),
        "past_due" => failing_since.checked_add_signed(GRACE),
        _ => None,
    }
}

/// Where a refund stands: it is paid when the payer has the money.
pub fn refunded(refund: &Refund) -> PaymentStatus {
    match refund.status.as_deref() {
        Some("succeeded") => PaymentStatus::Paid,
        Some("failed" | "canceled") => PaymentStatus::Failed,
        _ => PaymentStatus::Pending,
    }
}

#[cfg(test)]
mod tests;
