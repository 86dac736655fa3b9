//! `POST /payments/cancel`
//!
//! What Stripe bills is cancelled there. A plan that was paid for by QR code or given is not renewed by anybody, so it
//! can only be ended at once, here.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::domain::entitlement::{Subscribed, Subscription};
use shared::email::{Mail, SubscriptionEnded};
use shared::ids::UserId;
use shared::services::Services;
use shared::store::users::User;
use shared::store::{StoreResult, Tx, adjustments, credits, mails};
use shared::stripe::StripeError;
use shared::stripe::sync;
use utoipa::ToSchema;

use super::at_stripe::{customer_of, drop_planned, settle};
use super::operation::{self, Begun, Operation, Stop, Work};
use super::subscription::{SubscriptionBody, SubscriptionChange};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, CurrentUser};
use crate::replay::{Answer, Key};

/// How to cancel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Whether it ends at once and not with the period that is paid for. Nothing is given back.
    #[serde(default)]
    immediately: bool,
}

/// Cancels the subscription: it is not renewed, and ends with the period that is paid for or at once.
#[utoipa::path(post, path = "/payments/cancel", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = CancelRequest, responses(
    (status = 200, description = "The subscription as it is now", body = SubscriptionChange),
    (status = 409, description = "No subscription runs, or a request like this one is being worked on"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn cancel(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: CancelRequest { immediately }, fingerprint }: Body<CancelRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/cancel", fingerprint)?;
    let mut reader = app.services.db.read().await?;
    let subscribed = credits::facts(&mut reader, current.user.id).await?.subscribed;
    drop(reader);
    let is_billed = subscribed.as_ref().is_some_and(Subscribed::is_billed);
    match subscribed.and_then(|subscribed| subscribed.stripe_subscription) {
        Some(subscription) => {
            let work = Cancel { user: current.user.id, subscription, is_billed, immediately };
            operation::run(&app, key, work).await
        }
        None => cancel_here(&app, &current.user, &key, immediately).await,
    }
}

/// A subscription to cancel at Stripe.
struct Cancel {
    user: UserId,
    /// What Stripe calls it.
    subscription: String,
    /// Whether it has not ended, as far as is known.
    is_billed: bool,
    immediately: bool,
}

impl Work for Cancel {
    type Found = Box<sync::State>;

    async fn ask(&self, operation: &Operation) -> Result<Self::Found, Stop> {
        // What has ended may have been ended by this very operation, before it was cut off.
        if !self.is_billed && !operation.is_resumed() {
            return Err(nothing_runs().into());
        }
        let (stripe, id) = (&operation.stripe, self.subscription.as_str());
        let subscription = stripe.subscription(id).await?;
        if subscription.is_live() {
            drop_planned(operation, &subscription).await?;
            if self.immediately {
                // Stripe has no idempotency keys here: what was tried twice is not there the second time.
                match stripe.cancel_subscription(id, &operation.try_key("cancel")).await {
                    Ok(_) | Err(StripeError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            } else if !subscription.ends_with_period() {
                stripe.cancel_at_period_end(id, true, &operation.try_key("cancel")).await?;
            }
        }
        Ok(Box::new(sync::read(&operation.services, customer_of(&subscription)?, false).await?))
    }

    async fn store(&self, operation: &Operation, tx: &mut Tx, state: Self::Found) -> Result<Answer, Stop> {
        let subscription = settle(operation, tx, self.user, &state).await?;
        Ok(Answer::json(StatusCode::OK, &SubscriptionChange { subscription })?)
    }
}

fn nothing_runs() -> ApiError {
    ApiError::new(Code::WrongState, "No subscription of yours runs.")
}

/// Ends a plan that nobody bills, if that is to be at once.
async fn cancel_here(app: &App, user: &User, key: &Key, immediately: bool) -> ApiResult<Answer> {
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    let id = match operation::begin(&mut tx, key, now).await? {
        Begun::Kept(answer) => return Ok(answer),
        Begun::Do(id) => id,
    };
    let had = adjustments::lock(&mut tx, user.id).await?.map(|subscriber| subscriber.subscribed);
    let runs = had.filter(|had| had.subscription.runs(now) && !had.is_billed());
    // What was begun before may be what has ended it.
    if runs.is_none() && !operation::is_resumed(id, now) {
        operation::stripe(&app.services)?;
        return Err(nothing_runs());
    }
    if let Some(had) = runs.filter(|_| immediately) {
        end(&mut tx, &app.services, user, (&had, now)).await?;
    }
    let subscription = SubscriptionBody::of(&mut tx, user.id, &app.services.config.tiers, now).await?;
    let answer = Answer::json(StatusCode::OK, &SubscriptionChange { subscription })?;
    operation::finish(&mut tx, id, &answer).await?;
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(answer)
}

async fn end(
    tx: &mut Tx,
    services: &Services,
    user: &User,
    (had, now): (&Subscribed, DateTime<Utc>),
) -> StoreResult<()> {
    let ended = Subscription { status: "canceled".to_owned(), ..had.subscription.clone() };
    adjustments::set(tx, user.id, &ended).await?;
    let mail = Mail::SubscriptionEnded(SubscriptionEnded {
        name: user.full_name.clone(),
        plan: ended.tier.to_string(),
        ended_at: now,
        link: services.config.plans_link(),
    });
    mails::put(tx, (user.id, &user.email), &mail, &had.end_name(), now).await?;
    Ok(())
}
