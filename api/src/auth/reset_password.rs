//! `POST /auth/reset-password`, and the page behind the link in the mail.
//!
//! Opening the link changes nothing, since mail scanners open links; the page's form posts the token.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::email::{Mail, PasswordChanged};
use shared::job::LinkPurpose;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::users::User;
use shared::store::{StoreResult, Tx, mails, sessions, users};
use shared::tokens;
use utoipa::ToSchema;

use super::throttle;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client};
use crate::page::HtmlPage;

/// The token from the mail, and the password that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// As it stands in the link.
    token: String,
    /// 12 to 256 characters with upper and lower case, a digit and a symbol, not guessable.
    #[schema(example = "Correct-Horse7-Battery", min_length = 12, max_length = 256)]
    new_password: String,
}

/// One sentence for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// What was done.
    pub message: &'static str,
}

/// Gives the account of a link another password, and ends all of its sessions.
#[utoipa::path(post, path = "/auth/reset-password", tag = "Accounts", request_body = ResetRequest, responses(
    (status = 200, description = "The password is changed", body = Done),
    (status = 400, description = "The link is used up or too old, or the body is not JSON"),
    (status = 429, description = "Too many wrong links"),
))]
pub async fn reset_password(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<ResetRequest>,
) -> ApiResult<Json<Done>> {
    let services = &app.services;
    let now = services.clock.now();
    let tries = throttle::link(services, &client.network, now).await?;
    let (purpose, hash) = (LinkPurpose::ResetPassword.name(), tokens::stored_hash(&request.token));
    let invalid = || ApiError::new(Code::InvalidToken, "This link is used up or too old; ask for a new one.");
    let mut reader = services.db.read().await?;
    let user = users::token_owner(&mut reader, (purpose, &hash), now).await?.ok_or_else(invalid)?;
    drop(reader);
    tries.forgive().await;
    // Before the link is spent: a password that is refused can be chosen again.
    let about = user.about().map(str::to_owned);
    let faults = services.passwords.faults("new_password", request.new_password.clone(), about).await?;
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    let password_hash = services.passwords.hash(request.new_password).await?;
    let mut tx = services.db.begin().await?;
    // Links of one account that are used at the same time are dealt with one after the other.
    users::lock(&mut tx, user.id).await?.filter(|user| !user.disabled).ok_or_else(invalid)?;
    users::spend_token(&mut tx, (purpose, &hash), now).await?.filter(|id| *id == user.id).ok_or_else(invalid)?;
    users::set_password(&mut tx, user.id, &password_hash).await?;
    users::spend_tokens(&mut tx, user.id, purpose, now).await?;
    sessions::revoke_all(&mut tx, user.id, None, "password reset", now).await?;
    let event = Event { origin: client.origin(), ..Event::new(EventKind::PasswordReset, user.actor(), user.id, now) };
    account_events::record(&mut tx, &event).await?;
    tell(&mut tx, &app, &user, &event).await?;
    tx.commit().await?;
    services.queue.wake().await;
    Ok(Json(Done { message: "The password is changed. Sign in with it." }))
}

/// Mails that the password was changed.
pub async fn tell(tx: &mut Tx, app: &App, user: &User, event: &Event) -> StoreResult<()> {
    let mail = Mail::PasswordChanged(PasswordChanged {
        name: user.full_name.clone(),
        at: event.at,
        address: event.origin.shown_address(),
        device: event.origin.shown_device(),
        link: app.services.config.link("/auth/reset-password"),
    });
    mails::put(tx, (user.id, &user.email), &mail, &event.at.to_rfc3339(), event.at).await?;
    Ok(())
}

/// The page behind the link in the mail.
#[utoipa::path(get, path = "/auth/reset-password", tag = "Accounts", responses(
    (status = 200, description = "A page with a form", content_type = "text/html"),
))]
pub async fn page() -> HtmlPage {
    HtmlPage(include_str!("reset_password.html"))
}
