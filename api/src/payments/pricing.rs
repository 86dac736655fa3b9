//! `GET /payments/pricing`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::{Prices, Tier};
use utoipa::ToSchema;

use crate::App;

/// A price by the month and by the year.
#[derive(Debug, Serialize, ToSchema)]
pub struct Price {
    monthly: Money,
    annual: Money,
}

/// One row of the tier table; a limit of null means unlimited.
#[derive(Debug, Serialize, ToSchema)]
pub struct TierRow {
    tier: Tier,
    /// Null: by agreement.
    usd: Option<Price>,
    /// Null: by agreement.
    inr: Option<Price>,
    workflows_per_month: Option<i64>,
    agents: Option<i64>,
    storage_gb: Option<i64>,
    intents_per_minute: u32,
    intents_per_hour: u32,
    /// Credits in all; the trial only.
    credits: Option<i64>,
    /// Days that it lasts; the trial only.
    days: Option<i64>,
}

/// The tier table.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pricing {
    tiers: Vec<TierRow>,
}

/// What each tier costs and allows.
#[utoipa::path(get, path = "/payments/pricing", tag = "Payments", responses(
    (status = 200, description = "The tier table", body = Pricing),
))]
pub async fn pricing(State(app): State<App>) -> Json<Pricing> {
    let config = &app.services.config;
    let row = |tier: Tier| {
        let (prices, limits) = (config.tiers.prices(tier), config.tiers.limits(tier));
        let trial = tier == Tier::FreeTrial;
        TierRow {
            tier,
            usd: price(prices, Currency::USD),
            inr: price(prices, Currency::INR),
            workflows_per_month: limits.workflows_per_month,
            agents: limits.agents,
            storage_gb: limits.storage_gb,
            intents_per_minute: limits.intents_per_minute,
            intents_per_hour: limits.intents_per_hour,
            credits: trial.then_some(config.trial.credits),
            days: trial.then_some(config.trial.days),
        }
    };
    Json(Pricing { tiers: Tier::ALL.into_iter().map(row).collect() })
}

fn price(prices: &Prices, currency: Currency) -> Option<Price> {
    let price = |cycle| prices.of(cycle, currency);
    Some(Price { monthly: price(BillingCycle::Monthly)?, annual: price(BillingCycle::Annual)? })
}
