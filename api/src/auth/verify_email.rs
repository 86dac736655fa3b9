//! `POST /auth/verify-email`, and the page behind the link in the mail.
//!
//! Opening the link changes nothing, since mail scanners open links; the page's button posts the token.

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::domain::tier::Tier;
use shared::email::{Mail, Welcome};
use shared::job::LinkPurpose;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::{accounts, credits, mails, users};
use shared::tokens;
use utoipa::ToSchema;

use super::{UserBody, throttle};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client};
use crate::page::HtmlPage;
use crate::payments::trial::TrialBody;

/// The token from the mail.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// As it stands in the link.
    token: String,
}

/// The account and its trial, which has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    user: UserBody,
    trial: Option<TrialBody>,
}

/// Verifies the address that the token was sent to, and starts the trial.
#[utoipa::path(post, path = "/auth/verify-email", tag = "Accounts", request_body = VerifyRequest, responses(
    (status = 200, description = "Verified", body = Verified),
    (status = 400, description = "The link is used up or too old, or the body is not JSON"),
    (status = 429, description = "Too many wrong links"),
))]
pub async fn verify_email(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<VerifyRequest>,
) -> ApiResult<Json<Verified>> {
    let services = &app.services;
    let now = services.clock.now();
    let invalid = || ApiError::new(Code::InvalidToken, "This link is used up or too old; ask for a new one.");
    let tries = throttle::link(services, &client.network, now).await?;
    let mut tx = services.db.begin().await?;
    let (purpose, hash) = (LinkPurpose::VerifyEmail.name(), tokens::stored_hash(&request.token));
    let user = users::spend_token(&mut tx, (purpose, &hash), now).await?.ok_or_else(invalid)?;
    users::set_verified(&mut tx, user).await?;
    let user = users::by_id(&mut tx, user).await?.filter(|user| !user.disabled).ok_or_else(invalid)?;
    let event = Event::new(EventKind::EmailVerified, user.actor(), user.id, now);
    account_events::record(&mut tx, &Event { origin: client.origin(), ..event }).await?;
    let terms = services.config.trial;
    let ends_at = now + TimeDelta::days(terms.days);
    let trial = credits::Trial { started_at: now, ends_at, credits_total: terms.credits, credits: terms.credits };
    if credits::start_trial(&mut tx, user.id, &trial).await? {
        let mail = Mail::Welcome(Welcome {
            name: user.full_name.clone(),
            link: services.config.link("/docs"),
            credits: terms.credits,
            trial_ends_at: ends_at,
        });
        mails::put(&mut tx, (user.id, &user.email), &mail, "once", now).await?;
    }
    let tier = accounts::get(&mut tx, user.id).await?.map_or(Tier::FreeTrial, |account| account.entitled(now));
    let trial = credits::trial(&mut tx, user.id).await?.map(|trial| TrialBody::new(&trial, now));
    tx.commit().await?;
    services.queue.wake().await;
    tries.forgive().await;
    Ok(Json(Verified { user: UserBody::new(user, tier), trial }))
}

/// The page behind the link in the verification mail.
#[utoipa::path(get, path = "/auth/verify-email", tag = "Accounts", responses(
    (status = 200, description = "A page with a button", content_type = "text/html"),
))]
pub async fn page() -> HtmlPage {
    HtmlPage(include_str!("verify_email.html"))
}
