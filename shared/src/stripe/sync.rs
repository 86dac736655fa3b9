//! What Stripe says about one customer becomes what we know.
//!
//! There is one way: the customer's present state is read, all that matters of it, and written in one transaction. Nothing
//! is taken from the words of a webhook, so neither the order of webhooks nor their number matters. Whoever reads takes a
//! number first, and what was read earlier than what has been written is not written any more.
//!
//! Mails are decided on where it is seen, under the account's lock, that something is new. What follows from one more
//! thing that Stripe says: a field of [`State`], its reading in `sync/read.rs`, its writing in a file of its own.

mod invoices;
mod read;
mod refunds;
mod sessions;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::error::StripeError;
use super::mapping::Prices;
use super::objects::{CheckoutSession, Invoice, Item, Refund, Subscription};
use crate::domain::money::Money;
use crate::email::Mail;
use crate::ids::UserId;
use crate::services::Services;
use crate::store::users::User;
use crate::store::{
    StoreError, StoreResult, Tx, credits, mails, stripe_customers, stripe_events, stripe_prices, users,
};

pub use self::read::read;

/// What is longer ago is no news: it is written, and no mail is sent about it.
const NEWS: TimeDelta = TimeDelta::days(7);

/// Why a customer's state at Stripe could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// It could not be read.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A subscription is for something that is not sold here. All else has been written.
    #[error(
        "the customer subscribes to the price {0}, which is not one of ours, so nothing is granted for it: move the \
         subscription to one of our prices at Stripe, or add the price to the table stripe_prices with the tier and the \
         billing cycle that it buys, and replay the event"
    )]
    UnknownPrice(
        /// The price's id.
        String,
    ),
}

/// A customer's state at Stripe, as far as it was read.
#[derive(Debug, Clone)]
pub struct State {
    /// Who, as Stripe calls them.
    pub customer: String,
    /// Whose customer this is.
    pub user: UserId,
    /// The number that was taken before the reading.
    pub number: i64,
    /// Whether all that is recent was read, and not only what is in force and what events named.
    pub full: bool,
    /// The events that waited for this.
    pub events: Vec<String>,
    /// All subscriptions, whatever became of them.
    pub subscriptions: Vec<Subscription>,
    /// The price that each subscription goes on with when its period ends, where that is planned; by subscription.
    pub next_prices: BTreeMap<String, String>,
    /// Invoices.
    pub invoices: Vec<Invoice>,
    /// Checkout sessions of payments by QR code.
    pub sessions: Vec<CheckoutSession>,
    /// Sessions that were completed, and whose money will not come.
    pub failed_sessions: BTreeSet<String>,
    /// Refunds.
    pub refunds: Vec<Refund>,
}

/// What came of writing a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Whether it was written; if not, what was read later had been written before.
    pub written: bool,
    /// Whether there is something left to read.
    pub more: bool,
    /// The price of a subscription that is not one of ours; the events wait on then.
    pub unknown_price: Option<String>,
}

/// Reads a customer's present state at Stripe and writes it, in a transaction of its own; all that is recent, if `full`.
/// That ends the work that `stripe_customers::wake` asked for.
pub async fn customer(services: &Services, customer: &str, full: bool) -> Result<Synced, SyncError> {
    let state = read(services, customer, full).await?;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    let synced = write(&mut tx, services, &state, now).await?;
    if synced.unknown_price.is_none() {
        let is_missed = full && !synced.written;
        if !is_missed {
            stripe_customers::rest(&mut tx, customer, full).await?;
        }
        if synced.more {
            stripe_customers::wake(&mut tx, customer, is_missed, now).await?;
        }
    }
    tx.commit().await?;
    services.queue.wake().await;
    match synced.unknown_price {
        Some(price) => Err(SyncError::UnknownPrice(price)),
        None => Ok(synced),
    }
}

/// Writes what [`read()`] has read, in the caller's transaction, and marks the events that waited for it.
pub async fn write(tx: &mut Tx, services: &Services, state: &State, now: DateTime<Utc>) -> Result<Synced, SyncError> {
    let user = users::lock(tx, state.user).await?.ok_or_else(|| nobodys(&state.customer))?;
    if !stripe_customers::finish_sync(tx, &state.customer, state.number).await? {
        let more = state.full || has_pending(tx, state).await?;
        return Ok(Synced { written: false, more, unknown_price: None });
    }
    let prices = prices(tx, state).await?;
    let writing = Writing { services, state, user: &user, prices: &prices, now };
    let before = credits::facts(tx, user.id).await?.subscribed;
    let unknown_price = subscription::write(tx, &writing, before.as_ref()).await?;
    let after = credits::facts(tx, user.id).await?.subscribed;
    invoices::write(tx, &writing, after.as_ref()).await?;
    sessions::write(tx, &writing, after.as_ref()).await?;
    refunds::write(tx, &writing).await?;
    if unknown_price.is_none() {
        stripe_events::applied(tx, &state.events, now).await?;
    }
    Ok(Synced { written: true, more: has_pending(tx, state).await?, unknown_price })
}

/// What each part of a write has at hand.
struct Writing<'a> {
    services: &'a Services,
    state: &'a State,
    user: &'a User,
    prices: &'a Prices,
    now: DateTime<Utc>,
}

impl Writing<'_> {
    /// Whether the account is closed: nothing is granted to it, and nobody is there to read mails.
    fn is_closed(&self) -> bool {
        self.user.deleted_at.is_some()
    }

    /// Whether something that happened then is worth a mail.
    fn is_news(&self, at: DateTime<Utc>) -> bool {
        self.now - at < NEWS
    }

    /// Decides on a mail, once for each occasion.
    async fn tell(&self, tx: &mut Tx, mail: &Mail, occasion: &str) -> StoreResult<()> {
        if !self.is_closed() {
            mails::put(tx, (self.user.id, &self.user.email), mail, occasion, self.now).await?;
        }
        Ok(())
    }
}

/// What is sold at the prices that a state speaks of.
async fn prices(tx: &mut Tx, state: &State) -> StoreResult<Prices> {
    let items = state.subscriptions.iter().flat_map(|subscription| &subscription.items.data).filter_map(Item::price);
    let planned = state.next_prices.values().map(String::as_str);
    let invoiced = state.invoices.iter().filter_map(Invoice::price);
    let named: BTreeSet<&str> = items.chain(planned).chain(invoiced).collect();
    let mut prices = Prices::new();
    for price in named {
        if let Some(sold) = stripe_prices::get(tx, price).await? {
            prices.insert(sold.price, (sold.tier, sold.billing_cycle));
        }
    }
    Ok(prices)
}

async fn has_pending(tx: &mut Tx, state: &State) -> StoreResult<bool> {
    Ok(!stripe_events::pending(tx, &state.customer, 1).await?.is_empty())
}

/// The customer is not one of ours.
fn nobodys(customer: &str) -> StripeError {
    StripeError::NotFound(format!("the customer {customer} belongs to no account"))
}

/// An amount as Stripe writes it; none if that is no currency.
fn money(minor: i64, currency: &str) -> Option<Money> {
    Some(Money { minor, currency: currency.parse().ok()? })
}
