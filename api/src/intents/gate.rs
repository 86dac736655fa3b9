//! The gate: who may submit, and what it is charged to. Every refusal charges nothing.

use chrono::{DateTime, Utc};
use shared::domain::status::Charged;
use shared::domain::tier::Tier;
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
    // The tier was read with the session a moment ago; the statements below check again what they take.
    let limit = current.limits(app).workflows_per_month;
    if current.tier == Tier::FreeTrial {
        if let Some(left) = credits::charge_trial(tx, user, workflow, now).await? {
            return Ok(Charge { charged: Charged::Trial, credits_remaining: Some(left) });
        }
    } else if credits::charge_subscription(tx, user, limit, now).await? {
        return Ok(Charge { charged: Charged::Subscription, credits_remaining: None });
    }
    Err(refusal(tx, current, limit, now).await?)
}

/// Why nothing could be charged.
async fn refusal(tx: &mut Tx, current: &CurrentUser, limit: Option<i64>, now: DateTime<Utc>) -> ApiResult<ApiError> {
    let subscription = credits::subscription(tx, current.user.id).await?;
    let trial = credits::trial(tx, current.user.id).await?;
    Ok(match (subscription, trial) {
        (Some(subscription), _) if subscription.runs(now) => {
            let limit = limit.unwrap_or_default();
            ApiError::new(Code::WorkflowLimitReached, format!("All {limit} workflows of this month are used."))
        }
        (_, Some(trial)) if trial.ends_at > now => {
            ApiError::new(Code::TrialCreditsExhausted, "Trial credits exhausted. Please upgrade to continue.")
        }
        (None, Some(_)) => ApiError::new(Code::TrialExpired, "Your trial is over. Please upgrade to continue."),
        _ => ApiError::new(Code::SubscriptionRequired, "Active subscription required. Please upgrade to continue."),
    })
}
