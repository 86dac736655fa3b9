//! Compares every subscription that Stripe bills with what we know of it, in both directions.
//!
//! There should be nothing to find. Whatever differs is not put right here: its customer is read anew, all that is recent,
//! and the run says what it was, so that somebody can find out why.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::domain::entitlement::Subscribed;
use shared::ids::UserId;
use shared::services::Services;
use shared::store::{StoreResult, Tx, stripe_customers, stripe_prices, subscriptions};
use shared::stripe::Stripe;
use shared::stripe::mapping::{self, Prices};
use shared::stripe::objects::{Item, Subscription};

use super::reconcile_stripe::{record, wake};
use super::{DutyError, NO_STRIPE};

/// Rows that are read together.
const BATCH: i64 = 500;
/// How many differences are named.
const EXAMPLES: usize = 20;

/// Compares, and has the customers read who differ.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let Some(stripe) = services.stripe.as_deref() else { return Ok(NO_STRIPE.to_owned()) };
    // Theirs first: what changes meanwhile is told by an event, and known to us at the latest when ours are read.
    let theirs = by_customer(stripe.subscriptions(None).await?);
    let mut reader = services.db.read().await?;
    let ours = Ours::read(&mut reader, stripe, &theirs).await?;
    drop(reader);
    let (compared, differing) = ours.compare(&theirs, now);
    for (customer, _) in &differing {
        wake(services, customer, true, now).await?;
    }
    if !differing.is_empty() {
        tracing::warn!(stripe.differing = differing.len(), "subscriptions differ from what Stripe says");
        services.queue.wake().await;
    }
    let examples: Vec<_> = differing.iter().take(EXAMPLES).map(|(_, example)| example).collect();
    let counts = (compared as i64, differing.len() as i64);
    record(services, ("compare", now), counts, json!({"examples": examples})).await?;
    Ok(format!("{} customers compared, {} differ", counts.0, counts.1))
}

/// Subscriptions that are not over, by whose they are.
fn by_customer(subscriptions: Vec<Subscription>) -> BTreeMap<String, Vec<Subscription>> {
    let mut all: BTreeMap<String, Vec<Subscription>> = BTreeMap::new();
    for subscription in subscriptions.into_iter().filter(Subscription::is_live) {
        if let Some(customer) = &subscription.customer {
            all.entry(customer.0.clone()).or_default().push(subscription);
        }
    }
    all
}

/// What we know.
struct Ours {
    customers: BTreeMap<String, UserId>,
    /// Subscriptions that Stripe bills.
    billed: BTreeMap<UserId, Subscribed>,
    prices: Prices,
}

impl Ours {
    async fn read(tx: &mut Tx, stripe: &Stripe, theirs: &BTreeMap<String, Vec<Subscription>>) -> StoreResult<Self> {
        let livemode = stripe.is_live();
        let (mut customers, mut billed) = (BTreeMap::new(), BTreeMap::new());
        let mut after = None::<String>;
        loop {
            let page = stripe_customers::all(tx, livemode, after.as_deref(), BATCH).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            customers.extend(page);
        }
        let mut after = None;
        loop {
            let page = subscriptions::all_billed(tx, after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.user_id);
            billed.extend(page.into_iter().map(|subscriber| (subscriber.user_id, subscriber.subscribed)));
        }
        Ok(Self { customers, billed, prices: prices(tx, theirs).await? })
    }

    /// How many customers were compared, and those who differ with what differs. Subscriptions of customers who are none
    /// of ours are somebody else's business.
    fn compare(&self, theirs: &BTreeMap<String, Vec<Subscription>>, now: DateTime<Utc>) -> (usize, Vec<(&str, Value)>) {
        let (mut compared, mut differing) = (0, Vec::new());
        for (customer, user) in &self.customers {
            let (ours, theirs) = (self.billed.get(user), theirs.get(customer).map(Vec::as_slice).unwrap_or_default());
            if ours.is_none() && theirs.is_empty() {
                continue;
            }
            compared += 1;
            let differences = differences(ours, theirs, &self.prices, now);
            if !differences.is_empty() {
                let example = json!({"customer": customer, "user_id": user, "differences": differences});
                differing.push((customer.as_str(), example));
            }
        }
        (compared, differing)
    }
}

/// What is sold at the prices of these subscriptions.
async fn prices(tx: &mut Tx, theirs: &BTreeMap<String, Vec<Subscription>>) -> StoreResult<Prices> {
    let items = theirs.values().flatten().flat_map(|subscription| &subscription.items.data);
    let named: BTreeSet<&str> = items.filter_map(Item::price).collect();
    let mut prices = Prices::new();
    for price in named {
        if let Some(sold) = stripe_prices::get(tx, price).await? {
            prices.insert(sold.price, (sold.tier, sold.billing_cycle));
        }
    }
    Ok(prices)
}

/// What is not the same, in words of our columns; nothing: all is well.
fn differences(
    ours: Option<&Subscribed>,
    theirs: &[Subscription],
    prices: &Prices,
    now: DateTime<Utc>,
) -> Vec<&'static str> {
    let Some(counted) = mapping::counting(theirs, prices) else { return vec!["missing at Stripe"] };
    let Ok(billed) = mapping::billed(counted, prices, None, now) else { return vec!["price"] };
    let Some(ours) = ours else {
        // What is not paid for may have given way to what came from elsewhere.
        return if billed.entitles_until.is_some() { vec!["missing here"] } else { Vec::new() };
    };
    let cycle = Some(billed.billing_cycle.as_str());
    let paid_for = theirs.iter().filter(|one| matches!(one.status.as_str(), "active" | "trialing" | "past_due"));
    let pairs = [
        // Only one of them counts, and the customer pays for all: a person has to end the others.
        ("several", paid_for.count() > 1),
        ("subscription", ours.stripe_subscription.as_ref() != Some(&billed.stripe_subscription)),
        ("status", ours.subscription.status != billed.status),
        ("tier", ours.subscription.tier != billed.tier),
        ("billing_cycle", ours.billing_cycle.as_deref() != cycle),
        ("current_period_end", ours.subscription.current_period_end != billed.period.1),
        ("cancel_at_period_end", ours.cancel_at_period_end != billed.cancel_at_period_end),
    ];
    pairs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;
