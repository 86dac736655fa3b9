//! The gate: who may submit, and what it is charged to. Every refusal charges nothing.

use chrono::{DateTime, Utc};
use shared::domain::entitlement::entitlement;
use shared::domain::status::Charged;
use shared::domain::tier::{Limits, Tier};
use shared::email::{CreditsLow, Mail};
use shared::ids::{UserId, WorkflowId};
use shared::services::Services;
use shared::store::{StoreResult, Tx, credits, mails, users};

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
    /// How many workflows a month has, and how much storage there is.
    pub limits: Limits,
}

/// What is left after a charge: trial credits, or nothing that is counted here.
pub type Left = Option<i64>;

/// So few credits left that the owner of a trial is told.
pub const FEW: i64 = 2;

impl Payer {
    /// The signed-in user as a payer.
    pub fn of(current: &CurrentUser, app: &App) -> Self {
        let charged = if current.tier == Tier::FreeTrial { Charged::Trial } else { Charged::Subscription };
        Self { user: current.user.id, charged, limits: *current.limits(app) }
    }
}

/// Charges each workflow to its payer, or says why not, in the order given.
pub async fn charge(
    tx: &mut Tx,
    services: &Services,
    wanted: &[(Payer, WorkflowId)],
    now: DateTime<Utc>,
) -> StoreResult<Vec<Result<Left, ApiError>>> {
    // Whoever closes an account locks it before its trial and subscription, and so must who charges it.
    users::hold(tx, wanted.iter().map(|(payer, _)| payer.user)).await?;
    let (trials, subscriptions): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(payer, _)| payer.charged == Charged::Trial);
    let trials: Vec<_> = trials.into_iter().map(|(payer, workflow)| (payer.user, workflow)).collect();
    let subscriptions: Vec<_> = subscriptions.into_iter().map(|(payer, _)| (payer.user, payer.limits)).collect();
    let storage = services.config.tiers.limits(Tier::FreeTrial).storage();
    let by_trial = credits::charge_trials(tx, &trials, storage, now).await?;
    for ((user, _), _) in trials.iter().zip(&by_trial).filter(|(_, left)| **left == Some(FEW)) {
        tell_of_few_credits(tx, services, *user, now).await?;
    }
    let mut by_trial = by_trial.into_iter();
    let mut by_subscription = credits::charge_subscriptions(tx, &subscriptions, now).await?.into_iter();
    let mut charges = Vec::with_capacity(wanted.len());
    for (payer, _) in wanted {
        let charge = match payer.charged {
            Charged::Trial => by_trial.next().flatten().map(Some),
            Charged::Subscription => by_subscription.next().unwrap_or_default().then_some(None),
        };
        charges.push(match charge {
            Some(left) => Ok(left),
            None => Err(refusal(tx, services, payer.user, now).await?),
        });
    }
    Ok(charges)
}

/// Decides on the mail that credits run low, once for all credits that a trial was given so far.
async fn tell_of_few_credits(tx: &mut Tx, services: &Services, user: UserId, now: DateTime<Utc>) -> StoreResult<()> {
    let (Some(user), Some(trial)) = (users::by_id(tx, user).await?, credits::trial(tx, user).await?) else {
        return Ok(());
    };
    let mail = Mail::CreditsLow(CreditsLow {
        name: user.full_name,
        link: services.config.plans_link(),
        // Fewer, when several were charged together.
        credits_left: trial.credits,
        ends_at: trial.ends_at,
    });
    mails::put(tx, (user.id, &user.email), &mail, &format!("of {}", trial.credits_total), now).await?;
    Ok(())
}

/// Why nothing could be charged.
async fn refusal(tx: &mut Tx, services: &Services, user: UserId, now: DateTime<Utc>) -> StoreResult<ApiError> {
    let facts = credits::facts(tx, user).await?;
    Ok(match entitlement(&facts, &services.config.tiers, now).charge {
        Err(refusal) => refusal.into(),
        // Something else would pay now than when the session was read.
        Ok(_) => ApiError::new(Code::Busy, "Your plan has changed at this moment; try again.").retry_after(1),
    })
}
