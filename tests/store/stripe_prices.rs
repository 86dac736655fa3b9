//! Prices at Stripe: known for ever, and found again by what they are for.

use chrono::TimeDelta;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::store::Tx;
use shared::store::stripe_prices::{self, Sold};

use super::begin;
use crate::harness::engines::both_engines;

fn student(price: &str) -> Sold {
    Sold {
        price: price.to_owned(),
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 999,
        currency: Currency::USD,
        livemode: false,
    }
}

async fn get(tx: &mut Tx, price: &str) -> Option<Sold> {
    stripe_prices::get(tx, price).await.expect("an answer")
}

async fn find(tx: &mut Tx, like: &Sold) -> Option<String> {
    let what = (like.tier, like.billing_cycle);
    stripe_prices::find(tx, what, like.money(), like.livemode).await.expect("an answer")
}

both_engines! {
    async fn a_price_is_what_it_was_first_stored_as(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        assert_eq!(get(&mut tx, "price_1").await, None);
        let sold = student("price_1");
        stripe_prices::put(&mut tx, &sold, now).await.expect("a price");
        stripe_prices::put(&mut tx, &Sold { amount: 1, ..sold.clone() }, now).await.expect("no change");
        assert_eq!(get(&mut tx, "price_1").await, Some(sold.clone()));
        assert_eq!(sold.money(), Money { minor: 999, currency: Currency::USD });
        let yen = "jpy".parse().expect("a currency");
        let other = Sold {
            tier: Tier::Professional,
            billing_cycle: BillingCycle::Annual,
            amount: 7_999_900,
            currency: yen,
            ..student("price_2")
        };
        stripe_prices::put(&mut tx, &other, now).await.expect("a price");
        assert_eq!(get(&mut tx, "price_2").await, Some(other));
    }

    async fn a_price_is_found_by_all_that_it_is_and_the_newest_first(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let sold = student("price_1");
        assert_eq!(find(&mut tx, &sold).await, None);
        stripe_prices::put(&mut tx, &sold, now).await.expect("a price");
        assert_eq!(find(&mut tx, &sold).await.as_deref(), Some("price_1"));
        for other in [
            Sold { tier: Tier::Employee, ..sold.clone() },
            Sold { billing_cycle: BillingCycle::Annual, ..sold.clone() },
            Sold { amount: 998, ..sold.clone() },
            Sold { currency: Currency::INR, ..sold.clone() },
            Sold { livemode: true, ..sold.clone() },
        ] {
            assert_eq!(find(&mut tx, &other).await, None, "{other:?}");
        }
        stripe_prices::put(&mut tx, &student("price_0"), now + TimeDelta::days(1)).await.expect("a price");
        assert_eq!(find(&mut tx, &sold).await.as_deref(), Some("price_0"));
    }
}
