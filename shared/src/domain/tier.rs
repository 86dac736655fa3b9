//! What an account may do and what it pays: the tier table, in one place.
//!
//! The numbers here are the defaults; a deployment overrides them in its configuration file. To add a tier: a variant,
//! its name, its row in [`Tiers::default`] and its section in `config.default.toml`.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{Currency, Money};
use super::payment::BillingCycle;

/// What an account is entitled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Tier {
    /// The trial that every account begins with.
    FreeTrial,
    /// The smallest paid tier.
    Student,
    /// For people who use it at work.
    Employee,
    /// For people who live in it.
    Professional,
    /// By agreement; set up by an admin.
    Enterprise,
}

impl Tier {
    /// Every tier, in the order of the table.
    pub const ALL: [Self; 5] = [Self::FreeTrial, Self::Student, Self::Employee, Self::Professional, Self::Enterprise];

    /// The tier's name in JSON, in the database and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FreeTrial => "free_trial",
            Self::Student => "student",
            Self::Employee => "employee",
            Self::Professional => "professional",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a tier costs, in minor units (cents, paise). None: by agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Prices {
    /// A month, in US cents.
    pub usd_month: Option<i64>,
    /// A year, in US cents.
    pub usd_year: Option<i64>,
    /// A month, in Indian paise.
    pub inr_month: Option<i64>,
    /// A year, in Indian paise.
    pub inr_year: Option<i64>,
}

impl Prices {
    /// What a month or a year costs in a currency; none: by agreement.
    pub fn of(&self, cycle: BillingCycle, currency: Currency) -> Option<Money> {
        let minor = match (currency, cycle) {
            (Currency::USD, BillingCycle::Monthly) => self.usd_month,
            (Currency::USD, BillingCycle::Annual) => self.usd_year,
            (Currency::INR, BillingCycle::Monthly) => self.inr_month,
            (Currency::INR, BillingCycle::Annual) => self.inr_year,
            _ => None,
        };
        Some(Money { minor: minor?, currency })
    }
}

/// Bytes in what the table calls a gigabyte.
pub const GIGABYTE: i64 = 1_000_000_000;

/// What a tier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Workflows in a billing month; none: unlimited. A trial is limited by its credits instead.
    pub workflows_per_month: Option<i64>,
    /// Steps that run at once; none: unlimited.
    pub agents: Option<i64>,
    /// Gigabytes of stored results; none: unlimited.
    pub storage_gb: Option<i64>,
    /// Intents in any window of a minute.
    pub intents_per_minute: u32,
    /// Intents in any window of an hour.
    pub intents_per_hour: u32,
    /// Requests of all sorts in any window of a minute.
    pub requests_per_minute: u32,
}

impl Limits {
    /// Bytes of stored results; none: unlimited.
    pub fn storage(&self) -> Option<i64> {
        self.storage_gb.map(|gigabytes| gigabytes.saturating_mul(GIGABYTE))
    }
}

/// One row of the tier table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// What it costs.
    pub prices: Prices,
    /// What it allows.
    pub limits: Limits,
}

/// The tier table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers([Terms; Tier::ALL.len()]);

impl Tiers {
    /// A table with the row that `row` gives for each tier.
    pub fn new(row: impl FnMut(Tier) -> Terms) -> Self {
        Self(Tier::ALL.map(row))
    }

    /// The row of a tier.
    pub const fn terms(&self, tier: Tier) -> &Terms {
        &self.0[tier as usize]
    }

    /// What a tier costs.
    pub const fn prices(&self, tier: Tier) -> &Prices {
        &self.terms(tier).prices
    }

    /// What a tier allows.
    pub const fn limits(&self, tier: Tier) -> &Limits {
        &self.terms(tier).limits
    }
}

impl Default for Tiers {
    fn default() -> Self {
        Self::new(|tier| match tier {
            Tier::FreeTrial => terms([0, 0, 0, 0], [None, Some(2), Some(1)], [10, 100, 600]),
            Tier::Student => terms([999, 9_999, 79_900, 799_900], [Some(100), Some(5), Some(5)], [20, 500, 900]),
            Tier::Employee => {
                terms([2_999, 29_999, 239_900, 2_399_900], [Some(500), Some(20), Some(20)], [50, 2_000, 1_200])
            }
            Tier::Professional => {
                terms([9_999, 99_999, 799_900, 7_999_900], [None, Some(100), Some(100)], [100, 10_000, 2_400])
            }
            Tier::Enterprise => Terms {
                prices: Prices { usd_month: None, usd_year: None, inr_month: None, inr_year: None },
                ..terms([0; 4], [None; 3], [1_000, 100_000, 6_000])
            },
        })
    }
}

/// A row: prices (USD month, year, INR month, year), amounts (workflows, agents, storage), rates (intents a minute, an
/// hour, requests a minute).
const fn terms(prices: [i64; 4], amounts: [Option<i64>; 3], rates: [u32; 3]) -> Terms {
    Terms {
        prices: Prices {
            usd_month: Some(prices[0]),
            usd_year: Some(prices[1]),
            inr_month: Some(prices[2]),
            inr_year: Some(prices[3]),
        },
        limits: Limits {
            workflows_per_month: amounts[0],
            agents: amounts[1],
            storage_gb: amounts[2],
            intents_per_minute: rates[0],
            intents_per_hour: rates[1],
            requests_per_minute: rates[2],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_has_one_name_everywhere() {
        for tier in Tier::ALL {
            assert_eq!(serde_json::to_value(tier).unwrap(), tier.name());
        }
    }

    #[test]
    fn every_tier_finds_its_own_row() {
        let requests = Tier::ALL.map(|tier| Tiers::default().limits(tier).requests_per_minute);
        assert_eq!(requests, [600, 900, 1_200, 2_400, 6_000]);
        assert_eq!(Tiers::default().prices(Tier::Employee).inr_year, Some(2_399_900));
        assert_eq!(Tiers::default().prices(Tier::Enterprise).usd_month, None);
    }

    #[test]
    fn a_price_is_found_by_cycle_and_currency() {
        let tiers = Tiers::default();
        for (cycle, currency, minor) in [
            (BillingCycle::Monthly, Currency::USD, 999),
            (BillingCycle::Annual, Currency::USD, 9_999),
            (BillingCycle::Monthly, Currency::INR, 79_900),
            (BillingCycle::Annual, Currency::INR, 799_900),
        ] {
            assert_eq!(tiers.prices(Tier::Student).of(cycle, currency), Some(Money { minor, currency }));
            assert_eq!(tiers.prices(Tier::Enterprise).of(cycle, currency), None);
        }
    }

    #[test]
    fn a_dearer_tier_never_allows_less() {
        let tiers = Tiers::default();
        let at_least = |more: Option<i64>, less: Option<i64>| more.unwrap_or(i64::MAX) >= less.unwrap_or(i64::MAX);
        for pair in Tier::ALL.windows(2) {
            let (less, more) = (tiers.limits(pair[0]), tiers.limits(pair[1]));
            assert!(at_least(more.agents, less.agents) && at_least(more.storage_gb, less.storage_gb));
            assert!(more.intents_per_minute >= less.intents_per_minute);
            assert!(more.intents_per_hour >= less.intents_per_hour);
        }
    }
}
