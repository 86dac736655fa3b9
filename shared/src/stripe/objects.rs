//! What Stripe answers, as far as we look at it.
//!
//! A field that is missing, new or of another version must not lose a payment: everything but ids may be absent, states
//! stay text, and what moved between versions is found in both places. Times are seconds since 1970, amounts are minor
//! units of the currency, as Stripe counts them.

mod event;
mod invoice;
mod schedule;
mod subscription;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

pub use self::event::Event;
pub use self::invoice::{Invoice, MaybeInvoice, Transitions};
pub use self::schedule::{Phase, PhaseItem, Schedule};
pub use self::subscription::{Item, Subscription};

/// A value; null is the same as absent.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// What is on it.
    #[serde(default = "Vec::new")]
    pub data: Vec<T>,
    /// Whether there are more pages.
    #[serde(default, deserialize_with = "or_default")]
    pub has_more: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { data: Vec::new(), has_more: false }
    }
}

/// An object that is named by its id, or given as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(pub String);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Id(String),
            Whole { id: String },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Id(id) | Either::Whole { id } => Self(id),
        })
    }
}

/// Any object of which only the id matters.
#[derive(Debug, Clone, Deserialize)]
pub struct Object {
    /// Its id.
    pub id: String,
}

/// A price.
#[derive(Debug, Clone, Deserialize)]
pub struct Price {
    /// Its id.
    pub id: String,
    /// The name that we gave it.
    pub lookup_key: Option<String>,
    /// What one costs.
    pub unit_amount: Option<i64>,
    /// In which currency, in small letters.
    pub currency: Option<String>,
}

/// A page of Stripe where something is paid.
#[derive(Debug, Clone, Deserialize)]
pub struct CheckoutSession {
    /// Its id.
    pub id: String,
    /// Who pays.
    pub customer: Option<Named>,
    /// Its address, while it is open.
    pub url: Option<String>,
    /// `open`, `complete` or `expired`.
    pub status: Option<String>,
    /// `paid`, `unpaid` or `no_payment_required`.
    pub payment_status: Option<String>,
    /// What is or was paid.
    pub amount_total: Option<i64>,
    /// In which currency, in small letters.
    pub currency: Option<String>,
    /// The payment.
    pub payment_intent: Option<Named>,
}

/// The pages where a customer looks after payments.
#[derive(Debug, Clone, Deserialize)]
pub struct Portal {
    /// Where they begin, for a short time.
    pub url: String,
}

/// Money that was given back.
#[derive(Debug, Clone, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: String,
    /// How much.
    #[serde(default, deserialize_with = "or_default")]
    pub amount: i64,
    /// In which currency, in small letters.
    #[serde(default, deserialize_with = "or_default")]
    pub currency: String,
    /// `pending`, `requires_action`, `succeeded`, `failed` or `canceled`.
    pub status: Option<String>,
    /// The payment that it was made of.
    pub payment_intent: Option<Named>,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// What we wrote on it.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
}

/// A time of Stripe; none if there is no such time.
pub fn time(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}
