//! Ends what a closed account still has at Stripe, cancels what it still runs, and erases what it left. The ledger stays.

use chrono::TimeDelta;
use shared::domain::payment::PaymentStatus;
use shared::domain::workflow::Command;
use shared::ids::UserId;
use shared::job::Job;
use shared::services::Services;
use shared::store::{StoreResult, accounts, checkout_sessions, credits, outbox, payments, stripe_customers};
use shared::stripe::objects::Subscription;
use shared::stripe::{Stripe, StripeError, StripeResult};

use crate::Worker;

/// How many workflows one transaction erases.
const BATCH: i64 = 100;
/// The pause while Stripe cannot be reached.
const PAUSE: TimeDelta = TimeDelta::minutes(1);
/// The most pages of payments by QR code that are closed; older ones are over by themselves.
const PAGES: i64 = 1_000;

/// Goes on from where an earlier try came to: what has been erased is no longer found. Nothing is erased while Stripe may
/// still bill the account.
pub async fn run(worker: &Worker, user: UserId) -> StoreResult<()> {
    let services = &worker.services;
    if let Err(error) = end_billing(services, user).await? {
        tracing::warn!(%error, user.id = %user, "a closed account may still be billed; trying again");
        let mut tx = services.db.begin().await?;
        outbox::put(&mut tx, &[(Job::CloseAccount { user }, services.clock.now() + PAUSE)]).await?;
        return tx.commit().await;
    }
    loop {
        let mut reader = services.db.read().await?;
        let workflows = accounts::workflows(&mut reader, user, BATCH).await?;
        drop(reader);
        if workflows.is_empty() {
            break;
        }
        for (workflow, ended) in &workflows {
            if !ended {
                // A refusal means that it has ended meanwhile.
                drop(services.order(*workflow, Command::Cancel, "engine".to_owned()).await?);
            }
        }
        let ids: Vec<_> = workflows.into_iter().map(|(workflow, _)| workflow).collect();
        let mut tx = services.db.begin().await?;
        accounts::erase_workflows(&mut tx, &ids).await?;
        tx.commit().await?;
    }
    let mut tx = services.db.begin().await?;
    accounts::erase_traces(&mut tx, user).await?;
    outbox::end(&mut tx, &Job::CloseAccount { user }).await?;
    tx.commit().await
}

/// Ends what Stripe bills the account for, and takes back what it was asked to pay.
async fn end_billing(services: &Services, user: UserId) -> StoreResult<StripeResult<()>> {
    let mut reader = services.db.read().await?;
    let Some(stripe) = services.stripe.as_deref() else {
        let subscribed = credits::facts(&mut reader, user).await?.subscribed;
        if let Some(subscription) = subscribed.and_then(|subscribed| subscribed.stripe_subscription) {
            tracing::error!(user.id = %user, stripe.subscription = %subscription,
                "Stripe is not configured, and may go on billing an account that is closed: cancel it there");
        }
        return Ok(Ok(()));
    };
    let customer = stripe_customers::get(&mut reader, user, stripe.is_live()).await?;
    let Some(customer) = customer else { return Ok(Ok(())) };
    let now = services.clock.now();
    let sessions = payments::open_sessions(&mut reader, user, now - payments::PAYABLE, PAGES).await?;
    let pending = sessions.into_iter().filter(|payment| payment.status == PaymentStatus::Pending);
    let pages = pending.filter_map(|payment| payment.stripe_id);
    let pages: Vec<String> = pages.chain(checkout_sessions::get(&mut reader, &customer).await?).collect();
    drop(reader);
    // Each try has keys of its own, since Stripe would repeat a failure.
    let tag = format!("autoos:close:{}", now.timestamp());
    Ok(end_at_stripe(stripe, (&customer, &pages), &tag).await)
}

/// Pages first, so that nobody subscribes on one after the subscriptions have been looked for.
async fn end_at_stripe(stripe: &Stripe, (customer, pages): (&str, &[String]), tag: &str) -> StripeResult<()> {
    for page in pages {
        gone(stripe.expire_checkout(page, &format!("{tag}:{page}")).await)?;
    }
    for subscription in gone(stripe.subscriptions(Some(customer)).await)?.unwrap_or_default() {
        if subscription.is_live() {
            cancel(stripe, &subscription, tag).await?;
        }
    }
    Ok(())
}

/// Ends a subscription with its schedule. What is refused is done with only if Stripe says that it is over.
async fn cancel(stripe: &Stripe, subscription: &Subscription, tag: &str) -> StripeResult<()> {
    if let Some(schedule) = &subscription.schedule {
        gone(stripe.release_schedule(&schedule.0, &format!("{tag}:{}", schedule.0)).await)?;
    }
    let id = &subscription.id;
    let refused = match stripe.cancel_subscription(id, &format!("{tag}:{id}")).await {
        Err(error @ StripeError::Invalid { .. }) => error,
        done => return gone(done).map(drop),
    };
    match gone(stripe.subscription(id).await)? {
        Some(left) if left.is_live() => Err(refused),
        _ => Ok(()),
    }
}

/// What Stripe does not know or has ended already needs no ending.
fn gone<T>(result: StripeResult<T>) -> StripeResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (StripeError::NotFound(_) | StripeError::Invalid { .. })) => {
            tracing::warn!(%error, "Stripe says that there is nothing to end");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
