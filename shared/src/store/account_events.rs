//! The account audit: what was done to accounts, by whom and from where. Entries are only ever added; when an account
//! is closed, where its owner was is blanked.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{StoreResult, Tx};
use crate::ids::{self, SessionId, UserId};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EventKind { $($(#[$doc])* $kind),+ }

        impl EventKind {
            /// Its name in the table and in answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

kinds! {
    /// An account was made.
    SignedUp = "signed_up",
    /// A session began.
    SignedIn = "signed_in",
    /// A wrong address, password or code.
    SignInFailed = "sign_in_failed",
    /// A session was ended with its refresh token.
    SignedOut = "signed_out",
    /// All sessions were ended at once.
    SignedOutEverywhere = "signed_out_everywhere",
    /// A session was ended from a list.
    SessionRevoked = "session_revoked",
    /// A spent refresh token came again, and its session was ended.
    TokenReused = "token_reused",
    /// The address was shown to be its owner's.
    EmailVerified = "email_verified",
    /// A link to verify the address was asked for.
    VerificationRequested = "verification_requested",
    /// A link to reset the password was asked for.
    ResetRequested = "reset_requested",
    /// The password was reset with a link.
    PasswordReset = "password_reset",
    /// The password was changed with the old one.
    PasswordChanged = "password_changed",
    /// The owner changed the profile.
    ProfileChanged = "profile_changed",
    /// An admin changed the account.
    ChangedByAdmin = "changed_by_admin",
    /// The account was made an admin's, or stopped being one.
    RoleChanged = "role_changed",
    /// An admin shut the account.
    Disabled = "disabled",
    /// An admin opened the account again.
    Enabled = "enabled",
    /// The account was closed.
    Deleted = "deleted",
    /// The second factor was turned on.
    MfaEnabled = "mfa_enabled",
    /// The second factor was turned off.
    MfaDisabled = "mfa_disabled",
    /// New backup codes replaced the old ones.
    BackupCodesReplaced = "backup_codes_replaced",
    /// A backup code was used up.
    BackupCodeUsed = "backup_code_used",
    /// Credits were granted by the operator.
    CreditsGranted = "credits_granted",
    /// An admin found the money of a payment at the bank.
    PaymentConfirmed = "payment_confirmed",
    /// An admin moved the end of a trial, or gave credits with that.
    TrialExtended = "trial_extended",
    /// An admin changed a subscription, or gave one.
    SubscriptionAdjusted = "subscription_adjusted",
    /// An admin gave money back, or noted that it was given back.
    PaymentRefunded = "payment_refunded",
    /// An admin had something that Stripe told applied again.
    StripeEventReplayed = "stripe_event_replayed",
}

/// Where somebody was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The network address.
    pub address: Option<String>,
    /// What the client says it is.
    pub agent: Option<String>,
}

impl Origin {
    /// The address, ready to show.
    pub fn shown_address(&self) -> String {
        self.address.clone().unwrap_or_else(|| "unknown".to_owned())
    }

    /// The device, ready to show.
    pub fn shown_device(&self) -> String {
        self.agent.clone().unwrap_or_else(|| "unknown".to_owned())
    }
}

/// One thing that was done.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// By whom: `user:ID`, `admin:ID`, `operator`, or `anonymous`.
    pub actor: String,
    /// To which account, if it is known.
    pub user: Option<UserId>,
    /// In which session.
    pub session: Option<SessionId>,
    /// From where.
    pub origin: Origin,
    /// What else there is to say, an object. Never a secret.
    pub detail: Value,
    /// When.
    pub at: DateTime<Utc>,
}

impl Event {
    /// Something that was done to an account, with nothing else to say.
    pub fn new(kind: EventKind, actor: String, user: UserId, at: DateTime<Utc>) -> Self {
        let detail = Value::Object(serde_json::Map::new());
        Self { kind, actor, user: Some(user), session: None, origin: Origin::default(), detail, at }
    }
}

/// Adds an event.
pub async fn record(tx: &mut Tx, event: &Event) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into account_events (id, at, kind, actor, user_id, session_id, address, user_agent, detail)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(ids::new(event.at))
        .bind(event.at)
        .bind(event.kind.name())
        .bind(&event.actor)
        .bind(event.user)
        .bind(event.session)
        .bind(&event.origin.address)
        .bind(&event.origin.agent)
        .bind(Json(&event.detail))
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// An event as it was stored.
#[derive(Debug, Clone, FromRow)]
pub struct Stored {
    /// Its id; later events have greater ones.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: String,
    /// By whom.
    pub actor: String,
    /// To which account.
    pub user_id: Option<UserId>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// From which address.
    pub address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// What else there is to say.
    #[sqlx(json)]
    pub detail: Value,
}

/// Which events to read; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this account.
    pub user: Option<UserId>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those by this actor.
    pub actor: Option<String>,
    /// Those before this one.
    pub before: Option<Uuid>,
}

/// Reads events, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<Stored>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, at, kind, actor, user_id, session_id, address, user_agent, detail from account_events
             where (cast($1 as uuid) is null or user_id = $1) and (cast($2 as text) is null or kind = $2)
             and (cast($3 as text) is null or actor = $3) and (cast($4 as uuid) is null or id < $4)
             order by id desc limit $5",
        )
        .bind(filter.user)
        .bind(&filter.kind)
        .bind(&filter.actor)
        .bind(filter.before)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Forgets where the owner of an account was, and whoever claimed to be; where other admins were stays.
pub async fn anonymise(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "update account_events set address = null, user_agent = null
             where actor = $2 or (user_id = $1 and actor not like 'admin:%')",
        )
        .bind(user)
        .bind(format!("admin:{user}"))
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}
