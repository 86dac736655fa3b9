//! `POST /payments/reactivate`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use shared::ids::UserId;
use shared::store::Tx;
use shared::stripe::sync;

use super::at_stripe::{billed, customer_of, settle};
use super::operation::{self, Operation, Stop, Work};
use super::subscription::SubscriptionChange;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::CurrentUser;
use crate::replay::{Answer, Key};

/// Takes the cancellation of a subscription back that has not ended yet: it is renewed again.
#[utoipa::path(post, path = "/payments/reactivate", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    responses(
    (status = 200, description = "The subscription as it is now", body = SubscriptionChange),
    (status = 409, description = "Stripe bills no subscription, or it is not to end, or a request like this one is \
        being worked on"),
    (status = 422, description = "The Idempotency-Key is not valid"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn reactivate(State(app): State<App>, current: CurrentUser, headers: HeaderMap) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/reactivate", String::new())?;
    operation::run(&app, key, Reactivate { user: current.user.id }).await
}

/// A subscription that is to go on.
struct Reactivate {
    user: UserId,
}

impl Work for Reactivate {
    type Found = Box<sync::State>;

    async fn ask(&self, operation: &Operation) -> Result<Self::Found, Stop> {
        let (subscribed, id) = billed(operation, self.user).await?;
        if !subscribed.cancel_at_period_end && !operation.is_resumed() {
            return Err(ApiError::new(Code::WrongState, "Your subscription is not cancelled.").into());
        }
        let subscription = operation.stripe.subscription(&id).await?;
        if subscription.is_live() && subscription.ends_with_period() {
            operation.stripe.go_on(&subscription, &operation.try_key("reactivate")).await?;
        }
        Ok(Box::new(sync::read(&operation.services, customer_of(&subscription)?, false).await?))
    }

    async fn store(&self, operation: &Operation, tx: &mut Tx, state: Self::Found) -> Result<Answer, Stop> {
        let subscription = settle(operation, tx, self.user, &state).await?;
        Ok(Answer::json(StatusCode::OK, &SubscriptionChange { subscription })?)
    }
}
