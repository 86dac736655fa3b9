//! Takes in what Stripe tells, whichever way it comes: it is stored, and the customer that it is about is read anew.
//!
//! What an event says is not believed but looked up later (`sync`), so all that matters of it is whom it is about. To act
//! on one more type: a line in [`KINDS`], and what is to be read for it in `sync/read.rs`.

use chrono::{DateTime, Utc};

use super::objects::{Event, time};
use crate::domain::payment::{EventStatus, Via};
use crate::ids::UserId;
use crate::store::stripe_events::{self, NewEvent};
use crate::store::{StoreResult, Tx, payments, stripe_customers};

/// The types of events that something is done about; what the webhook endpoint has to be subscribed to. Stripe takes no
/// more than twenty when it is asked for events.
pub const KINDS: &[&str] = &[
    "charge.refunded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.updated",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.voided",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "subscription_schedule.updated",
];

/// Stores an event with the text that it came as, and has its customer read; false: it was stored before. One of a type
/// that nothing is done about, or of a customer who is none of ours, is stored and ignored.
pub async fn take(tx: &mut Tx, (event, raw): (&Event, &str), via: Via, now: DateTime<Utc>) -> StoreResult<bool> {
    let ours = if KINDS.contains(&event.kind.as_str()) { customer(tx, event).await? } else { None };
    if let Some(customer) = &ours {
        // Before the event, as everybody does who writes both: two that told of the same would wait for each other.
        stripe_customers::lock(tx, customer).await?;
    }
    let new = NewEvent {
        id: &event.id,
        kind: &event.kind,
        object_id: subject(event),
        customer: ours.as_deref().or(event.customer()),
        livemode: event.livemode,
        api_version: event.api_version.as_deref(),
        via,
        created_at: time(event.created).unwrap_or(now),
        payload: raw,
        status: if ours.is_some() { EventStatus::Pending } else { EventStatus::Ignored },
    };
    let is_new = stripe_events::insert(tx, &new, now).await?;
    if let Some(customer) = ours.filter(|_| is_new) {
        stripe_customers::wake(tx, &customer, false, now).await?;
    }
    Ok(is_new)
}

/// The customer of ours whom an event is about: the one that it names, else the one of whoever made the payment that it
/// names.
async fn customer(tx: &mut Tx, event: &Event) -> StoreResult<Option<String>> {
    if let Some(customer) = event.customer()
        && stripe_customers::owner(tx, customer).await?.is_some()
    {
        return Ok(Some(customer.to_owned()));
    }
    let Some(user) = payer(tx, event).await? else { return Ok(None) };
    stripe_customers::get(tx, user, event.livemode.unwrap_or(false)).await
}

async fn payer(tx: &mut Tx, event: &Event) -> StoreResult<Option<UserId>> {
    let Some(intent) = event.payment_intent() else { return Ok(None) };
    Ok(payments::by_intent(tx, intent).await?.and_then(|payment| payment.user_id))
}

/// What is to be read for an event. Refunds are read by the payment that they are of, since Stripe lists them by that.
fn subject(event: &Event) -> Option<&str> {
    if is_refund(&event.kind) { event.payment_intent() } else { event.object_id() }
}

/// Whether a type of event tells of money that was given back.
pub(super) fn is_refund(kind: &str) -> bool {
    kind.starts_with("refund.") || kind == "charge.refunded"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_types_are_few_enough_to_ask_for_and_each_is_there_once() {
        assert!(KINDS.len() <= 20 && KINDS.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn the_types_are_those_that_operators_are_told_to_subscribe_to() {
        let docs = include_str!("../../../docs/payments.md");
        let listed = docs.lines().filter(|line| !line.contains([' ', '`']) && line.contains('.'));
        assert_eq!(listed.collect::<Vec<_>>(), KINDS);
    }

    #[test]
    fn a_refund_is_looked_up_by_its_payment_and_all_else_by_itself() {
        for (kind, subject_is) in [("refund.created", "pi_1"), ("charge.refunded", "pi_1"), ("invoice.paid", "x_1")] {
            let event =
                json!({"id": "evt_1", "type": kind, "data": {"object": {"id": "x_1", "payment_intent": "pi_1"}}});
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(subject(&event), Some(subject_is), "{kind}");
        }
    }
}
