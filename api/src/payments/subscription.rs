//! `GET /payments/subscription`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::entitlement::{Facts, Subscribed, entitlement};
use shared::domain::tier::{Tier, Tiers};
use shared::store::credits;
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiResult;
use crate::extract::CurrentUser;

/// A subscription, or what there is instead of one.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionBody {
    /// What was bought or given, whether it runs or not; `free_trial` without a subscription.
    tier: Tier,
    /// `active`, `past_due` or `canceled`; without a subscription `trial` while the trial runs, else `none`.
    status: String,
    /// Whether it entitles now. A subscription that is past due does for 7 days.
    entitles: bool,
    /// `monthly` or `annual`; null if it was not bought.
    billing_cycle: Option<String>,
    /// When the period began, or the trial.
    current_period_start: Option<DateTime<Utc>>,
    /// When the period ends, or the trial.
    current_period_end: Option<DateTime<Utc>>,
    /// Workflows used this month, or credits of the trial.
    workflows_used: i64,
    /// How many there are; null: unlimited.
    workflows_limit: Option<i64>,
}

/// The signed-in user's subscription.
#[utoipa::path(get, path = "/payments/subscription", tag = "Payments", security(("bearer" = [])), responses(
    (status = 200, description = "The subscription, or the trial where there is none", body = SubscriptionBody),
))]
pub async fn subscription(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<SubscriptionBody>> {
    let mut reader = app.services.db.read().await?;
    let facts = credits::facts(&mut reader, current.user.id).await?;
    let (tiers, now) = (&app.services.config.tiers, app.services.clock.now());
    Ok(Json(match &facts.subscribed {
        Some(subscribed) => SubscriptionBody::new(subscribed, tiers, now),
        None => SubscriptionBody::without(&facts, tiers, now),
    }))
}

impl SubscriptionBody {
    /// A subscription as it is at `now`.
    pub fn new(subscribed: &Subscribed, tiers: &Tiers, now: DateTime<Utc>) -> Self {
        let subscription = &subscribed.subscription;
        Self {
            tier: subscription.tier,
            status: subscription.status.clone(),
            entitles: subscription.runs(now),
            billing_cycle: subscribed.billing_cycle.clone(),
            current_period_start: Some(subscribed.current_period_start),
            current_period_end: Some(subscription.current_period_end),
            workflows_used: subscribed.used(now),
            workflows_limit: tiers.limits(subscription.tier).workflows_per_month,
        }
    }

    fn without(facts: &Facts, tiers: &Tiers, now: DateTime<Utc>) -> Self {
        let shown = entitlement(facts, tiers, now);
        let runs = facts.trial.as_ref().is_some_and(|trial| trial.ends_at > now);
        Self {
            tier: Tier::FreeTrial,
            status: if runs { "trial" } else { "none" }.to_owned(),
            entitles: runs,
            billing_cycle: None,
            current_period_start: shown.period.map(|(start, _)| start),
            current_period_end: shown.period.map(|(_, end)| end),
            workflows_used: shown.used,
            workflows_limit: shown.limit,
        }
    }
}
