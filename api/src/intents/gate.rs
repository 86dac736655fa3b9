//! The gate: who may submit, and what it is charged to. Every refusal charges nothing.

use chrono::{DateTime, Utc};
use shared::domain::status::Charged;
use shared::ids::WorkflowId;
use shared::store::{Tx, credits};

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::CurrentUser;

/// What a workflow was charged to.
pub struct Charge {
    /// Trial or subscription.
    pub charged: Charged,
    /// Trial credits left.
    pub credits_remaining: Option<i64>,
}

/// Charges one workflow, or says why not.
pub async fn charge(
    tx: &mut Tx,
    app: &App,
    current: &CurrentUser,
    workflow: WorkflowId,
    now: DateTime<Utc>,
) -> ApiResult<Charge> {
    let user = current.user.id;
    let subscription = credits::subscription(tx, user).await?;
    if let Some(subscription) = subscription.as_ref().filter(|s| s.runs(now)) {
        let limit = app.services.config.tiers.limits(subscription.tier).workflows_per_month;
        return if credits::charge_subscription(tx, user, limit, now).await? {
            Ok(Charge { charged: Charged::Subscription, credits_remaining: None })
        } else {
            let limit = limit.unwrap_or_default();
            Err(ApiError::new(Code::WorkflowLimitReached, format!("All {limit} workflows of this month are used.")))
        };
    }
    if let Some(left) = credits::charge_trial(tx, user, workflow, now).await? {
        return Ok(Charge { charged: Charged::Trial, credits_remaining: Some(left) });
    }
    let trial = credits::trial(tx, user).await?;
    Err(match trial {
        Some(trial) if trial.ends_at > now => {
            ApiError::new(Code::TrialCreditsExhausted, "Trial credits exhausted. Please upgrade to continue.")
        }
        Some(_) if subscription.is_none() => {
            ApiError::new(Code::TrialExpired, "Your trial is over. Please upgrade to continue.")
        }
        _ => ApiError::new(Code::SubscriptionRequired, "Active subscription required. Please upgrade to continue."),
    })
}
