//! Reads a customer's state at Stripe. The number is taken first, so that whoever took a later one has seen at least as
//! much.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::super::Stripe;
use super::super::error::{StripeError, StripeResult};
use super::super::inbox::is_refund;
use super::super::objects::{CheckoutSession, Invoice, MaybeInvoice, Refund, Subscription};
use super::{State, SyncError, nobodys};
use crate::domain::payment::PaymentKind;
use crate::ids::UserId;
use crate::services::Services;
use crate::store::stripe_events::Pending;
use crate::store::{StoreResult, Tx, payments, stripe_customers, stripe_events};

/// The most events that one reading answers; what more there is waits for the next.
const EVENTS: i64 = 200;
/// The newest sessions that are read without an event that names them. Whoever asks for one code after the other is not
/// to have all of them read at each occasion.
const OPEN: i64 = 20;
/// The newest payments whose refunds are read with all that is recent.
const PAYMENTS: i64 = 50;

/// Reads a customer's present state: what is in force, what events named, and all that is recent if `full`. Holds no
/// transaction while it asks Stripe.
pub async fn read(services: &Services, customer: &str, full: bool) -> Result<State, SyncError> {
    let off = || StripeError::Unauthorized("Stripe is not configured here".to_owned());
    let stripe = services.stripe.as_deref().ok_or_else(off)?;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    let wanted = Wanted::gather(&mut tx, customer, (full, now)).await?;
    tx.commit().await?;
    let Wanted { number, user, full, events, sessions, intents } = wanted.ok_or_else(|| nobodys(customer))?;
    let subscriptions = stripe.subscriptions(Some(customer)).await?;
    Ok(State {
        customer: customer.to_owned(),
        user,
        number,
        full,
        next_prices: next_prices(stripe, &subscriptions, now).await?,
        invoices: invoices(stripe, full.then_some(customer), named(&events, &subscriptions)).await?,
        sessions: checkouts(stripe, &sessions).await?,
        failed_sessions: objects(&events, |kind| kind == "checkout.session.async_payment_failed"),
        refunds: refunds(stripe, &intents).await?,
        events: events.into_iter().map(|event| event.id).collect(),
        subscriptions,
    })
}

/// What is to be read, as the database knows it.
struct Wanted {
    number: i64,
    user: UserId,
    /// Whether all that is recent is to be read.
    full: bool,
    events: Vec<Pending>,
    /// Checkout sessions.
    sessions: BTreeSet<String>,
    /// Payments whose refunds to read.
    intents: BTreeSet<String>,
}

impl Wanted {
    /// None: the customer is not one of ours.
    async fn gather(tx: &mut Tx, customer: &str, (full, now): (bool, DateTime<Utc>)) -> StoreResult<Option<Self>> {
        let Some(number) = stripe_customers::start_sync(tx, customer).await? else { return Ok(None) };
        let Some(user) = stripe_customers::owner(tx, customer).await? else { return Ok(None) };
        let events = stripe_events::pending(tx, customer, EVENTS).await?;
        let mut sessions = objects(&events, |kind| kind.starts_with("checkout.session."));
        for payment in payments::open_sessions(tx, user, now - payments::PAYABLE, OPEN).await? {
            sessions.extend(payment.stripe_id);
        }
        let mut intents = objects(&events, is_refund);
        let mut full = full;
        for intent in &intents {
            // A refund that is told of before its payment: that is among what is recent.
            full |= payments::by_intent(tx, intent).await?.is_none();
        }
        if full {
            let filter = payments::Filter { user: Some(user), ..payments::Filter::default() };
            let paid = payments::list(tx, &filter, PAYMENTS).await?;
            let paid = paid.into_iter().filter(|payment| payment.kind != PaymentKind::Refund);
            intents.extend(paid.filter_map(|payment| payment.payment_intent));
        }
        Ok(Some(Self { number, user, full, events, sessions, intents }))
    }
}

/// What events of some types are about.
fn objects(events: &[Pending], is_kind: impl Fn(&str) -> bool) -> BTreeSet<String> {
    events.iter().filter(|event| is_kind(&event.kind)).filter_map(|event| event.object_id.clone()).collect()
}

/// The invoices that events named, and the newest of each subscription that goes on.
fn named(events: &[Pending], subscriptions: &[Subscription]) -> BTreeSet<String> {
    let live = subscriptions.iter().filter(|subscription| subscription.is_live());
    let newest = live.filter_map(|subscription| match subscription.latest_invoice.as_ref()? {
        MaybeInvoice::Id(id) => Some(id.clone()),
        MaybeInvoice::Whole(invoice) => Some(invoice.id.clone()),
    });
    objects(events, |kind| kind.starts_with("invoice.")).into_iter().chain(newest).collect()
}

async fn next_prices(
    stripe: &Stripe,
    subscriptions: &[Subscription],
    now: DateTime<Utc>,
) -> StripeResult<BTreeMap<String, String>> {
    let mut next = BTreeMap::new();
    for subscription in subscriptions.iter().filter(|subscription| subscription.is_live()) {
        let Some(schedule) = &subscription.schedule else { continue };
        if let Some(schedule) = found(stripe.schedule(&schedule.0).await)?
            && let Some(price) = schedule.next_price(now)
        {
            next.insert(subscription.id.clone(), price.to_owned());
        }
    }
    Ok(next)
}

/// The newest invoices of a customer, if one is said, and those that are named.
async fn invoices(stripe: &Stripe, all_of: Option<&str>, named: BTreeSet<String>) -> StripeResult<Vec<Invoice>> {
    let mut invoices = match all_of {
        Some(customer) => stripe.invoices(customer).await?,
        None => Vec::new(),
    };
    for id in named {
        if !invoices.iter().any(|invoice| invoice.id == id) {
            invoices.extend(found(stripe.invoice(&id).await)?);
        }
    }
    Ok(invoices)
}

async fn checkouts(stripe: &Stripe, ids: &BTreeSet<String>) -> StripeResult<Vec<CheckoutSession>> {
    let mut sessions = Vec::new();
    for id in ids {
        sessions.extend(found(stripe.checkout(id).await)?);
    }
    Ok(sessions)
}

async fn refunds(stripe: &Stripe, intents: &BTreeSet<String>) -> StripeResult<Vec<Refund>> {
    let mut refunds = Vec::new();
    for intent in intents {
        refunds.extend(found(stripe.refunds(intent).await)?.into_iter().flatten());
    }
    Ok(refunds)
}

/// What Stripe does not know any more, a draft that was deleted for instance, is nothing.
fn found<T>(result: StripeResult<T>) -> StripeResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StripeError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
