//! `POST /webhooks/stripe`
//!
//! What Stripe tells is stored once and answered at once; a job then reads at Stripe what has become of the customer.
//! So it works without a key to Stripe too: events wait until there is one.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde::Serialize;
use shared::services::Services;
use shared::store::stripe_events::Via;
use shared::stripe::objects::Event;
use shared::stripe::{inbox, webhook};
use utoipa::ToSchema;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::raw;

/// The largest event, in bytes.
const LIMIT: usize = 1024 * 1024;

/// That an event is stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Received {
    /// Always true.
    received: bool,
}

/// Takes an event of Stripe. It has to be signed with a secret of `STRIPE_WEBHOOK_SECRET` no more than 5 minutes ago;
/// one that came before is taken and changes nothing.
#[utoipa::path(post, path = "/webhooks/stripe", tag = "Webhooks",
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…`, as Stripe makes it")),
    request_body(content = Object, content_type = "application/json", description = "The event, as it was signed",
        example = json!({"id": "evt_1NG8Du2eZvKYlo2CUI79vXWy", "object": "event", "type": "invoice.paid",
            "created": 1_686_089_970, "livemode": false, "api_version": "2026-09-30.endive",
            "data": {"object": {"id": "in_1MtHbELkdIwHu7ixl4OzzPMv", "object": "invoice",
                "customer": "cus_NffrFeUfNV2Hib"}}})),
    responses(
    (status = 200, description = "The event is stored", body = Received),
    (status = 400, description = "The signature is missing, wrong or old, or it is no event, or one of another mode \
        than the key to Stripe"),
    (status = 413, description = "The body has more than 1 MiB"),
    (status = 503, description = "No secret for webhooks is configured, or the server is busy"),
))]
pub async fn stripe(State(app): State<App>, request: Request) -> ApiResult<Json<Received>> {
    let (services, (parts, body)) = (&app.services, request.into_parts());
    let secrets = &services.config.stripe.webhook_secrets;
    if secrets.is_empty() {
        return Err(ApiError::new(Code::PaymentsNotConfigured, "Webhooks of Stripe are not configured here."));
    }
    let bytes = raw(body, LIMIT, &app).await?;
    let now = services.clock.now();
    if let Err(why) = webhook::verify(&bytes, signature(&parts.headers), secrets, now) {
        tracing::warn!(%why, "a webhook was refused");
        return Err(ApiError::new(Code::InvalidSignature, "The signature is not valid."));
    }
    let (event, payload) = read(&bytes)?;
    check_mode(services, &event)?;
    let mut tx = services.db.begin().await?;
    inbox::take(&mut tx, (&event, payload), Via::Webhook, now).await?;
    tx.commit().await?;
    services.queue.wake().await;
    Ok(Json(Received { received: true }))
}

/// What the sender says to prove who it is; nothing if that is no text.
fn signature(headers: &HeaderMap) -> &str {
    headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The event, and the same as text.
fn read(bytes: &[u8]) -> ApiResult<(Event, &str)> {
    let event = webhook::event(bytes).ok().filter(|event| !event.id.is_empty());
    let named = event.zip(std::str::from_utf8(bytes).ok());
    named.ok_or_else(|| ApiError::new(Code::BadRequest, "The body is not an event of Stripe."))
}

/// Refuses what happened in test mode where real money is meant, and the other way round.
fn check_mode(services: &Services, event: &Event) -> ApiResult<()> {
    let ours = services.stripe.as_ref().and_then(|stripe| stripe.livemode());
    match (ours, event.livemode) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            tracing::warn!(stripe.event = %event.id, stripe.livemode = theirs, "of the other mode, so it was refused");
            Err(ApiError::new(Code::BadRequest, "The event is of another mode than the key to Stripe."))
        }
        _ => Ok(()),
    }
}
