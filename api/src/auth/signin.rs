//! `POST /auth/signin`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::domain::tier::Tier;
use shared::email::{Mail, NewSignIn};
use shared::ids::UserId;
use shared::password_rules;
use shared::passwords::Passwords;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::sessions::{self, Familiar};
use shared::store::users::{self, User};
use shared::store::{StoreResult, Tx, credits, mails};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{SignedIn, UserBody, mfa, open_session, throttle};
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, Client};

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
    /// With a second factor: a code of the app, or a backup code.
    mfa_code: Option<String>,
}

/// Signs in.
#[utoipa::path(post, path = "/auth/signin", tag = "Accounts", request_body = SigninRequest, responses(
    (status = 200, description = "Signed in", body = SignedIn),
    (status = 401, description = "The address, the password or the code is wrong, or a code is missing"),
    (status = 429, description = "Too many wrong passwords or codes"),
))]
pub async fn signin(
    State(app): State<App>,
    client: Client,
    Body { value: request, .. }: Body<SigninRequest>,
) -> ApiResult<Json<SignedIn>> {
    let services = &app.services;
    services.passwords.ensure_room()?;
    let now = services.clock.now();
    let (user, familiar) = look_up(&app, &request.email, &client).await?;
    let tries = throttle::sign_in(&app, (&request.email, &client.network, familiar.network), now).await?;
    let password = password_rules::claimed(request.password.clone());
    // Unknown accounts cost the same work, so that the time tells nothing.
    let checked = services.passwords.verify(password, user.as_ref().map(|user| user.password_hash.clone())).await;
    let (tries, right) = tries.unless_failed(checked).await?;
    let Some(user) = user.as_ref().filter(|user| right && !user.disabled) else {
        drop(tries);
        note_failure(&app, user.as_ref(), &client, now).await?;
        return Err(wrong());
    };
    tries.forgive().await;
    check_second_factor(&app, (user, familiar.network), (&client, request.mfa_code), now).await?;
    let mut tx = unchanged(&app, user, request.password).await?.ok_or_else(wrong)?;
    let grant = open_session(&mut tx, user, &client, now).await?;
    let event = Event::new(EventKind::SignedIn, user.actor(), user.id, now);
    let event = Event { session: Some(grant.session), origin: client.origin(), ..event };
    account_events::record(&mut tx, &event).await?;
    if !familiar.agent && user.mail_on_signin {
        tell(&mut tx, &app, user, &event).await?;
    }
    let subscription = credits::subscription(&mut tx, user.id).await?;
    tx.commit().await?;
    services.queue.wake().await;
    let tier = subscription.filter(|s| s.runs(now)).map_or(Tier::FreeTrial, |s| s.tier);
    Ok(Json(SignedIn { tokens: services.tokens.pair(&grant)?.into(), user: UserBody::new(user.clone(), tier) }))
}

fn wrong() -> ApiError {
    ApiError::new(Code::InvalidCredentials, "The e-mail address or the password is wrong.")
}

/// The account of an address, and what is known of whoever asks for it.
async fn look_up(app: &App, email: &str, client: &Client) -> StoreResult<(Option<User>, Familiar)> {
    let mut reader = app.services.db.read().await?;
    let user = users::by_email(&mut reader, email).await?;
    // Without an account, the same questions about nobody.
    let id = user.as_ref().map_or(UserId(Uuid::nil()), |user| user.id);
    let familiar = sessions::familiar(&mut reader, id, &client.network, client.agent.as_deref()).await?;
    Ok((user, familiar))
}

/// A transaction in which the account is as it was when its password was found right, and stays so; none if it is not.
/// Whoever changed the password or shut the account meanwhile has ended the sessions that there were.
///
/// A hash that is weaker than those of today is replaced on the way, since now the password is at hand.
async fn unchanged(app: &App, user: &User, password: String) -> ApiResult<Option<Tx>> {
    let (db, passwords) = (&app.services.db, &app.services.passwords);
    let mut hash = user.password_hash.clone();
    loop {
        let outdated = Passwords::is_outdated(&hash);
        // Nobody is sent away for lack of room for this; it can be done the next time.
        let fresh = if outdated { passwords.hash(password.clone()).await.ok() } else { None };
        let mut tx = db.begin().await?;
        let stored = users::lock(&mut tx, user.id).await?.filter(|stored| !stored.disabled);
        let Some(stored) = stored else { return Ok(None) };
        if stored.password_hash == hash {
            if let Some(fresh) = fresh {
                users::set_password(&mut tx, user.id, &fresh).await?;
            }
            return Ok(Some(tx));
        }
        // No hashing while others wait for the row.
        drop(tx);
        // Either the password is another one, or who signed in at the same time has replaced the hash.
        if !passwords.verify(password.clone(), Some(stored.password_hash.clone())).await? {
            return Ok(None);
        }
        hash = stored.password_hash;
    }
}

/// Refuses unless the code is right, if the account asks for one.
async fn check_second_factor(
    app: &App,
    (user, known): (&User, bool),
    (client, code): (&Client, Option<String>),
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if !user.mfa_enabled {
        return Ok(());
    }
    let Some(code) = code else {
        return Err(ApiError::new(Code::MfaRequired, "Send the code that your authenticator app shows as mfa_code."));
    };
    if mfa::check(&app.services, (user, &code), (&client.network, known), now).await? {
        return Ok(());
    }
    note_failure(app, Some(user), client, now).await?;
    Err(ApiError::new(Code::InvalidMfaCode, "The code is wrong, too old or was used before."))
}

async fn note_failure(app: &App, user: Option<&User>, client: &Client, now: DateTime<Utc>) -> StoreResult<()> {
    let event = Event {
        kind: EventKind::SignInFailed,
        actor: "anonymous".to_owned(),
        user: user.map(|user| user.id),
        session: None,
        origin: client.origin(),
        detail: serde_json::json!({}),
        at: now,
    };
    let mut tx = app.services.db.begin().await?;
    account_events::record(&mut tx, &event).await?;
    tx.commit().await
}

/// Mails that somebody signed in with a client that was never used before.
async fn tell(tx: &mut Tx, app: &App, user: &User, event: &Event) -> StoreResult<()> {
    let mail = Mail::NewSignIn(NewSignIn {
        name: user.full_name.clone(),
        at: event.at,
        address: event.origin.shown_address(),
        device: event.origin.shown_device(),
        link: app.services.config.link("/auth/reset-password"),
    });
    let occasion = event.session.map_or_else(|| event.at.to_rfc3339(), |session| session.to_string());
    mails::put(tx, (user.id, &user.email), &mail, &occasion, event.at).await?;
    Ok(())
}
