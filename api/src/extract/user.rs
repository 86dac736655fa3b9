//! Who asks. Naming one of these in a handler is what makes it safe: the check cannot be forgotten.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use shared::domain::tier::{Limits, Tier};
use shared::ids::SessionId;
use shared::limiter::Standing;
use shared::store::account_events::{Event, EventKind};
use shared::store::users::User;
use shared::tokens::Kind;

use super::{Client, claims};
use crate::App;
use crate::error::{ApiError, Code};
use crate::layers::RateNote;
use crate::limits::Class;

/// A signed-in user whose session still runs, within the rate limit of requests.
pub struct CurrentUser {
    /// The session.
    pub session: SessionId,
    /// The account.
    pub user: User,
    /// What the account is entitled to.
    pub tier: Tier,
}

/// A signed-in admin, within the rate limit of requests.
pub struct Admin(pub CurrentUser);

/// A signed-in user with a verified address, within the rate limit of intents.
pub struct Submitter(pub CurrentUser);

impl CurrentUser {
    /// 403 until the address is verified.
    pub fn require_verified(&self) -> Result<(), ApiError> {
        if self.user.email_verified {
            return Ok(());
        }
        Err(ApiError::new(Code::EmailNotVerified, "Verify your e-mail address first; we have sent you a link."))
    }

    /// Something that this user does to their own account.
    pub fn event(&self, kind: EventKind, client: &Client, now: DateTime<Utc>) -> Event {
        let event = Event::new(kind, self.user.actor(), self.user.id, now);
        Event { session: Some(self.session), origin: client.origin(), ..event }
    }

    /// The limits of the user's tier.
    pub fn limits<'a>(&self, app: &'a App) -> &'a Limits {
        app.services.config.tiers.limits(self.tier)
    }

    /// Counts `count` against the user's rate limit of that class: all of them are let in, or none.
    pub async fn count(&self, app: &App, class: Class, count: u32, now: DateTime<Utc>) -> Standing {
        // Admins look at everybody's data; what they submit counts as anybody's.
        let limits = match class {
            Class::Requests if self.user.is_admin() => app.services.config.tiers.limits(Tier::Enterprise),
            _ => self.limits(app),
        };
        let (key, windows) = (class.key(self.user.id), class.windows(limits));
        app.services.limiter.admit(&key, &windows, count, now).await
    }
}

impl FromRequestParts<App> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = authenticate(parts, app).await?;
        let standing = current.count(app, Class::Requests, 1, app.services.clock.now()).await;
        admit(parts.extensions.get(), standing)?;
        Ok(current)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = CurrentUser::from_request_parts(parts, app).await?;
        if current.user.is_admin() {
            return Ok(Self(current));
        }
        Err(ApiError::new(Code::Forbidden, "Only admins may do this."))
    }
}

impl FromRequestParts<App> for Submitter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let current = authenticate(parts, app).await?;
        current.require_verified()?;
        let standing = current.count(app, Class::Intents, 1, app.services.clock.now()).await;
        admit(parts.extensions.get(), standing)?;
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
    let claims = claims(services, token.trim(), Kind::Access, now).await?;
    let found = app.sessions.ask(claims.sid).await.ok_or_else(ApiError::stopping)??;
    let found = found.filter(|found| found.account.user.id == claims.sub).ok_or_else(ApiError::unauthorized)?;
    let tier = found.account.entitled(now);
    Ok(CurrentUser { session: claims.sid, user: found.account.user, tier })
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
