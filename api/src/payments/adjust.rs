//! `POST /payments/subscriptions/{user_id}/adjust`: for admins.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::entitlement::Subscription;
use shared::domain::plan::FieldError;
use shared::domain::tier::Tier;
use shared::email::{Change, Mail, SubscriptionChanged};
use shared::ids::{self, UserId};
use shared::store::account_events::{self, Event, EventKind};
use shared::store::adjustments::{self, Subscriber};
use shared::store::users::User;
use shared::store::{agents, credits, mails};
use utoipa::ToSchema;

use super::subscriptions::{SOLD, STATUSES, SubscriberBody};
use super::{check_reason, open_account};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client, PathId};

/// What to change, one of it at least; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// `student`, `employee`, `professional` or `enterprise`.
    tier: Option<Tier>,
    /// `active`, `past_due` or `canceled`.
    #[schema(pattern = "^(active|past_due|canceled)$")]
    status: Option<String>,
    /// The end of the period, after its start.
    current_period_end: Option<DateTime<Utc>>,
    /// Why: for the audit and for the owner, who gets a mail.
    #[schema(min_length = 1, max_length = 500, example = "As agreed on the phone")]
    reason: String,
}

/// Changes a subscription, with effect on the owner's next request. Whoever has none is given one that begins now, if
/// tier and end are said.
#[utoipa::path(post, path = "/payments/subscriptions/{user_id}/adjust", tag = "Admin", security(("bearer" = [])),
    params(("user_id" = Uuid, Path, description = "The account")), request_body = Adjustment, responses(
    (status = 200, description = "The subscription as it is now", body = SubscriberBody),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "The account is deleted, or Stripe bills its subscription"),
))]
pub async fn adjust(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
    Body { value: adjustment, .. }: Body<Adjustment>,
) -> ApiResult<Json<SubscriberBody>> {
    let adjustment = adjustment.checked()?;
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    let user = open_account(&mut tx, UserId(id)).await?;
    let before = adjustments::lock(&mut tx, user.id).await?;
    if before.as_ref().is_some_and(|before| before.subscribed.is_billed()) {
        let detail = "Stripe bills this subscription, and would undo the change; cancel or change it there first.";
        return Err(ApiError::new(Code::WrongState, detail));
    }
    let after = adjustment.applied(before.as_ref(), now)?;
    if !adjustments::set(&mut tx, user.id, &after).await? {
        credits::put_subscription(&mut tx, user.id, &after, now).await?;
    }
    let before = before.map(|before| before.subscribed.subscription);
    if before.as_ref() != Some(&after) {
        agents::look_again(&mut tx, user.id, now).await?;
        let change = changed(&user, (before.as_ref(), after), adjustment.reason, now);
        let event = Event { user: Some(user.id), ..admin.event(EventKind::SubscriptionAdjusted, &client, now) };
        account_events::record(&mut tx, &Event { detail: detail(&change), ..event }).await?;
        let occasion = ids::new(now).to_string();
        let mail = Mail::SubscriptionChanged(change);
        mails::put(&mut tx, (user.id, &user.email), &mail, &occasion, now).await?;
    }
    let subscriber = adjustments::get(&mut tx, user.id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(Json(SubscriberBody::new(subscriber, &app.services.config.tiers, now)))
}

/// What the owner is told.
fn changed(
    user: &User,
    (before, after): (Option<&Subscription>, Subscription),
    reason: String,
    now: DateTime<Utc>,
) -> SubscriptionChanged {
    SubscriptionChanged {
        name: user.full_name.clone(),
        at: now,
        tier: Change::between(before.map(|before| before.tier), after.tier),
        billing_cycle: None,
        status: Change::between(before.map(|before| before.status.clone()), after.status),
        current_period_end: Change::between(before.map(|before| before.current_period_end), after.current_period_end),
        renews: None,
        reason,
    }
}

/// What the audit keeps: what changed, from what to what, and why.
fn detail(change: &SubscriptionChanged) -> Value {
    let mut detail = json!({"reason": change.reason});
    for (name, change) in [
        ("tier", json!(change.tier)),
        ("status", json!(change.status)),
        ("current_period_end", json!(change.current_period_end)),
    ] {
        if !change.is_null() {
            detail[name] = change;
        }
    }
    detail
}

impl Adjustment {
    fn checked(self) -> ApiResult<Self> {
        let mut faults = Vec::new();
        if self.tier.is_none() && self.status.is_none() && self.current_period_end.is_none() {
            faults.push(FieldError::new("body", "must say tier, status or current_period_end"));
        }
        if self.tier.is_some_and(|tier| !SOLD.contains(&tier)) {
            faults.push(FieldError::new("tier", format!("must be one of {}", SOLD.map(Tier::name).join(", "))));
        }
        if self.status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
            faults.push(FieldError::new("status", format!("must be one of {}", STATUSES.join(", "))));
        }
        // Not every time that can be written can be stored, and texts of times sort only with years of four digits.
        if self.current_period_end.is_some_and(|end| !(1970..=9999).contains(&end.year())) {
            faults.push(FieldError::new("current_period_end", "must be in the years 1970 to 9999"));
        }
        faults.extend(check_reason(&self.reason));
        if !faults.is_empty() {
            return Err(ApiError::invalid(faults));
        }
        let current_period_end = self.current_period_end.map(|end| end.trunc_subsecs(6));
        Ok(Self { current_period_end, reason: self.reason.trim().to_owned(), ..self })
    }

    /// The subscription as it will be.
    fn applied(&self, before: Option<&Subscriber>, now: DateTime<Utc>) -> ApiResult<Subscription> {
        let mut faults = Vec::new();
        let start = before.map_or(now, |before| before.subscribed.current_period_start);
        if self.current_period_end.is_some_and(|end| end <= start) {
            faults.push(FieldError::new("current_period_end", "must be after the start of the period"));
        }
        let before = before.map(|before| &before.subscribed.subscription);
        let tier = self.tier.or(before.map(|before| before.tier));
        let current_period_end = self.current_period_end.or(before.map(|before| before.current_period_end));
        for (name, is_missing) in [("tier", tier.is_none()), ("current_period_end", current_period_end.is_none())] {
            if is_missing {
                faults.push(FieldError::new(name, "is required, since there is no subscription yet"));
            }
        }
        let status = self.status.clone().or(before.map(|before| before.status.clone()));
        match (tier, current_period_end) {
            (Some(tier), Some(current_period_end)) if faults.is_empty() => Ok(Subscription {
                tier,
                status: status.unwrap_or_else(|| "active".to_owned()),
                current_period_end,
                workflows_used: before.map_or(0, |before| before.workflows_used),
                entitles_until: None,
            }),
            _ => Err(ApiError::invalid(faults)),
        }
    }
}
