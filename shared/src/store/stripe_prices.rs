//! The prices at Stripe that we sell or have sold. What a subscription is for is known by its price alone, so rows
//! stay.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::BillingCycle;
use crate::domain::tier::Tier;

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Sold {
    /// What Stripe calls it.
    pub price: String,
    /// What it buys.
    pub tier: Tier,
    /// For how long.
    pub billing_cycle: BillingCycle,
    /// How much it is, in minor units of the currency.
    pub amount: i64,
    /// The currency.
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// Whether it is one of live mode; test mode knows nothing of it then.
    pub livemode: bool,
}

impl Sold {
    /// How much it is.
    pub const fn money(&self) -> Money {
        Money { minor: self.amount, currency: self.currency }
    }
}

/// Reads a price.
pub async fn get(tx: &mut Tx, price: &str) -> StoreResult<Option<Sold>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select price, tier, billing_cycle, amount, currency, livemode from stripe_prices where price = $1",
        )
        .bind(price)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// The newest price of just this, by what Stripe calls it.
pub async fn find(
    tx: &mut Tx,
    (tier, cycle): (Tier, BillingCycle),
    money: Money,
    livemode: bool,
) -> StoreResult<Option<String>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar(
            "select price from stripe_prices where tier = $1 and billing_cycle = $2 and amount = $3 and currency = $4
             and livemode = $5 order by created_at desc, price limit 1",
        )
        .bind(tier.name())
        .bind(cycle.as_str())
        .bind(money.minor)
        .bind(money.currency.code())
        .bind(livemode)
        .fetch_optional(&mut *c)
        .await?
    }))
}

/// Stores a price; a second time changes nothing.
pub async fn put(tx: &mut Tx, sold: &Sold, now: DateTime<Utc>) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into stripe_prices (price, tier, billing_cycle, amount, currency, livemode, created_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (price) do nothing",
        )
        .bind(&sold.price)
        .bind(sold.tier.name())
        .bind(sold.billing_cycle.as_str())
        .bind(sold.amount)
        .bind(sold.currency.code())
        .bind(sold.livemode)
        .bind(now)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}
