//! Tells people that their plan will end, and that it has.
//!
//! A mail's occasion names the end, so each end is told of once, also if it was told when Stripe said so
//! (`shared::stripe::sync`). What is renewed by itself is not warned of: should word of the renewal not come, it is
//! ours to find out, and not the payer's.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use shared::email::{Mail, SubscriptionEnded, SubscriptionEnding};
use shared::services::Services;
use shared::store::subscriptions::{self, Ending};
use shared::store::{StoreResult, Tx, invoices};

use super::DutyError;
use super::notices::{self, Notice, days_left};

/// How long before its end a plan that is not renewed is warned of.
const PLAN_AHEAD: TimeDelta = TimeDelta::days(3);
/// How long before their end the days of grace are warned of.
const GRACE_AHEAD: TimeDelta = TimeDelta::days(1);
/// An end that is longer ago is no news any more.
const ENDED_WITHIN: TimeDelta = TimeDelta::days(7);
/// The newest invoices, among which is the one that could not be paid.
const INVOICES: i64 = 10;

/// Decides on the mails that are due.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let put = notices::put(services, &due(services, now).await?, now).await?;
    Ok(format!("{put} mails"))
}

/// Every mail that should have been decided on by now.
async fn due(services: &Services, now: DateTime<Utc>) -> StoreResult<Vec<Notice>> {
    let mut tx = services.db.read().await?;
    let link = services.config.plans_link();
    let mut due = Vec::new();
    for ending in subscriptions::ending(&mut tx, now, now + PLAN_AHEAD).await? {
        due.extend(warning(&mut tx, ending, &link, now).await?);
    }
    let ended = subscriptions::ending(&mut tx, now - ENDED_WITHIN, now).await?;
    due.extend(ended.into_iter().filter_map(|ended| farewell(ended, &link)));
    Ok(due)
}

/// Of days of grace, and of a plan that was bought and will not be renewed. What an admin has given ends as the admin
/// and its owner know.
async fn warning(tx: &mut Tx, ending: Ending, link: &str, now: DateTime<Utc>) -> StoreResult<Option<Notice>> {
    let subscribed = &ending.subscribed;
    let Some(ends_at) = subscribed.subscription.until() else { return Ok(None) };
    let payment_failed = subscribed.subscription.status == "past_due";
    let is_bought = subscribed.billing_cycle.is_some() && !subscribed.is_renewed();
    let is_due = if payment_failed { ends_at - now <= GRACE_AHEAD } else { is_bought };
    if !is_due {
        return Ok(None);
    }
    let unpaid = if payment_failed { unpaid_invoice(tx, &ending).await? } else { None };
    let mail = Mail::SubscriptionEnding(SubscriptionEnding {
        name: ending.full_name,
        plan: subscribed.subscription.tier.to_string(),
        ends_at,
        days_left: days_left(ends_at, now),
        payment_failed,
        link: unpaid.unwrap_or_else(|| link.to_owned()),
    });
    let occasion = ends_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    Ok(Some(Notice { user: ending.user_id, address: ending.email, mail, occasion }))
}

/// The page where the invoice that could not be paid is paid.
async fn unpaid_invoice(tx: &mut Tx, ending: &Ending) -> StoreResult<Option<String>> {
    let filter = invoices::Filter { user: Some(ending.user_id), before: None };
    let newest = invoices::list(tx, &filter, INVOICES).await?;
    Ok(newest.into_iter().find(|invoice| invoice.status == "open").and_then(|invoice| invoice.hosted_url))
}

fn farewell(ended: Ending, link: &str) -> Option<Notice> {
    let subscribed = &ended.subscribed;
    let ended_at = subscribed.subscription.until().filter(|_| !subscribed.is_renewed())?;
    let occasion = subscribed.end_name();
    let plan = subscribed.subscription.tier.to_string();
    let mail = Mail::SubscriptionEnded(SubscriptionEnded { name: ended.full_name, plan, ended_at, link: link.into() });
    Some(Notice { user: ended.user_id, address: ended.email, mail, occasion })
}
