//! `POST /auth/forgot-password` and `POST /auth/resend-verification`
//!
//! Both do the same work whether or not somebody has the address: the account is looked up by a job.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::domain::plan::FieldError;
use shared::ids;
use shared::job::{Job, LinkPurpose};
use shared::store::outbox;
use utoipa::ToSchema;

use super::throttle;
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Body, Client};

/// An address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressRequest {
    /// The account's address.
    #[schema(example = "ada@example.com", format = "email", max_length = 254)]
    email: String,
}

/// Mails a link that resets the password, if the address has an account. The answer is the same if it has none.
#[utoipa::path(post, path = "/auth/forgot-password", tag = "Accounts", request_body = AddressRequest, responses(
    (status = 202, description = "If there is such an account, a mail is on its way"),
    (status = 429, description = "Too many were asked for"),
))]
pub async fn forgot_password(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<AddressRequest>,
) -> ApiResult<StatusCode> {
    ask(&app, &client, request, LinkPurpose::ResetPassword).await
}

/// Mails another link that verifies the address, if it has an account that needs one. The answer is the same if not.
#[utoipa::path(post, path = "/auth/resend-verification", tag = "Accounts", request_body = AddressRequest, responses(
    (status = 202, description = "If there is such an account, a mail is on its way"),
    (status = 429, description = "Too many were asked for"),
))]
pub async fn resend_verification(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<AddressRequest>,
) -> ApiResult<StatusCode> {
    ask(&app, &client, request, LinkPurpose::VerifyEmail).await
}

async fn ask(app: &App, client: &Client, request: AddressRequest, purpose: LinkPurpose) -> ApiResult<StatusCode> {
    let services = &app.services;
    let email = request.email.trim().to_owned();
    if email.len() > 254 || !shared::email::is_address(&email) {
        return Err(ApiError::invalid(vec![FieldError::new("email", "must be an e-mail address")]));
    }
    let now = services.clock.now();
    if throttle::may_ask_for_link(services, (&email, purpose), &client.network, now).await {
        let mut tx = services.db.begin().await?;
        outbox::put(&mut tx, &[(Job::AccountLink { id: ids::new(now), email, purpose }, now)]).await?;
        tx.commit().await?;
        services.queue.wake().await;
    }
    Ok(StatusCode::ACCEPTED)
}
