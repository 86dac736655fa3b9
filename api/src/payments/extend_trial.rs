//! `POST /payments/subscriptions/{user_id}/extend-trial`: for admins.
//!
//! The warnings before a trial's end name that end, so another end is warned of again.

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;
use shared::domain::plan::FieldError;
use shared::ids::{self, UserId};
use shared::store::account_events::{self, Event, EventKind};
use shared::store::{adjustments, credits};
use utoipa::ToSchema;

use super::trial::TrialBody;
use super::{check_reason, open_account};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Body, Client, PathId};

/// By how much a trial is extended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Days from now, or from the trial's end if that is later.
    #[schema(minimum = 1, maximum = 90)]
    days: i64,
    /// Credits to give with it.
    #[schema(minimum = 0, maximum = 1000)]
    credits: Option<i64>,
    /// Why, for the audit.
    #[schema(min_length = 1, max_length = 500, example = "Asked for more time to try it out")]
    reason: String,
}

/// Extends a trial, also one that is over, and gives credits if told so.
#[utoipa::path(post, path = "/payments/subscriptions/{user_id}/extend-trial", tag = "Admin",
    security(("bearer" = [])), params(("user_id" = Uuid, Path, description = "The account")),
    request_body = Extension, responses(
    (status = 200, description = "The trial as it is now", body = TrialBody),
    (status = 403, description = "Only admins may do this"),
    (status = 409, description = "The account has no trial yet, or is deleted"),
))]
pub async fn extend_trial(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathId(id): PathId,
    Body { value: extension, .. }: Body<Extension>,
) -> ApiResult<Json<TrialBody>> {
    extension.check()?;
    let (user, now) = (UserId(id), app.services.clock.now());
    let no_trial =
        || ApiError::new(Code::WrongState, "This account has no trial; one begins when the address is verified.");
    let mut tx = app.services.db.begin().await?;
    open_account(&mut tx, user).await?;
    let days = TimeDelta::days(extension.days);
    let (from, to) = adjustments::extend_trial(&mut tx, user, days, now).await?.ok_or_else(no_trial)?;
    let (given, reference) = (extension.credits.unwrap_or(0), ids::new(now));
    if given > 0 {
        credits::grant(&mut tx, user, given, ("trial_extension", reference), now).await?;
    }
    let detail = json!({
        "days": extension.days, "from": from, "to": to, "credits": given, "reference": reference,
        "reason": extension.reason.trim(),
    });
    let event = Event { user: Some(user), detail, ..admin.event(EventKind::TrialExtended, &client, now) };
    account_events::record(&mut tx, &event).await?;
    let trial = credits::trial(&mut tx, user).await?.ok_or_else(no_trial)?;
    tx.commit().await?;
    Ok(Json(TrialBody::new(&trial, now)))
}

impl Extension {
    fn check(&self) -> ApiResult<()> {
        let mut faults = Vec::new();
        if !(1..=90).contains(&self.days) {
            faults.push(FieldError::new("days", "must be from 1 to 90"));
        }
        if self.credits.is_some_and(|credits| !(0..=1_000).contains(&credits)) {
            faults.push(FieldError::new("credits", "must be from 0 to 1000"));
        }
        faults.extend(check_reason(&self.reason));
        if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
    }
}
