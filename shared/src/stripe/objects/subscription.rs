//! What Stripe says about subscriptions.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{List, MaybeInvoice, Named, Object, or_default, time};

/// A subscription.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub customer: Option<Named>,
    /// Where it stands, as Stripe names it.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub items: List<Item>,
    /// Whether it ends with the period.
    #[serde(default, deserialize_with = "or_default")]
    pub cancel_at_period_end: bool,
    /// The plan for what it becomes.
    pub schedule: Option<Named>,
    /// The newest invoice; whole, if it was asked for.
    pub latest_invoice: Option<MaybeInvoice>,
    /// When it ends by itself; how newer pages of Stripe say that it ends with the period.
    cancel_at: Option<i64>,
    /// Where the period was until 2025-03-31.
    current_period_start: Option<i64>,
    /// Where the period was until 2025-03-31.
    current_period_end: Option<i64>,
}

/// What a subscription is for.
#[derive(Debug, Clone, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    price: Option<Object>,
    plan: Option<Object>,
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

impl Item {
    /// The id of its price; a plan of old is one.
    pub fn price(&self) -> Option<&str> {
        self.price.as_ref().or(self.plan.as_ref()).map(|price| price.id.as_str())
    }
}

impl Subscription {
    /// What it is for; we sell one thing at a time.
    pub fn item(&self) -> Option<&Item> {
        self.items.data.first()
    }

    /// The period that is billed, from its start to its end.
    pub fn period(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let item = self.item();
        let start = item.and_then(|item| item.current_period_start).or(self.current_period_start)?;
        let end = item.and_then(|item| item.current_period_end).or(self.current_period_end)?;
        Some((time(start)?, time(end)?))
    }

    /// Whether it ends with the period instead of being renewed, in whichever way that was said.
    pub fn ends_with_period(&self) -> bool {
        let end = self.period().map(|(_, end)| end);
        let stops_by = self.cancel_at.and_then(time).zip(end).is_some_and(|(stop, end)| stop <= end);
        self.cancel_at_period_end || stops_by
    }

    /// Whether it goes on: it is paid for, or Stripe still tries to get it paid.
    pub fn is_live(&self) -> bool {
        !matches!(self.status.as_str(), "canceled" | "incomplete_expired" | "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_period_is_found_where_each_version_has_it() {
        let item =
            json!({"id": "si_1", "price": {"id": "price_1"}, "current_period_start": 100, "current_period_end": 200});
        let new: Subscription = serde_json::from_value(json!({"id": "sub_1", "items": {"data": [item]}})).unwrap();
        let old: Subscription = serde_json::from_value(json!({
            "id": "sub_1", "current_period_start": 100, "current_period_end": 200,
            "items": {"data": [{"id": "si_1", "plan": {"id": "price_1"}}]},
        }))
        .unwrap();
        for subscription in [new, old] {
            assert_eq!(subscription.period(), time(100).zip(time(200)));
            assert_eq!(subscription.item().and_then(Item::price), Some("price_1"));
        }
    }

    #[test]
    fn a_subscription_ends_with_its_period_in_whichever_way_that_is_said() {
        let item = json!({"id": "si_1", "current_period_start": 100, "current_period_end": 200});
        for (flag, cancel_at, ends) in
            [(false, None, false), (true, None, true), (false, Some(200), true), (false, Some(201), false)]
        {
            let subscription: Subscription = serde_json::from_value(json!({
                "id": "sub_1", "items": {"data": [item]}, "cancel_at_period_end": flag, "cancel_at": cancel_at,
            }))
            .unwrap();
            assert_eq!(subscription.ends_with_period(), ends, "{flag} {cancel_at:?}");
        }
    }
}
