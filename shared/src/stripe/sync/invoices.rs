//! Invoices: what is to be paid, what was paid, and what could not be paid.

use super::super::objects::{Invoice, Item, Subscription, time};
use super::{Writing, money};
use crate::domain::entitlement::Subscribed;
use crate::domain::money::Currency;
use crate::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use crate::domain::tier::Tier;
use crate::email::{InvoicePaid, Mail, PaymentFailed};
use crate::ids::{self, PaymentId};
use crate::store::payments::{self, Payment};
use crate::store::{StoreResult, Tx, invoices};

/// An invoice with what is known about it.
struct Billed<'a> {
    invoice: &'a Invoice,
    /// As we keep it.
    row: invoices::Invoice,
    plan: (Tier, BillingCycle),
    /// The account's subscription as it is now, if the invoice is for that.
    subscribed: Option<&'a Subscribed>,
}

/// Writes all invoices; `after` is the account's subscription as it has just been written. What was paid is a payment
/// too, if it was for a plan of ours.
pub(super) async fn write(tx: &mut Tx, writing: &Writing<'_>, after: Option<&Subscribed>) -> StoreResult<()> {
    for invoice in &writing.state.invoices {
        let Some(row) = row(writing, invoice) else { continue };
        let status_before = invoices::put(tx, &row).await?;
        let Some(plan) = plan(writing, invoice) else { continue };
        let of_it = |after: &&Subscribed| {
            after.stripe_subscription.is_some() && after.stripe_subscription.as_deref() == invoice.subscription()
        };
        let billed = Billed { invoice, row, plan, subscribed: after.filter(of_it) };
        if billed.row.status == "paid" && billed.row.amount_paid > 0 {
            payments::insert_once(tx, &payment(writing, &billed)).await?;
            if status_before.as_deref() != Some("paid") {
                tell_of_payment(tx, writing, &billed).await?;
            }
        } else if billed.row.status == "open" && invoice.attempt_count > 0 {
            tell_of_failure(tx, writing, &billed).await?;
        }
    }
    Ok(())
}

/// An invoice as we keep it. Not a draft: nobody is asked to pay it, and it may never become more.
fn row(writing: &Writing<'_>, invoice: &Invoice) -> Option<invoices::Invoice> {
    let status = invoice.status.clone().filter(|status| status != "draft" && !invoice.id.is_empty())?;
    let Ok(currency) = invoice.currency.parse::<Currency>() else {
        tracing::error!(stripe.invoice = %invoice.id, "an invoice without a currency is left out");
        return None;
    };
    let created_at = time(invoice.created).unwrap_or(writing.now);
    Some(invoices::Invoice {
        id: ids::new(created_at),
        stripe_id: invoice.id.clone(),
        user_id: Some(writing.user.id),
        number: invoice.number.clone(),
        status,
        billing_reason: invoice.billing_reason.clone(),
        amount_due: invoice.amount_due,
        amount_paid: invoice.amount_paid,
        currency,
        hosted_url: invoice.hosted_invoice_url.clone(),
        pdf_url: invoice.invoice_pdf.clone(),
        period_start: invoice.period_start.and_then(time),
        period_end: invoice.period_end.and_then(time),
        created_at,
    })
}

/// What an invoice is for: what costs most on it, else what its subscription is for.
fn plan(writing: &Writing<'_>, invoice: &Invoice) -> Option<(Tier, BillingCycle)> {
    let mut subscriptions = writing.state.subscriptions.iter();
    let subscription = subscriptions.find(|one| Some(one.id.as_str()) == invoice.subscription());
    let item = subscription.and_then(Subscription::item);
    let prices = [invoice.price(), item.and_then(Item::price)];
    prices.into_iter().flatten().find_map(|price| writing.prices.get(price)).copied()
}

/// The payment that a paid invoice is; its id is of the time when the invoice was made, so that the history is in order.
fn payment(writing: &Writing<'_>, billed: &Billed<'_>) -> Payment {
    let Billed { invoice, row, plan, .. } = billed;
    Payment {
        id: PaymentId::new(row.created_at),
        user_id: Some(writing.user.id),
        kind: PaymentKind::Invoice,
        scheme: Scheme::Stripe,
        tier: plan.0,
        billing_cycle: plan.1,
        amount: row.amount_paid,
        currency: row.currency,
        status: PaymentStatus::Paid,
        payload: String::new(),
        created_at: row.created_at,
        expires_at: row.created_at,
        paid_at: invoice.paid_at(),
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: Some(row.stripe_id.clone()),
        payment_intent: invoice.payment_intent().map(str::to_owned),
        refund_of: None,
        review: None,
    }
}

/// Not of a subscription's first payment, which is told of together with its beginning.
async fn tell_of_payment(tx: &mut Tx, writing: &Writing<'_>, billed: &Billed<'_>) -> StoreResult<()> {
    let Billed { invoice, row, plan, subscribed } = billed;
    let paid_at = invoice.paid_at().unwrap_or(row.created_at);
    let Some(amount) = money(row.amount_paid, &invoice.currency).filter(|_| writing.is_news(paid_at)) else {
        return Ok(());
    };
    if row.billing_reason.as_deref() == Some("subscription_create") {
        return Ok(());
    }
    let mail = Mail::InvoicePaid(InvoicePaid {
        name: writing.user.full_name.clone(),
        plan: plan.0.to_string(),
        cycle: plan.1,
        amount: amount.to_string(),
        reference: row.number.clone(),
        paid_at,
        period_end: subscribed.map(|subscribed| subscribed.subscription.current_period_end),
        link: row.hosted_url.clone(),
    });
    writing.tell(tx, &mail, &row.stripe_id).await
}

/// Once for each invoice, however often it is tried to collect the money.
async fn tell_of_failure(tx: &mut Tx, writing: &Writing<'_>, billed: &Billed<'_>) -> StoreResult<()> {
    let Billed { invoice, row, plan, subscribed } = billed;
    let Some(amount) = money(row.amount_due, &invoice.currency).filter(|_| writing.is_news(row.created_at)) else {
        return Ok(());
    };
    let until = subscribed.and_then(|subscribed| subscribed.subscription.until());
    let mail = Mail::PaymentFailed(PaymentFailed {
        name: writing.user.full_name.clone(),
        plan: plan.0.to_string(),
        amount: amount.to_string(),
        goes_on_until: until.filter(|until| *until > writing.now),
        link: row.hosted_url.clone(),
    });
    writing.tell(tx, &mail, &row.stripe_id).await
}
