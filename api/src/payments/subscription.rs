//! `GET /payments/subscription`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::entitlement::{Facts, Subscribed, entitlement};
use shared::domain::tier::{Tier, Tiers};
use shared::ids::UserId;
use shared::store::{StoreResult, Tx, credits};
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiResult;
use crate::extract::CurrentUser;

/// A subscription, or what there is instead of one.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionBody {
    /// What was bought or given, whether it runs or not; `free_trial` without a subscription.
    tier: Tier,
    /// `active`, `past_due` or `canceled`, or another word of Stripe's; without a subscription `trial` while the trial
    /// runs, else `none`.
    status: String,
    /// Whether it entitles now. A subscription that is past due does for 7 days.
    entitles: bool,
    /// Until when it entitles, if nothing more is heard of it; null: not at all.
    entitles_until: Option<DateTime<Utc>>,
    /// `stripe` if that bills it and renews it; null: nobody does, it ends with what was paid for.
    #[schema(pattern = "^stripe$")]
    billed_by: Option<&'static str>,
    /// Whether it ends with the period instead of being renewed.
    cancel_at_period_end: bool,
    /// The tier that it goes on with when the period ends, if that is another.
    pending_tier: Option<Tier>,
    /// The billing cycle that it goes on with then.
    pending_cycle: Option<String>,
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

/// What a subscription has become.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionChange {
    /// The subscription as it is now.
    pub subscription: SubscriptionBody,
}

/// The signed-in user's subscription.
#[utoipa::path(get, path = "/payments/subscription", tag = "Payments", security(("bearer" = [])), responses(
    (status = 200, description = "The subscription, or the trial where there is none", body = SubscriptionBody),
))]
pub async fn subscription(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<SubscriptionBody>> {
    let mut reader = app.services.db.read().await?;
    let (tiers, now) = (&app.services.config.tiers, app.services.clock.now());
    Ok(Json(SubscriptionBody::of(&mut reader, current.user.id, tiers, now).await?))
}

impl SubscriptionBody {
    /// What an account has at `now`.
    pub async fn of(tx: &mut Tx, user: UserId, tiers: &Tiers, now: DateTime<Utc>) -> StoreResult<Self> {
        let facts = credits::facts(tx, user).await?;
        Ok(match &facts.subscribed {
            Some(subscribed) => Self::new(subscribed, tiers, now),
            None => Self::without(&facts, tiers, now),
        })
    }

    /// A subscription as it is at `now`.
    pub fn new(subscribed: &Subscribed, tiers: &Tiers, now: DateTime<Utc>) -> Self {
        let subscription = &subscribed.subscription;
        Self {
            tier: subscription.tier,
            status: subscription.status.clone(),
            entitles: subscription.runs(now),
            entitles_until: subscription.until(),
            billed_by: subscribed.is_billed().then_some("stripe"),
            cancel_at_period_end: subscribed.cancel_at_period_end,
            pending_tier: subscribed.pending_tier,
            pending_cycle: subscribed.pending_cycle.clone(),
            billing_cycle: subscribed.billing_cycle.clone(),
            current_period_start: Some(subscribed.current_period_start),
            current_period_end: Some(subscription.current_period_end),
            workflows_used: subscribed.used(now),
            workflows_limit: tiers.limits(subscription.tier).workflows_per_month,
        }
    }

    fn without(facts: &Facts, tiers: &Tiers, now: DateTime<Utc>) -> Self {
        let shown = entitlement(facts, tiers, now);
        let until = facts.trial.as_ref().map(|trial| trial.ends_at).filter(|end| *end > now);
        Self {
            tier: Tier::FreeTrial,
            status: if until.is_some() { "trial" } else { "none" }.to_owned(),
            entitles: until.is_some(),
            entitles_until: until,
            billed_by: None,
            cancel_at_period_end: false,
            pending_tier: None,
            pending_cycle: None,
            billing_cycle: None,
            current_period_start: shown.period.map(|(start, _)| start),
            current_period_end: shown.period.map(|(_, end)| end),
            workflows_used: shown.used,
            workflows_limit: shown.limit,
        }
    }
}
