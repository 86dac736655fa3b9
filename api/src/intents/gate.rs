//! The gate: who may submit, and what it is charged to. Every refusal charges nothing.

use chrono::{DateTime, Utc};
use shared::domain::status::Charged;
use shared::domain::tier::Tier;
use shared::ids::{UserId, WorkflowId};
use shared::store::{StoreResult, Tx, credits, users};

use crate::App;
use crate::error::{ApiError, Code};
use crate::extract::CurrentUser;

/// Who pays for a workflow, and out of what.
///
/// It was read with the session a moment ago; the statements that charge check again what they take.
#[derive(Debug, Clone, Copy)]
pub struct Payer {
    /// The account.
    pub user: UserId,
    /// Trial or subscription.
    pub charged: Charged,
    /// How many workflows a period has; `None`: unlimited.
    pub limit: Option<i64>,
}

/// What is left after a charge: trial credits, or nothing that is counted here.
pub type Left = Option<i64>;

impl Payer {
    /// The signed-in user as a payer.
    pub fn of(current: &CurrentUser, app: &App) -> Self {
        let charged = if current.tier == Tier::FreeTrial { Charged::Trial } else { Charged::Subscription };
        Self { user: current.user.id, charged, limit: current.limits(app).workflows_per_month }
    }
}

/// Charges each workflow to its payer, or says why not, in the order given.
pub async fn charge(
    tx: &mut Tx,
    wanted: &[(Payer, WorkflowId)],
    now: DateTime<Utc>,
) -> StoreResult<Vec<Result<Left, ApiError>>> {
    // Whoever closes an account locks it before its trial and subscription, and so must who charges it.
    users::hold(tx, wanted.iter().map(|(payer, _)| payer.user)).await?;
    let (trials, subscriptions): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(payer, _)| payer.charged == Charged::Trial);
    let trials: Vec<_> = trials.into_iter().map(|(payer, workflow)| (payer.user, workflow)).collect();
    let subscriptions: Vec<_> = subscriptions.into_iter().map(|(payer, _)| (payer.user, payer.limit)).collect();
    let mut by_trial = credits::charge_trials(tx, &trials, now).await?.into_iter();
    let mut by_subscription = credits::charge_subscriptions(tx, &subscriptions, now).await?.into_iter();
    let mut charges = Vec::with_capacity(wanted.len());
    for (payer, _) in wanted {
        let charge = match payer.charged {
            Charged::Trial => by_trial.next().flatten().map(Some),
            Charged::Subscription => by_subscription.next().unwrap_or_default().then_some(None),
        };
        charges.push(match charge {
            Some(left) => Ok(left),
            None => Err(refusal(tx, payer, now).await?),
        });
    }
    Ok(charges)
}

/// Why nothing could be charged.
async fn refusal(tx: &mut Tx, payer: &Payer, now: DateTime<Utc>) -> StoreResult<ApiError> {
    let subscription = credits::subscription(tx, payer.user).await?;
    let trial = credits::trial(tx, payer.user).await?;
    Ok(match (subscription, trial) {
        (Some(subscription), _) if subscription.runs(now) => {
            let limit = payer.limit.unwrap_or_default();
            ApiError::new(Code::WorkflowLimitReached, format!("All {limit} workflows of this month are used."))
        }
        (_, Some(trial)) if trial.ends_at > now => {
            ApiError::new(Code::TrialCreditsExhausted, "Trial credits exhausted. Please upgrade to continue.")
        }
        (None, Some(_)) => ApiError::new(Code::TrialExpired, "Your trial is over. Please upgrade to continue."),
        _ => ApiError::new(Code::SubscriptionRequired, "Active subscription required. Please upgrade to continue."),
    })
}
