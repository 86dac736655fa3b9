//! `POST /auth/signup`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use serde::Deserialize;
use shared::domain::plan::FieldError;
use shared::domain::tier::Tier;
use shared::email::{Mail, VerifyEmail};
use shared::ids::UserId;
use shared::store::users::{self, User};
use shared::store::{StoreResult, Tx, mails};
use shared::tokens;
use utoipa::ToSchema;

use super::{SignedIn, UserBody, is_line, is_username, open_session, password_rules};
use crate::App;
use crate::error::{ApiError, ApiResult, Code, Problem};
use crate::extract::Body;

/// Hours that a verification link is good.
const LINK_HOURS: i64 = 24;

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignupRequest {
    /// The person's address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// 3 to 32 letters, digits, dots, hyphens and underscores.
    #[schema(example = "ada")]
    username: String,
    /// 12 to 256 characters with upper and lower case, a digit and a symbol, not guessable.
    #[schema(example = "Correct-Horse7-Battery")]
    password: String,
    /// The person's name.
    #[schema(example = "Ada Lovelace")]
    full_name: String,
    /// `student`, `employee` or `professional`.
    #[schema(example = "professional")]
    role: String,
    /// The person's organisation.
    organization: Option<String>,
    /// A student's number.
    student_id: Option<String>,
    /// An employee's number.
    employee_id: Option<String>,
}

/// Makes an account and mails a link that verifies its address.
#[utoipa::path(post, path = "/auth/signup", tag = "Accounts", request_body = SignupRequest, responses(
    (status = 201, description = "Signed up and in", body = SignedIn),
    (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
))]
pub async fn signup(
    State(app): State<App>,
    headers: HeaderMap,
    Body { value: request, .. }: Body<SignupRequest>,
) -> ApiResult<(StatusCode, Json<SignedIn>)> {
    let services = &app.services;
    let faults = request.faults();
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    let password_hash = services.passwords.hash(request.password.clone()).await?;
    let now = services.clock.now();
    let user = request.into_user(password_hash, now);
    let mut tx = services.db.begin().await?;
    if !users::insert(&mut tx, &user).await? {
        return Err(ApiError::new(Code::AlreadyExists, "This e-mail address or user name is already in use."));
    }
    send_verification(&mut tx, &app, &user, now).await?;
    let grant = open_session(&mut tx, &user, &headers, now).await?;
    tx.commit().await?;
    services.queue.wake().await;
    let tokens = services.tokens.pair(&grant)?.into();
    Ok((StatusCode::CREATED, Json(SignedIn { tokens, user: UserBody::new(user, Tier::FreeTrial) })))
}

/// Makes a verification token and decides on the mail that carries it.
async fn send_verification(tx: &mut Tx, app: &App, user: &User, now: chrono::DateTime<chrono::Utc>) -> StoreResult<()> {
    let (token, hash) = tokens::random()
        .map_err(|error| shared::store::StoreError::Group(format!("no randomness from the system: {error}")))?;
    let expires_at = now + TimeDelta::hours(LINK_HOURS);
    users::insert_token(tx, user.id, ("verify_email", &hash), now, expires_at).await?;
    let link = app.services.config.link(&format!("/auth/verify-email?token={token}"));
    let mail = Mail::VerifyEmail(VerifyEmail { name: user.full_name.clone(), link, expires_at });
    mails::put(tx, (user.id, &user.email), &mail, &hash, now).await?;
    Ok(())
}

impl SignupRequest {
    fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut check = |right: bool, field: &str, message: &str| {
            if !right {
                faults.push(FieldError::new(field, message));
            }
        };
        let email = self.email.trim();
        check(email.len() <= 254 && shared::email::is_address(email), "email", "must be an e-mail address");
        let username = self.username.trim();
        check(is_username(username), "username", super::USERNAME_RULE);
        let name = self.full_name.trim();
        check(is_line(name, 200) && !name.is_empty(), "full_name", "must be one line of 1 to 200 characters");
        check(
            ["student", "employee", "professional"].contains(&self.role.as_str()),
            "role",
            "must be student, employee or professional",
        );
        for (field, value) in
            [("organization", &self.organization), ("student_id", &self.student_id), ("employee_id", &self.employee_id)]
        {
            check(
                value.as_ref().is_none_or(|text| is_line(text, 200)),
                field,
                "must be one line of at most 200 characters",
            );
        }
        faults.extend(password_rules::check(&self.password, &[email, username, name]));
        faults
    }

    fn into_user(self, password_hash: String, now: chrono::DateTime<chrono::Utc>) -> User {
        User {
            id: UserId::new(now),
            email: self.email.trim().to_owned(),
            username: self.username.trim().to_owned(),
            password_hash,
            full_name: self.full_name.trim().to_owned(),
            role: self.role,
            organization: self.organization,
            student_id: self.student_id,
            employee_id: self.employee_id,
            email_verified: false,
            mfa_enabled: false,
            disabled: false,
            mail_on_finish: false,
            mail_on_failure: true,
            created_at: now,
        }
    }
}
