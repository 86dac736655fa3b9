//! Throttles on guessing. A place is taken before a guess is looked at and given back when it was right, so only wrong
//! guesses count, also of many at the same time. Guesses at one account from one network take turns, so that right
//! ones that are sent at once do not use up each other's tries.
//!
//! Nobody can lock a stranger out: what an account allows in all counts only for networks that it has never been used
//! from, and every network has tries of its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::UserId;
use shared::job::LinkPurpose;
use shared::limiter::Window;
use shared::passwords::PasswordError;
use shared::services::Services;
use shared::store::users;
use shared::tokens;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::App;
use crate::error::{ApiError, ApiResult, Code};

const fn quarter_hour(limit: u32) -> Window {
    Window { length: TimeDelta::minutes(15), limit }
}

/// Wrong passwords for one address from one network.
const ACCOUNT_AND_NETWORK: Window = quarter_hour(5);
/// Wrong passwords from one network, whatever the address. It slows down who tries one password on many accounts, and
/// leaves room for the mistakes of all who share an address, and for as many right ones as are checked at a time.
const NETWORK: Window = quarter_hour(200);
/// Wrong passwords for one address from all networks that it is not known to be used from.
const ACCOUNT_FROM_STRANGERS: Window = quarter_hour(30);
/// Wrong codes of one account from one network.
const CODES: Window = quarter_hour(10);
/// Wrong codes of one account from all networks that it is not known to be used from.
const CODES_FROM_STRANGERS: Window = quarter_hour(30);
/// Wrong passwords of one account that is signed in already.
const CONFIRMATIONS: Window = quarter_hour(10);
/// Wrong links from one network. Nobody guesses one; this bounds what trying costs.
const LINKS: Window = quarter_hour(300);
/// Links by mail that are asked for from one network.
const ASKED_FROM_NETWORK: Window = Window { length: TimeDelta::hours(1), limit: 200 };
/// Links that are mailed to one address.
const MAILED_TO_ADDRESS: Window = Window { length: TimeDelta::hours(1), limit: 5 };

/// How long a guess waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How many turns there are at once; those of different accounts rarely meet.
const GATES: usize = 256;

/// Where guesses of this process take turns.
#[derive(Clone)]
pub struct Gates(Arc<[Arc<Semaphore>]>);

impl Gates {
    /// All open.
    pub fn new() -> Self {
        Self((0..GATES).map(|_| Arc::new(Semaphore::new(1))).collect())
    }

    /// Waits for the turn of a key; 503 if that takes too long.
    async fn enter(&self, key: &str) -> ApiResult<OwnedSemaphorePermit> {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let gate = Arc::clone(&self.0[hash.finish() as usize % GATES]);
        match timeout(TURN, gate.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(PasswordError::Busy.into()),
        }
    }
}

/// Places that a guess has taken. Whoever hangs up before the guess was looked at has used up a try.
#[must_use = "a right guess gives its places back"]
pub struct Tries<'a> {
    services: &'a Services,
    keys: Vec<String>,
    at: DateTime<Utc>,
    /// Held until it is known whether the guess was right.
    turn: Option<OwnedSemaphorePermit>,
}

impl<'a> Tries<'a> {
    /// Takes a place under each key. If one of them has none: 429 with the longest wait of all, and those that were
    /// taken are given back.
    async fn take(
        services: &'a Services,
        wanted: impl IntoIterator<Item = (String, Window)>,
        at: DateTime<Utc>,
    ) -> ApiResult<Self> {
        let mut tries = Self { services, keys: Vec::new(), at, turn: None };
        let mut wait: Option<u64> = None;
        for (key, window) in wanted {
            // After a refusal the others are only asked how long they take, so that what is refused takes nothing.
            let count = u32::from(wait.is_none());
            let standing = services.limiter.admit(&key, &[window], count, at).await;
            if count > 0 && standing.allowed {
                tries.keys.push(key);
            } else if standing.remaining == 0 {
                wait = wait.max(Some(standing.reset));
            }
        }
        let Some(wait) = wait else { return Ok(tries) };
        tries.forgive().await;
        let detail = format!("Too many tries; try again in {wait} s.");
        Err(ApiError::new(Code::RateLimited, detail).retry_after(wait))
    }

    /// Gives the places back if the guess was not looked at, for lack of room: a flood must not use up anybody's tries.
    pub async fn unless_failed<T>(self, checked: Result<T, PasswordError>) -> ApiResult<(Self, T)> {
        match checked {
            Ok(found) => Ok((self, found)),
            Err(error) => {
                self.forgive().await;
                Err(error.into())
            }
        }
    }

    /// Gives the places back: the guess was right.
    pub async fn forgive(self) {
        for key in &self.keys {
            self.services.limiter.release(key, self.at).await;
        }
        // Only now: the next one is to find these places free.
        drop(self.turn);
    }
}

/// For a password to sign in with; `known` says whether the account has been used from this network.
pub async fn sign_in<'a>(
    app: &'a App,
    (email, network, known): (&str, &str, bool),
    at: DateTime<Utc>,
) -> ApiResult<Tries<'a>> {
    let account = hashed(email);
    let here = format!("signin:{account}:{network}");
    let turn = app.gates.enter(&here).await?;
    let wanted = [(here, ACCOUNT_AND_NETWORK), (format!("signin-from:{network}"), NETWORK)];
    let strangers = (!known).then(|| (format!("signin-to:{account}"), ACCOUNT_FROM_STRANGERS));
    let tries = Tries::take(&app.services, wanted.into_iter().chain(strangers), at).await?;
    Ok(Tries { turn: Some(turn), ..tries })
}

/// For a password that confirms what a signed-in user wants.
pub async fn confirmation(services: &Services, user: UserId, at: DateTime<Utc>) -> ApiResult<Tries<'_>> {
    Tries::take(services, [(format!("confirm:{user}"), CONFIRMATIONS)], at).await
}

/// For a code of the second factor, after the right password; `known` as for [`sign_in`]. Whoever has stolen the
/// password must not be able to keep the owner out.
pub async fn second_factor<'a>(
    services: &'a Services,
    (user, network, known): (UserId, &str, bool),
    at: DateTime<Utc>,
) -> ApiResult<Tries<'a>> {
    let strangers = (!known).then(|| (format!("mfa-to:{user}"), CODES_FROM_STRANGERS));
    let here = [(format!("mfa:{user}:{network}"), CODES)];
    Tries::take(services, here.into_iter().chain(strangers), at).await
}

/// For a token out of a mail.
pub async fn link<'a>(services: &'a Services, network: &str, at: DateTime<Utc>) -> ApiResult<Tries<'a>> {
    Tries::take(services, [(format!("link:{network}"), LINKS)], at).await
}

/// Whether a link that is asked for is mailed. That it is not must not be told, so there is no refusal. Links of one
/// purpose leave those of the other alone: whoever asks for many of one sort cannot keep the owner from the other.
pub async fn may_ask_for_link(
    services: &Services,
    (email, purpose): (&str, LinkPurpose),
    network: &str,
    at: DateTime<Utc>,
) -> bool {
    let asked = [
        (format!("ask:{network}"), ASKED_FROM_NETWORK),
        (format!("mailed:{}:{}", purpose.name(), hashed(email)), MAILED_TO_ADDRESS),
    ];
    Tries::take(services, asked, at).await.is_ok()
}

/// Keys hold no text that strangers choose, and no addresses of people.
fn hashed(email: &str) -> String {
    let mut hash = tokens::sha256_hex(users::key(email).as_bytes());
    hash.truncate(32);
    hash
}
