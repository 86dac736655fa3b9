//! What is sold: a tier for a time; and when a change from one to another takes effect.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;
use shared::domain::entitlement::Subscribed;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::plan::FieldError;
use shared::domain::tier::{Tier, Tiers};
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};

/// A tier for a month or a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The tier.
    pub tier: Tier,
    /// For how long at a time.
    pub cycle: BillingCycle,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once; the rest of what was paid counts towards it.
    Now,
    /// When the period that is paid for ends.
    PeriodEnd,
}

impl Plan {
    /// What a subscription is for.
    pub fn of(subscribed: &Subscribed) -> Self {
        let is_annual = subscribed.billing_cycle.as_deref() == Some(BillingCycle::Annual.as_str());
        let cycle = if is_annual { BillingCycle::Annual } else { BillingCycle::Monthly };
        Self { tier: subscribed.subscription.tier, cycle }
    }

    /// What it costs; 422 on the tier, with `refusal`, if it cannot be bought.
    pub fn price(self, tiers: &Tiers, currency: Currency, refusal: &str) -> ApiResult<Money> {
        let is_sold = !matches!(self.tier, Tier::FreeTrial | Tier::Enterprise);
        let price = tiers.prices(self.tier).of(self.cycle, currency).filter(|price| is_sold && price.minor > 0);
        price.ok_or_else(|| ApiError::invalid(vec![FieldError::new("tier", refusal)]))
    }

    /// When a change to another plan takes effect: more is had at once, less when what is paid for is over. `None`: it
    /// is the same plan.
    pub fn change_to(self, other: Self) -> Option<When> {
        let order = other.tier.cmp(&self.tier).then_with(|| length(other.cycle).cmp(&length(self.cycle)));
        match order {
            Ordering::Greater => Some(When::Now),
            Ordering::Less => Some(When::PeriodEnd),
            Ordering::Equal => None,
        }
    }
}

const fn length(cycle: BillingCycle) -> u8 {
    match cycle {
        BillingCycle::Monthly => 1,
        BillingCycle::Annual => 12,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} plan, {}", self.tier, self.cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BillingCycle::{Annual, Monthly};
    use Tier::{Employee, Professional, Student};

    #[test]
    fn more_is_had_at_once_and_less_when_the_period_ends() {
        for (from, to, expected) in [
            ((Student, Monthly), (Employee, Monthly), Some(When::Now)),
            ((Student, Monthly), (Student, Annual), Some(When::Now)),
            ((Student, Monthly), (Professional, Annual), Some(When::Now)),
            // A larger tier is more, also for a shorter time.
            ((Student, Annual), (Employee, Monthly), Some(When::Now)),
            ((Employee, Monthly), (Student, Monthly), Some(When::PeriodEnd)),
            ((Employee, Monthly), (Student, Annual), Some(When::PeriodEnd)),
            ((Student, Annual), (Student, Monthly), Some(When::PeriodEnd)),
            ((Professional, Annual), (Student, Monthly), Some(When::PeriodEnd)),
            ((Student, Monthly), (Student, Monthly), None),
            ((Employee, Annual), (Employee, Annual), None),
        ] {
            let plan = |(tier, cycle)| Plan { tier, cycle };
            assert_eq!(plan(from).change_to(plan(to)), expected, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn only_what_has_a_price_is_sold() {
        let price = |tier, cycle, currency| Plan { tier, cycle }.price(&Tiers::default(), currency, "no").ok();
        assert_eq!(price(Student, Annual, Currency::USD), Some(Money { minor: 9_999, currency: Currency::USD }));
        assert_eq!(price(Employee, Monthly, Currency::INR), Some(Money { minor: 239_900, currency: Currency::INR }));
        assert_eq!(price(Tier::FreeTrial, Monthly, Currency::USD), None);
        assert_eq!(price(Tier::Enterprise, Annual, Currency::USD), None);
    }

    #[test]
    fn a_plan_is_named_by_tier_and_time() {
        assert_eq!(Plan { tier: Student, cycle: Monthly }.to_string(), "student plan, monthly");
    }
}
