//! `GET /payments/subscriptions`, `GET /payments/subscriptions/{user_id}`: for admins.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::domain::tier::{Tier, Tiers};
use shared::ids::UserId;
use shared::store::adjustments::{self, Filter, Subscriber};
use utoipa::{IntoParams, ToSchema};

use super::subscription::SubscriptionBody;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Page, PageQuery, Paged, PathId};

/// The statuses that a subscription can have.
pub const STATUSES: [&str; 3] = ["active", "past_due", "canceled"];
/// The tiers that a subscription can be of.
pub const SOLD: [Tier; 4] = [Tier::Student, Tier::Employee, Tier::Professional, Tier::Enterprise];

/// Which subscriptions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubscriptionsQuery {
    /// Only those of this status: active, `past_due` or canceled.
    #[param(pattern = "^(active|past_due|canceled)$")]
    status: Option<String>,
    /// Only those of this tier: student, employee, professional or enterprise.
    #[param(pattern = "^(student|employee|professional|enterprise)$")]
    tier: Option<String>,
}

/// A subscription with whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriberBody {
    /// The account.
    #[schema(value_type = Uuid)]
    user_id: UserId,
    /// Its address.
    email: String,
    #[serde(flatten)]
    subscription: SubscriptionBody,
}

/// Subscriptions, those of the newest accounts first.
#[utoipa::path(get, path = "/payments/subscriptions", tag = "Admin", security(("bearer" = [])),
    params(SubscriptionsQuery, PageQuery), responses(
    (status = 200, description = "A page of subscriptions", body = Paged<SubscriberBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    page: Page,
    query: Result<Query<SubscriptionsQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<SubscriberBody>>> {
    let bad = |text: String| ApiError::new(Code::BadRequest, text);
    let Query(query) = query.map_err(|_| bad("The query string cannot be read.".to_owned()))?;
    if query.status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
        return Err(bad(format!("status must be one of {}.", STATUSES.join(", "))));
    }
    let sold = |name: String| SOLD.into_iter().find(|tier| tier.name() == name);
    let unsold = || bad(format!("tier must be one of {}.", SOLD.map(Tier::name).join(", ")));
    let tier = query.tier.map(|name| sold(name).ok_or_else(unsold)).transpose()?;
    let filter = Filter { status: query.status, tier, before: page.after_id()?.map(UserId) };
    let (tiers, now) = (&app.services.config.tiers, app.services.clock.now());
    let mut reader = app.services.db.read().await?;
    let subscribers = adjustments::list(&mut reader, &filter, page.rows()).await?;
    let page = page.of(subscribers, |subscriber| subscriber.user_id.to_string());
    let items = page.items.into_iter().map(|subscriber| SubscriberBody::new(subscriber, tiers, now)).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

/// One account's subscription.
#[utoipa::path(get, path = "/payments/subscriptions/{user_id}", tag = "Admin", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), responses(
    (status = 200, description = "The subscription", body = SubscriberBody),
    (status = 403, description = "Only admins may do this"),
    (status = 404, description = "There is no such account, or it has no subscription"),
))]
pub async fn get(State(app): State<App>, _: Admin, PathId(id): PathId) -> ApiResult<Json<SubscriberBody>> {
    let mut reader = app.services.db.read().await?;
    let subscriber = adjustments::get(&mut reader, UserId(id)).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(SubscriberBody::new(subscriber, &app.services.config.tiers, app.services.clock.now())))
}

impl SubscriberBody {
    /// A subscription as it is at `now`.
    pub fn new(subscriber: Subscriber, tiers: &Tiers, now: DateTime<Utc>) -> Self {
        let subscription = SubscriptionBody::new(&subscriber.subscribed, tiers, now);
        Self { user_id: subscriber.user_id, email: subscriber.email, subscription }
    }
}
