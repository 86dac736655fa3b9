//! `GET /payments/trial`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::store::credits::{self, Trial};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::CurrentUser;

/// A trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBody {
    /// Whether it runs.
    is_active: bool,
    /// When it started.
    started_at: DateTime<Utc>,
    /// When it ends.
    ends_at: DateTime<Utc>,
    /// Days left, begun ones included.
    days_remaining: i64,
    /// Credits given in all.
    credits_total: i64,
    /// Credits left.
    credits_remaining: i64,
}

impl TrialBody {
    /// The trial as it is at `now`.
    pub fn new(trial: &Trial, now: DateTime<Utc>) -> Self {
        let seconds = (trial.ends_at - now).num_seconds().max(0);
        Self {
            is_active: trial.ends_at > now,
            started_at: trial.started_at,
            ends_at: trial.ends_at,
            days_remaining: seconds.div_euclid(86_400) + i64::from(seconds % 86_400 > 0),
            credits_total: trial.credits_total,
            credits_remaining: trial.credits,
        }
    }
}

/// The signed-in user's trial; 404 before the address is verified.
#[utoipa::path(get, path = "/payments/trial", tag = "Payments", security(("bearer" = [])), responses(
    (status = 200, description = "The trial", body = TrialBody),
    (status = 404, description = "The address is not verified yet"),
))]
pub async fn trial(State(app): State<App>, current: CurrentUser) -> ApiResult<Json<TrialBody>> {
    let mut reader = app.services.db.read().await?;
    let trial = credits::trial(&mut reader, current.user.id).await?;
    let trial = trial.ok_or_else(|| {
        ApiError::new(crate::error::Code::NotFound, "Your trial begins when you verify your e-mail address.")
    })?;
    Ok(Json(TrialBody::new(&trial, app.services.clock.now())))
}
