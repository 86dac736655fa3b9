//! `POST /auth/signup`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::account_links;
use shared::domain::plan::FieldError;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::job::LinkPurpose;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::users::{self, User};
use utoipa::ToSchema;

use super::{SignedIn, UserBody, is_line, is_username, open_session};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client};

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignupRequest {
    /// The person's address.
    #[serde(default)]
    #[schema(required = true, example = "ada@example.com", format = "email", max_length = 254)]
    email: String,
    /// 3 to 32 letters, digits, dots, hyphens and underscores.
    #[serde(default)]
    #[schema(required = true, example = "ada", pattern = "^[A-Za-z0-9._-]{3,32}$")]
    username: String,
    /// 12 to 256 characters with upper and lower case, a digit and a symbol, not guessable.
    #[serde(default)]
    #[schema(required = true, example = "Correct-Horse7-Battery", min_length = 12, max_length = 256)]
    password: String,
    /// The person's name.
    #[serde(default)]
    #[schema(required = true, example = "Ada Lovelace", min_length = 1, max_length = 200)]
    full_name: String,
    /// `student`, `employee` or `professional`.
    #[serde(default)]
    #[schema(required = true, example = "professional", pattern = "^(student|employee|professional)$")]
    role: String,
    /// The person's organisation.
    #[schema(max_length = 200)]
    organization: Option<String>,
    /// A student's number.
    #[schema(max_length = 200)]
    student_id: Option<String>,
    /// An employee's number.
    #[schema(max_length = 200)]
    employee_id: Option<String>,
}

/// Makes an account and mails a link that verifies its address.
#[utoipa::path(post, path = "/auth/signup", tag = "Accounts", request_body = SignupRequest, responses(
    (status = 201, description = "Signed up and in", body = SignedIn),
    (status = 409, description = "The address or the user name is in use"),
))]
pub async fn signup(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<SignupRequest>,
) -> ApiResult<(StatusCode, Json<SignedIn>)> {
    let services = &app.services;
    services.passwords.ensure_room()?;
    let mut faults = request.faults();
    let about = [request.email.clone(), request.username.clone(), request.full_name.clone()];
    faults.extend(services.passwords.faults("password", request.password.clone(), about).await?);
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
    account_links::send(&mut tx, &services.config, (&user, LinkPurpose::VerifyEmail), now).await?;
    let grant = open_session(&mut tx, &user, &client, now).await?;
    let event = Event::new(EventKind::SignedUp, user.actor(), user.id, now);
    let event = Event { session: Some(grant.session), origin: client.origin(), ..event };
    account_events::record(&mut tx, &event).await?;
    tx.commit().await?;
    services.queue.wake().await;
    let tokens = services.tokens.pair(&grant)?.into();
    Ok((StatusCode::CREATED, Json(SignedIn { tokens, user: UserBody::new(user, Tier::FreeTrial) })))
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
            mail_on_signin: true,
            created_at: now,
            deleted_at: None,
        }
    }
}
