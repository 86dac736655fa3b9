//! `GET /payments/stripe-events`, `POST /payments/stripe-events/{event_id}/replay`: for admins.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::stripe_events::{self, EventStatus, Filter, StoredEvent, Via};
use shared::store::{Tx, stripe_customers};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Admin, Client, Page, PageQuery, Paged, PathName};

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only those that stand here: pending, applied, ignored or dead.
    #[param(value_type = Option<String>, pattern = "^(pending|applied|ignored|dead)$")]
    status: Option<EventStatus>,
}

/// An event that Stripe told.
#[derive(Debug, Serialize, ToSchema)]
pub struct StripeEventBody {
    /// What Stripe calls it.
    event_id: String,
    /// What happened, in Stripe's words.
    #[serde(rename = "type")]
    kind: String,
    /// The object that it is about.
    object_id: Option<String>,
    /// The customer at Stripe that it is about.
    customer: Option<String>,
    /// Whether real money is meant.
    livemode: Option<bool>,
    /// The version of Stripe's API that its shape is of.
    api_version: Option<String>,
    /// How it came to be known.
    via: Via,
    /// Where it stands.
    status: EventStatus,
    /// How often it was tried in vain to apply it.
    attempts: i64,
    /// Why it could not be applied, the last time.
    error: Option<String>,
    /// When it happened.
    created_at: DateTime<Utc>,
    /// When it came.
    received_at: DateTime<Utc>,
    /// When it was applied.
    applied_at: Option<DateTime<Utc>>,
}

/// What Stripe told, the newest first. What is dead could not be applied in many tries.
#[utoipa::path(get, path = "/payments/stripe-events", tag = "Admin", security(("bearer" = [])),
    params(EventsQuery, PageQuery), responses(
    (status = 200, description = "A page of events", body = Paged<StripeEventBody>),
    (status = 403, description = "Only admins may do this"),
))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    page: Page,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> ApiResult<Json<Paged<StripeEventBody>>> {
    let bad = |_| ApiError::new(Code::BadRequest, "status must be one of pending, applied, ignored, dead.");
    let Query(query) = query.map_err(bad)?;
    let filter = Filter { status: query.status, before: page.after_id()? };
    let mut reader = app.services.db.read().await?;
    let page = page.of(stripe_events::list(&mut reader, &filter, page.rows()).await?, |event| event.row_id.to_string());
    let items = page.items.into_iter().map(StripeEventBody::from).collect();
    Ok(Json(Paged { items, next_cursor: page.next_cursor }))
}

/// Has an event applied again that is dead, or that concerned nothing of ours when it came.
#[utoipa::path(post, path = "/payments/stripe-events/{event_id}/replay", tag = "Admin", security(("bearer" = [])),
    params(("event_id" = String, Path, description = "The event, as Stripe calls it", pattern = "^[A-Za-z0-9_]+$")),
    responses(
    (status = 200, description = "The event, which waits to be applied", body = StripeEventBody),
    (status = 403, description = "Only admins may do this"),
    (status = 404, description = "There is no such event"),
    (status = 409, description = "It waits already or has been applied, or it concerns none of our customers"),
))]
pub async fn replay(
    State(app): State<App>,
    Admin(admin): Admin,
    client: Client,
    PathName(id): PathName,
) -> ApiResult<Json<StripeEventBody>> {
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    let had = stripe_events::get(&mut tx, &id).await?.ok_or_else(ApiError::not_found)?;
    let customer = ours(&mut tx, &had).await?;
    let wrong = |detail: String| ApiError::new(Code::WrongState, detail);
    stripe_customers::wake(&mut tx, &customer, false, now).await?;
    let replayed = stripe_events::replay(&mut tx, &id).await?;
    let event = replayed.ok_or_else(|| wrong(format!("This event is {} already.", had.status)))?;
    let detail = json!({"event_id": id, "type": event.kind, "was": had.status, "error": had.error});
    let user = stripe_customers::owner(&mut tx, &customer).await?;
    let entry = Event { user, detail, ..admin.event(EventKind::StripeEventReplayed, &client, now) };
    account_events::record(&mut tx, &entry).await?;
    tx.commit().await?;
    app.services.queue.wake().await;
    Ok(Json(event.into()))
}

/// The customer of an event; 409 unless it is one of ours.
async fn ours(tx: &mut Tx, event: &StoredEvent) -> ApiResult<String> {
    if let Some(customer) = &event.customer
        && stripe_customers::owner(tx, customer).await?.is_some()
    {
        return Ok(customer.clone());
    }
    Err(ApiError::new(Code::WrongState, "This event concerns none of our customers, so there is nothing to apply."))
}

impl From<StoredEvent> for StripeEventBody {
    fn from(event: StoredEvent) -> Self {
        Self {
            event_id: event.id,
            kind: event.kind,
            object_id: event.object_id,
            customer: event.customer,
            livemode: event.livemode,
            api_version: event.api_version,
            via: event.via,
            status: event.status,
            attempts: event.attempts,
            error: event.error,
            created_at: event.created_at,
            received_at: event.received_at,
            applied_at: event.applied_at,
        }
    }
}
