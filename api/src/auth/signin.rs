//! `POST /auth/signin`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use shared::domain::tier::Tier;
use shared::store::{credits, users};
use utoipa::ToSchema;

use super::{SignedIn, UserBody, open_session};
use crate::App;
use crate::error::{ApiError, ApiResult, Code, Problem};
use crate::extract::Body;

/// Who wants to sign in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SigninRequest {
    /// The account's address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// Its password.
    #[schema(example = "Correct-Horse7-Battery")]
    password: String,
}

/// Signs in.
#[utoipa::path(post, path = "/auth/signin", tag = "Accounts", request_body = SigninRequest, responses(
    (status = 200, description = "Signed in", body = SignedIn),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn signin(
    State(app): State<App>,
    headers: HeaderMap,
    Body { value: request, .. }: Body<SigninRequest>,
) -> ApiResult<Json<SignedIn>> {
    let services = &app.services;
    let mut reader = services.db.read().await?;
    let user = users::by_email(&mut reader, &request.email).await?;
    drop(reader);
    let wrong = || ApiError::new(Code::InvalidCredentials, "The e-mail address or the password is wrong.");
    // No account has a longer password, and hashing is not free.
    let password = if request.password.chars().count() > 256 { String::new() } else { request.password };
    // Unknown accounts cost the same work, so that the time tells nothing.
    let right = services.passwords.verify(password, user.as_ref().map(|user| user.password_hash.clone())).await?;
    let user = user.filter(|user| right && !user.disabled).ok_or_else(wrong)?;
    let now = services.clock.now();
    let mut tx = services.db.begin().await?;
    let grant = open_session(&mut tx, &user, &headers, now).await?;
    let subscription = credits::subscription(&mut tx, user.id).await?;
    tx.commit().await?;
    let tier = subscription.filter(|s| s.runs(now)).map_or(Tier::FreeTrial, |s| s.tier);
    Ok(Json(SignedIn { tokens: services.tokens.pair(&grant)?.into(), user: UserBody::new(user, tier) }))
}
