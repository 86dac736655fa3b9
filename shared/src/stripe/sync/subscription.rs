//! The subscription that counts, and what its owner is told of it.

use chrono::{DateTime, Utc};

use super::super::error::StripeError;
use super::super::mapping::{self, Unmapped};
use super::super::objects::{Invoice, MaybeInvoice, Subscription, time};
use super::{SyncError, Writing, money};
use crate::domain::entitlement::{Subscribed, tier};
use crate::email::{Change, Mail, PaymentConfirmed, SubscriptionChanged, SubscriptionEnded};
use crate::ids;
use crate::job::Job;
use crate::store::subscriptions::{self, Billed};
use crate::store::{StoreResult, Tx, adjustments, agents, credits, outbox, payments};

/// Writes the subscription that counts in place of `before`, and decides on mails; gives its price if that is not one of
/// ours, and writes nothing then.
pub(super) async fn write(
    tx: &mut Tx,
    writing: &Writing<'_>,
    before: Option<&Subscribed>,
) -> Result<Option<String>, SyncError> {
    let Writing { state, prices, .. } = writing;
    if writing.is_closed() {
        close_again(tx, writing).await?;
        return Ok(None);
    }
    let Some(counted) = mapping::counting(&state.subscriptions, prices) else {
        end_what_is_over(tx, writing, before).await?;
        return Ok(None);
    };
    let next = state.next_prices.get(&counted.id).map(String::as_str);
    let billed = match mapping::billed(counted, prices, next, failing_since(writing, counted, before)) {
        Ok(billed) => billed,
        Err(Unmapped::UnknownPrice(price)) => {
            end_what_is_over(tx, writing, before).await?;
            return Ok(Some(price));
        }
        Err(error @ Unmapped::NoPeriod(_)) => return Err(StripeError::Unreadable(error.to_string()).into()),
    };
    if replaces(&billed, before, writing.now) {
        put(tx, writing, (before, &billed)).await?;
    }
    Ok(None)
}

/// What a closed account still has at Stripe is ended, whatever kept that from being done.
async fn close_again(tx: &mut Tx, writing: &Writing<'_>) -> StoreResult<()> {
    if writing.state.subscriptions.iter().any(Subscription::is_live) {
        outbox::put(tx, &[(Job::CloseAccount { user: writing.user.id }, writing.now)]).await?;
    }
    Ok(())
}

/// Ends what we take for billed and Stripe has ended at a price that is not ours, or does not have at all.
async fn end_what_is_over(tx: &mut Tx, writing: &Writing<'_>, before: Option<&Subscribed>) -> StoreResult<()> {
    let Some(before) = before.filter(|before| before.is_billed()) else { return Ok(()) };
    let mut subscriptions = writing.state.subscriptions.iter();
    if subscriptions.any(|one| one.is_live() && same(Some(before), &one.id).is_some()) {
        return Ok(());
    }
    let mut after = before.clone();
    "canceled".clone_into(&mut after.subscription.status);
    adjustments::set(tx, writing.user.id, &after.subscription).await?;
    tell_of_end(tx, writing, (before, &after)).await
}

/// Since when payment has been failing, if it is: since the newest invoice was made, or earlier if that was known.
fn failing_since(writing: &Writing<'_>, counted: &Subscription, before: Option<&Subscribed>) -> DateTime<Utc> {
    let newest = match &counted.latest_invoice {
        Some(MaybeInvoice::Id(id)) => Some(id.as_str()),
        Some(MaybeInvoice::Whole(invoice)) => Some(invoice.id.as_str()),
        None => None,
    };
    let mut invoices = writing.state.invoices.iter();
    let made = invoices.find(|invoice| Some(invoice.id.as_str()) == newest).and_then(|invoice| time(invoice.created));
    let known = same(before, &counted.id).and_then(|before| before.past_due_since);
    made.into_iter().chain(known).min().unwrap_or(writing.now)
}

/// The row of before, if it is of this very subscription.
fn same<'a>(before: Option<&'a Subscribed>, id: &str) -> Option<&'a Subscribed> {
    before.filter(|before| before.stripe_subscription.as_deref() == Some(id))
}

/// Whether what Stripe bills takes the place of what there is. It does if it entitles. If it does not, it leaves alone
/// what came from elsewhere and runs; and what has ended, all that came from elsewhere.
fn replaces(billed: &Billed, before: Option<&Subscribed>, now: DateTime<Utc>) -> bool {
    let until = credits::until(&billed.status, billed.period.1, billed.entitles_until);
    let Some(other) = before.filter(|before| before.stripe_subscription.is_none()) else { return true };
    let has_ended = matches!(billed.status.as_str(), "canceled" | "incomplete_expired");
    until.is_some_and(|until| until > now) || !(has_ended || other.subscription.runs(now))
}

async fn put(tx: &mut Tx, writing: &Writing<'_>, (before, billed): (Option<&Subscribed>, &Billed)) -> StoreResult<()> {
    let known = same(before, &billed.stripe_subscription);
    let begins = known.is_none_or(|known| known.subscription.status.starts_with("incomplete"));
    if begins && billed.entitles_until.is_some() {
        credits::end_trial(tx, writing.user.id, writing.now).await?;
    }
    subscriptions::put_billed(tx, writing.user.id, billed).await?;
    let after = credits::facts(tx, writing.user.id).await?.subscribed;
    if tier(after.as_ref(), writing.now) != tier(before, writing.now) {
        agents::look_again(tx, writing.user.id, writing.now).await?;
    }
    if begins {
        return tell_of_beginning(tx, writing, billed).await;
    }
    match (known, after) {
        (Some(known), Some(after)) if entitles(&after) => tell_of_change(tx, writing, (known, &after)).await,
        (Some(known), Some(after)) => tell_of_end(tx, writing, (known, &after)).await,
        _ => Ok(()),
    }
}

fn entitles(subscribed: &Subscribed) -> bool {
    subscribed.subscription.until().is_some()
}

/// Once for each subscription that is paid for, or need not be paid for yet. One that begins to count again, since
/// another one of the customer's has ended, was told of long ago.
async fn tell_of_beginning(tx: &mut Tx, writing: &Writing<'_>, billed: &Billed) -> StoreResult<()> {
    if !matches!(billed.status.as_str(), "active" | "trialing") {
        return Ok(());
    }
    let of_it = |invoice: &&Invoice| invoice.subscription() == Some(billed.stripe_subscription.as_str());
    let paid = writing.state.invoices.iter().filter(of_it).filter(|invoice| invoice.amount_paid > 0);
    let first = paid.min_by_key(|invoice| invoice.created);
    if !is_young(writing, billed) && is_known(tx, first).await? {
        return Ok(());
    }
    let mail = Mail::PaymentConfirmed(PaymentConfirmed {
        name: writing.user.full_name.clone(),
        plan: billed.tier.to_string(),
        cycle: billed.billing_cycle,
        amount: first.and_then(|first| money(first.amount_paid, &first.currency)).map(|money| money.to_string()),
        reference: first.and_then(|first| first.number.clone()),
        paid_at: first.and_then(Invoice::paid_at).unwrap_or(billed.period.0),
        period_end: billed.period.1,
    });
    writing.tell(tx, &mail, &format!("stripe:{}", billed.stripe_subscription)).await
}

/// Whether a subscription was made so short a time ago that its beginning is news, whatever is known of its invoices.
fn is_young(writing: &Writing<'_>, billed: &Billed) -> bool {
    let mut subscriptions = writing.state.subscriptions.iter();
    let made = subscriptions.find(|one| one.id == billed.stripe_subscription).and_then(|one| time(one.created));
    made.is_some_and(|made| writing.is_news(made))
}

/// Whether the payment of an invoice was written before.
async fn is_known(tx: &mut Tx, invoice: Option<&Invoice>) -> StoreResult<bool> {
    let Some(invoice) = invoice else { return Ok(false) };
    Ok(payments::by_stripe_id(tx, &invoice.id).await?.is_some())
}

/// A renewal is no change: its invoice is told of.
async fn tell_of_change(
    tx: &mut Tx,
    writing: &Writing<'_>,
    (before, after): (&Subscribed, &Subscribed),
) -> StoreResult<()> {
    let (was, is) = (&before.subscription, &after.subscription);
    let cycle = after.billing_cycle.clone().unwrap_or_default();
    let change = SubscriptionChanged {
        name: writing.user.full_name.clone(),
        at: writing.now,
        tier: Change::between(Some(was.tier), is.tier),
        billing_cycle: Change::between(before.billing_cycle.clone(), cycle),
        status: Change::between(Some(was.status.clone()), is.status.clone()),
        current_period_end: Change::between(Some(was.current_period_end), is.current_period_end),
        renews: Change::between(Some(!before.cancel_at_period_end), !after.cancel_at_period_end),
        reason: reason(before, after).to_owned(),
    };
    let is_other = change.tier.is_some() || change.billing_cycle.is_some() || change.status.is_some();
    if is_other || change.renews.is_some() {
        let occasion = ids::new(writing.now).to_string();
        writing.tell(tx, &Mail::SubscriptionChanged(change), &occasion).await?;
    }
    Ok(())
}

/// Why a subscription changed, as far as it can be seen.
fn reason(before: &Subscribed, after: &Subscribed) -> &'static str {
    let (was, is) = (&before.subscription, &after.subscription);
    match (before.cancel_at_period_end, after.cancel_at_period_end) {
        _ if is.status != was.status && is.status == "past_due" => "The last payment has failed.",
        _ if is.tier != was.tier || after.billing_cycle != before.billing_cycle => "The plan was changed.",
        (false, true) => "It was cancelled, and ends with the period that is paid for.",
        (true, false) => "It is not cancelled any more, and is renewed again.",
        _ if was.status == "past_due" => "The payment that had failed was made.",
        _ => "Stripe, which bills it, says so.",
    }
}

/// Not if it had ended before: that was told. The end has the name that the duty `subscription_warnings` knows it by.
async fn tell_of_end(
    tx: &mut Tx,
    writing: &Writing<'_>,
    (before, after): (&Subscribed, &Subscribed),
) -> StoreResult<()> {
    let ran_until = before.subscription.until().filter(|until| writing.is_news(*until));
    let Some(until) = ran_until.filter(|_| !writing.user.disabled) else { return Ok(()) };
    let mail = Mail::SubscriptionEnded(SubscriptionEnded {
        name: writing.user.full_name.clone(),
        plan: after.subscription.tier.to_string(),
        ended_at: until.min(writing.now),
        link: writing.services.config.plans_link(),
    });
    writing.tell(tx, &mail, &before.end_name()).await
}
