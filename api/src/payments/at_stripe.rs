//! What billing needs at Stripe: an account's customer, a plan's price, found there and made if missing. And how what
//! Stripe says in the end becomes ours.

use shared::domain::entitlement::Subscribed;
use shared::domain::money::Money;
use shared::domain::payment::BillingCycle;
use shared::ids::UserId;
use shared::store::stripe_prices::{self, Sold};
use shared::store::users::User;
use shared::store::{Tx, credits, stripe_customers};
use shared::stripe::objects::{CheckoutSession, Price, Subscription};
use shared::stripe::sync::{self, State, SyncError};
use shared::stripe::{NewCustomer, NewPrice, StripeError, lookup_key, lookup_key_once};

use super::operation::{Operation, Stop};
use super::plan::Plan;
use super::subscription::SubscriptionBody;
use crate::error::{ApiError, ApiResult, Code};

/// An account at Stripe.
pub struct Customer {
    /// What Stripe calls it.
    pub id: String,
    /// Whether it was made a moment ago, so that nothing can belong to it yet.
    pub is_new: bool,
}

/// The account's customer.
pub async fn customer(operation: &Operation, user: &User) -> Result<Customer, Stop> {
    let (services, livemode) = (&operation.services, operation.stripe.is_live());
    let mut reader = services.db.read().await?;
    let known = stripe_customers::get(&mut reader, user.id, livemode).await?;
    drop(reader);
    if let Some(id) = known {
        return Ok(Customer { id, is_new: false });
    }
    let new = NewCustomer { email: &user.email, name: &user.full_name, user: user.id };
    let made = operation.stripe.create_customer(&new, &operation.key("customer")).await?;
    let mut tx = services.db.begin().await?;
    let id = stripe_customers::put(&mut tx, &made.id, user.id, livemode, operation.now).await?;
    tx.commit().await?;
    let is_new = id == made.id && !operation.is_resumed();
    Ok(Customer { id, is_new })
}

/// The price of a plan: the one that was used before, else the one that has our name for it, else a new one.
pub async fn price(operation: &Operation, plan: Plan, amount: Money) -> Result<String, Stop> {
    let (services, livemode) = (&operation.services, operation.stripe.is_live());
    let mut reader = services.db.read().await?;
    let known = stripe_prices::find(&mut reader, (plan.tier, plan.cycle), amount, livemode).await?;
    drop(reader);
    if let Some(price) = known {
        return Ok(price);
    }
    let name = lookup_key(plan.tier, plan.cycle, amount);
    let price = find_or_make(operation, (plan, Some(plan.cycle)), &name, amount).await?.id;
    let Money { minor: amount, currency } = amount;
    let sold = Sold { price: price.clone(), tier: plan.tier, billing_cycle: plan.cycle, amount, currency, livemode };
    let mut tx = services.db.begin().await?;
    stripe_prices::put(&mut tx, &sold, operation.now).await?;
    tx.commit().await?;
    Ok(price)
}

/// The price at which one period of a plan is paid for once.
pub async fn price_once(operation: &Operation, plan: Plan, amount: Money) -> Result<String, Stop> {
    let name = lookup_key_once(plan.tier, plan.cycle, amount);
    Ok(find_or_make(operation, (plan, None), &name, amount).await?.id)
}

/// A price that has the name and is another one loses the name to the new one.
async fn find_or_make(
    operation: &Operation,
    (plan, cycle): (Plan, Option<BillingCycle>),
    name: &str,
    amount: Money,
) -> Result<Price, StripeError> {
    let is_it = |price: &Price| {
        let is_in = |code: &str| code.eq_ignore_ascii_case(amount.currency.code());
        price.unit_amount == Some(amount.minor) && price.currency.as_deref().is_some_and(is_in)
    };
    if let Some(price) = operation.stripe.find_price(name).await?.filter(is_it) {
        return Ok(price);
    }
    let new = NewPrice { name: &plan.to_string(), lookup_key: name, amount, cycle };
    operation.stripe.create_price(&new, &operation.key("price")).await
}

/// The account's subscription that Stripe bills, with its id there; 409 if there is none.
pub async fn billed(operation: &Operation, user: UserId) -> Result<(Subscribed, String), Stop> {
    let mut reader = operation.services.db.read().await?;
    let subscribed = credits::facts(&mut reader, user).await?.subscribed.filter(Subscribed::is_billed);
    let named = subscribed.and_then(|subscribed| Some((subscribed.stripe_subscription.clone()?, subscribed)));
    let (id, subscribed) =
        named.ok_or_else(|| ApiError::new(Code::WrongState, "Stripe bills no subscription of yours."))?;
    Ok((subscribed, id))
}

/// Whose a subscription is.
pub fn customer_of(subscription: &Subscription) -> ApiResult<&str> {
    let missing = || ApiError::odd(&format!("the subscription {} names no customer", subscription.id));
    Ok(&subscription.customer.as_ref().ok_or_else(missing)?.0)
}

/// The address of a page that was opened a moment ago.
pub fn page_of(session: &CheckoutSession) -> ApiResult<String> {
    session.url.clone().ok_or_else(|| ApiError::odd(&format!("the page {} has no address", session.id)))
}

/// Drops what was planned for the end of a subscription's period, if anything was.
pub async fn drop_planned(operation: &Operation, subscription: &Subscription) -> Result<(), StripeError> {
    if let Some(schedule) = subscription.schedule.as_ref().map(|named| named.0.as_str()) {
        operation.stripe.release_schedule(schedule, &operation.key(&format!("release:{schedule}"))).await?;
    }
    Ok(())
}

/// Stores what Stripe says of a customer; gives the account's subscription as it is then.
pub async fn settle(operation: &Operation, tx: &mut Tx, user: UserId, state: &State) -> Result<SubscriptionBody, Stop> {
    let Operation { services, now, .. } = operation;
    let synced = sync::write(tx, services, state, *now).await?;
    if synced.more {
        stripe_customers::wake(tx, &state.customer, false, *now).await?;
    }
    match synced.unknown_price {
        Some(price) => Err(SyncError::UnknownPrice(price).into()),
        None => Ok(SubscriptionBody::of(tx, user, &services.config.tiers, *now).await?),
    }
}
