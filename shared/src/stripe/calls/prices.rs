//! What we sell. A price never changes, so it is found by a key that says all of it, and made when it is first needed.

use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_product::price::{CreatePrice, CreatePriceRecurring, CreatePriceRecurringInterval, ListPrice};
use stripe_product::product::CreateProduct;

use super::currency;
use crate::domain::money::Money;
use crate::domain::payment::BillingCycle;
use crate::domain::tier::Tier;
use crate::stripe::StripeResult;
use crate::stripe::objects::{List, Object, Price};
use crate::stripe::transport::Stripe;

/// A price to be.
#[derive(Debug, Clone, Copy)]
pub struct NewPrice<'a> {
    /// What it is the price of, as invoices have it.
    pub name: &'a str,
    /// See [`lookup_key`].
    pub lookup_key: &'a str,
    /// What one period costs.
    pub amount: Money,
    /// How long a period is; none: it is paid once.
    pub cycle: Option<BillingCycle>,
}

/// The name that the price of a tier has at Stripe; another price has another name.
pub fn lookup_key(tier: Tier, cycle: BillingCycle, money: Money) -> String {
    let currency = money.currency.code().to_ascii_lowercase();
    format!("autoos:{tier}:{}:{currency}:{}", cycle.as_str(), money.minor)
}

/// The name of the price at which one period of a tier is paid for once.
pub fn lookup_key_once(tier: Tier, cycle: BillingCycle, money: Money) -> String {
    format!("{}:once", lookup_key(tier, cycle, money))
}

impl Stripe {
    /// The price of a name, if it is there and sold.
    pub async fn find_price(&self, lookup_key: &str) -> StripeResult<Option<Price>> {
        let found: List<Price> = self.read(find(lookup_key)).await?;
        // Asked again, in case something in between does not know this filter and gives any price.
        Ok(found.data.into_iter().find(|price| price.lookup_key.as_deref() == Some(lookup_key)))
    }

    /// Makes a product and its price. The name is taken from any other price that has it.
    pub async fn create_price(&self, new: &NewPrice<'_>, key: &str) -> StripeResult<Price> {
        let request = CreateProduct::new(new.name).build();
        let product: Object = self.change(request, &format!("{key}:product")).await?;
        self.change(create(new, &product.id), &format!("{key}:price")).await
    }
}

fn find(lookup_key: &str) -> RequestBuilder {
    ListPrice::new().active(true).lookup_keys([lookup_key.to_owned()]).build()
}

fn create(new: &NewPrice<'_>, product: &str) -> RequestBuilder {
    let price = CreatePrice::new(currency(new.amount.currency))
        .lookup_key(new.lookup_key)
        .product(product)
        // One that is sold no more, or that another process has just made, would keep the name from this one.
        .transfer_lookup_key(true)
        .unit_amount(new.amount.minor);
    let interval = match new.cycle {
        None => return price.build(),
        Some(BillingCycle::Monthly) => CreatePriceRecurringInterval::Month,
        Some(BillingCycle::Annual) => CreatePriceRecurringInterval::Year,
    };
    price.recurring(CreatePriceRecurring::new(interval)).build()
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;
    use crate::domain::money::Currency;

    const RUPEES: Money = Money { minor: 79_900, currency: Currency::INR };

    #[test]
    fn a_price_is_known_by_all_that_makes_it() {
        assert_eq!(lookup_key(Tier::Student, BillingCycle::Monthly, RUPEES), "autoos:student:monthly:inr:79900");
        let dollars = Money { minor: 9_990, currency: Currency::USD };
        assert_eq!(lookup_key(Tier::Employee, BillingCycle::Annual, dollars), "autoos:employee:annual:usd:9990");
    }

    #[test]
    fn a_price_is_looked_for_among_those_that_are_sold() {
        assert_eq!(
            shown(&find("autoos:student:monthly:inr:79900")),
            "Get /prices active=true&lookup_keys[0]=autoos:student:monthly:inr:79900"
        );
    }

    #[test]
    fn a_price_is_made_with_its_period_and_name() {
        for (cycle, recurring) in [
            (Some(BillingCycle::Monthly), "&recurring[interval]=month"),
            (Some(BillingCycle::Annual), "&recurring[interval]=year"),
            (None, ""),
        ] {
            let new = NewPrice { name: "AUTOOS Student", lookup_key: "autoos:k", amount: RUPEES, cycle };
            assert_eq!(
                shown(&create(&new, "prod_1")),
                format!(
                    "Post /prices currency=inr&lookup_key=autoos:k&product=prod_1{recurring}\
                     &transfer_lookup_key=true&unit_amount=79900"
                )
            );
        }
    }
}
