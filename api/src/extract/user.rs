//! Who asks. Naming one of these in a handler is what makes it safe: the check cannot be forgotten.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use shared::domain::tier::{Limits, Tier};
use shared::store::credits;
use shared::store::users::{SignedIn, User};
use shared::tokens::Kind;

use crate::App;
use crate::error::{ApiError, Code};
use crate::layers::RateNote;
use crate::limits::{Class, Standing};

/// A signed-in user whose session still runs, within the rate limit of requests.
pub struct CurrentUser {
    /// The account.
    pub user: User,
    /// What the account is entitled to.
    pub tier: Tier,
}

/// A signed-in user with a verified address, within the rate limit of intents.
pub struct Submitter(pub CurrentUser);

impl CurrentUser {
    /// Whether this is an admin.
    pub fn is_admin(&self) -> bool {
        self.user.role == "admin"
    }

    /// 403 until the address is verified.
    pub fn require_verified(&self) -> Result<(), ApiError> {
        if self.user.email_verified {
            return Ok(());
        }
        Err(ApiError::new(Code::EmailNotVerified, "Verify your e-mail address first; we have sent you a link."))
    }

    /// What the audit trail calls this user.
    pub fn actor(&self) -> String {
        let kind = if self.is_admin() { "admin" } else { "user" };
        format!("{kind}:{}", self.user.id)
    }

    /// The limits of the user's tier.
    pub fn limits<'a>(&self, app: &'a App) -> &'a Limits {
        app.services.config.tiers.limits(self.tier)
    }
}

impl FromRequestParts<App> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = authenticate(parts, app).await?;
        let now = app.services.clock.now();
        admit(parts.extensions.get(), app.limiter.admit(current.user.id, Class::Requests, current.limits(app), now))?;
        Ok(current)
    }
}

impl FromRequestParts<App> for Submitter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = authenticate(parts, app).await?;
        current.require_verified()?;
        let now = app.services.clock.now();
        admit(parts.extensions.get(), app.limiter.admit(current.user.id, Class::Intents, current.limits(app), now))?;
        Ok(Self(current))
    }
}

async fn authenticate(parts: &Parts, app: &App) -> Result<CurrentUser, ApiError> {
    let services = &app.services;
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or_else(ApiError::unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::unauthorized());
    }
    let now = services.clock.now();
    let claims = services.tokens.read(token.trim(), Kind::Access, now)?;
    let found = app.sessions.ask(claims.sid).await.ok_or_else(ApiError::stopping)??;
    let found = found.filter(|found| found.user.id == claims.sub).ok_or_else(ApiError::unauthorized)?;
    let SignedIn { user, tier, subscription_status, current_period_end, .. } = found;
    let subscription = subscription_status.zip(current_period_end);
    let runs = subscription.is_some_and(|(status, end)| credits::runs(&status, end, now));
    let tier = tier.filter(|_| runs).unwrap_or(Tier::FreeTrial);
    Ok(CurrentUser { user, tier })
}

/// Notes the standing for the answer's headers; refuses if the window is full.
pub fn admit(note: Option<&RateNote>, standing: Standing) -> Result<(), ApiError> {
    if let Some(note) = note {
        note.set(standing);
    }
    if standing.allowed {
        return Ok(());
    }
    let detail = format!("Rate limit of {} reached; try again in {} s.", standing.limit, standing.reset);
    Err(ApiError::new(Code::RateLimited, detail).retry_after(standing.reset))
}
