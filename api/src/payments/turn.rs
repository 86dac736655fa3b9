//! The change from one plan to another: whether and when it can be made, and making it.
//!
//! Stripe's word says what the present plan is and whether it is paid for, since word of it may come late to us. What
//! has to be refused as far as we know is refused before Stripe is asked.

use chrono::{DateTime, Utc};
use shared::domain::entitlement::Subscribed;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::store::{StoreResult, stripe_prices};
use shared::stripe::StripeError;
use shared::stripe::objects::Subscription;

use super::at_stripe::{billed, drop_planned, price};
use super::change_plan::NOT_SOLD;
use super::operation::{Operation, Stop};
use super::plan::{Plan, When};
use crate::error::{ApiError, ApiResult, Code};

/// What a change is made of.
pub(super) struct Turn {
    /// What is changed.
    pub subscription: Subscription,
    /// The item of it that has the price.
    pub item: String,
    /// The present price.
    from: Option<String>,
    /// The price to change to.
    pub to: String,
    /// What that comes to.
    pub amount: Money,
    /// None: to the plan that it is; what was to come is dropped.
    pub when: Option<When>,
    period_end: DateTime<Utc>,
}

impl Turn {
    /// What a change to this tier and cycle is made of; without a cycle that stays. 409 if it cannot be made.
    pub async fn find(
        operation: &Operation,
        user: UserId,
        (tier, cycle): (Tier, Option<BillingCycle>),
    ) -> Result<Self, Stop> {
        let (subscribed, id) = billed(operation, user).await?;
        let known = Plan::of(&subscribed);
        let wanted = Plan { tier, cycle: cycle.unwrap_or(known.cycle) };
        if !operation.is_resumed() {
            refuse(&subscribed, known.change_to(wanted))?;
        }
        let amount = wanted.price(&operation.services.config.tiers, Currency::USD, NOT_SOLD)?;
        let to = price(operation, wanted, amount).await?;
        let subscription = operation.stripe.subscription(&id).await?;
        let missing = || ApiError::odd(&format!("the subscription {id} is for nothing"));
        let item = subscription.item().ok_or_else(missing)?;
        let (item, from) = (item.id.clone(), item.price().map(str::to_owned));
        let present = plan_of(operation, from.as_deref()).await?.unwrap_or(known);
        let when = present.change_to(wanted);
        check(&subscription.status, subscription.ends_with_period(), when)?;
        let period_end = subscription.period().map_or(subscribed.subscription.current_period_end, |(_, end)| end);
        Ok(Self { subscription, item, from, to, amount, when, period_end })
    }

    /// When it takes effect.
    pub fn effective(&self, now: DateTime<Utc>) -> (When, DateTime<Utc>) {
        match self.when {
            Some(When::PeriodEnd) => (When::PeriodEnd, self.period_end),
            Some(When::Now) | None => (When::Now, now),
        }
    }

    /// Makes it, in place of whatever was planned.
    pub async fn make(&self, operation: &Operation) -> Result<(), Stop> {
        match self.when {
            Some(When::PeriodEnd) => {
                operation.stripe.schedule_price(&self.subscription, &self.to, &operation.try_key("schedule")).await?;
            }
            Some(When::Now) if self.from.as_deref() != Some(self.to.as_str()) => self.change(operation).await?,
            Some(When::Now) | None => drop_planned(operation, &self.subscription).await?,
        }
        Ok(())
    }

    /// Changes it now. Stripe wants what was planned to be dropped first; it is planned again if the payment is
    /// refused, since then nothing is to have changed.
    async fn change(&self, operation: &Operation) -> Result<(), StripeError> {
        let planned = self.planned(operation).await?;
        drop_planned(operation, &self.subscription).await?;
        let change = (self.item.as_str(), self.to.as_str());
        let changed = operation.stripe.change_price(&self.subscription.id, change, &operation.try_key("change")).await;
        if let (Err(StripeError::Declined { .. } | StripeError::NeedsAction(_)), Some(next)) = (&changed, planned) {
            self.plan_again(operation, &next).await;
        }
        changed.map(drop)
    }

    /// The price that is planned for the end of the period, if one is.
    async fn planned(&self, operation: &Operation) -> Result<Option<String>, StripeError> {
        let Some(schedule) = &self.subscription.schedule else { return Ok(None) };
        let schedule = operation.stripe.schedule(&schedule.0).await?;
        Ok(schedule.next_price(operation.now).map(str::to_owned))
    }

    async fn plan_again(&self, operation: &Operation, next: &str) {
        let mut released = self.subscription.clone();
        released.schedule = None;
        if operation.stripe.schedule_price(&released, next, &operation.try_key("again")).await.is_err() {
            tracing::error!(stripe.subscription = %released.id, stripe.price = next,
                "a payment was refused, and what was planned for the end of the period is lost: plan it at Stripe");
        }
    }
}

/// The plan that is sold at a price; none if it is not one of ours.
async fn plan_of(operation: &Operation, price: Option<&str>) -> StoreResult<Option<Plan>> {
    let Some(price) = price else { return Ok(None) };
    let mut reader = operation.services.db.read().await?;
    let sold = stripe_prices::get(&mut reader, price).await?;
    Ok(sold.map(|sold| Plan { tier: sold.tier, cycle: sold.billing_cycle }))
}

/// Refuses what cannot be changed as far as we know, and what is the same before and after.
fn refuse(subscribed: &Subscribed, when: Option<When>) -> ApiResult<()> {
    check(&subscribed.subscription.status, subscribed.cancel_at_period_end, when)?;
    if when.is_none() && subscribed.pending_tier.is_none() {
        return Err(wrong("This is the plan that you have."));
    }
    Ok(())
}

/// Refuses to change what is to end, and what is not paid for: at once because the rest of the period would count as if
/// it were.
fn check(status: &str, ends_with_period: bool, when: Option<When>) -> ApiResult<()> {
    match (status, when) {
        ("canceled" | "incomplete_expired", _) => {
            Err(wrong("Your subscription has ended; subscribe again: POST /payments/subscribe."))
        }
        _ if ends_with_period => {
            Err(wrong("Your subscription ends with its period; take that back first: POST /payments/reactivate."))
        }
        ("active" | "trialing", _) | ("past_due", Some(When::PeriodEnd) | None) => Ok(()),
        _ => Err(wrong(format!("Your subscription is {status}; pay what is open first, in the portal."))),
    }
}

fn wrong(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::WrongState, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_paid_for_is_not_changed_at_once() {
        for (status, now, later) in [
            ("active", true, true),
            ("trialing", true, true),
            ("past_due", false, true),
            ("unpaid", false, false),
            ("incomplete", false, false),
            ("paused", false, false),
            ("canceled", false, false),
        ] {
            assert_eq!(check(status, false, Some(When::Now)).is_ok(), now, "{status}");
            for when in [Some(When::PeriodEnd), None] {
                assert_eq!(check(status, false, when).is_ok(), later, "{status} {when:?}");
                assert!(check(status, true, when).is_err(), "{status} that is to end");
            }
        }
    }
}
