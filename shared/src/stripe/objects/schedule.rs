//! What Stripe says about the phases of a subscription.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Named, or_default};

/// The plan for what a subscription becomes.
#[derive(Debug, Clone, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// `not_started`, `active`, `completed`, `released` or `canceled`.
    pub status: Option<String>,
    /// What follows what.
    #[serde(default, deserialize_with = "or_default")]
    pub phases: Vec<Phase>,
    current_phase: Option<Span>,
}

#[derive(Debug, Clone, Deserialize)]
struct Span {
    start_date: i64,
}

/// What a subscription is for, for some time.
#[derive(Debug, Clone, Deserialize)]
pub struct Phase {
    /// When it begins.
    #[serde(default, deserialize_with = "or_default")]
    pub start_date: i64,
    /// When it ends.
    pub end_date: Option<i64>,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub items: Vec<PhaseItem>,
    /// What it is paid with, if the phase says so.
    pub default_payment_method: Option<Named>,
}

/// What a phase is for.
#[derive(Debug, Clone, Deserialize)]
pub struct PhaseItem {
    price: Option<Named>,
    plan: Option<Named>,
    /// How many.
    pub quantity: Option<u64>,
}

impl PhaseItem {
    /// The id of its price; a plan of old is one.
    pub fn price(&self) -> Option<&str> {
        self.price.as_ref().or(self.plan.as_ref()).map(|price| price.0.as_str())
    }
}

impl Schedule {
    /// The phase that goes on, or the first one.
    pub fn current(&self) -> Option<&Phase> {
        let start = self.current_phase.as_ref().map(|span| span.start_date);
        let goes_on = self.phases.iter().find(|phase| start == Some(phase.start_date));
        goes_on.or(self.phases.first())
    }

    /// The price that the subscription changes to after `now`, if a change is planned.
    pub fn next_price(&self, now: DateTime<Utc>) -> Option<&str> {
        if matches!(self.status.as_deref(), Some("completed" | "released" | "canceled")) {
            return None;
        }
        let later = self.phases.iter().filter(|phase| phase.start_date > now.timestamp());
        later.min_by_key(|phase| phase.start_date)?.items.first()?.price()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn schedule(status: &str, current: &Value) -> Schedule {
        serde_json::from_value(json!({
            "id": "sub_sched_1", "status": status, "current_phase": current,
            "phases": [
                {"start_date": 100, "end_date": 200, "items": [{"price": "price_1", "plan": "price_1"}]},
                {"start_date": 200, "end_date": 300, "items": [{"price": {"id": "price_2"}}]},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_change_is_planned_until_its_phase_begins_or_the_schedule_is_over() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let active = schedule("active", &Value::Null);
        assert_eq!(active.next_price(at(50)), Some("price_1"));
        assert_eq!(active.next_price(at(199)), Some("price_2"));
        assert_eq!(active.next_price(at(200)), None);
        for over in ["completed", "released", "canceled"] {
            assert_eq!(schedule(over, &Value::Null).next_price(at(199)), None, "{over}");
        }
    }

    #[test]
    fn the_current_phase_is_the_one_that_stripe_names() {
        for (current, start) in [(Value::Null, 100), (json!({"start_date": 200, "end_date": 300}), 200)] {
            assert_eq!(schedule("active", &current).current().map(|phase| phase.start_date), Some(start));
        }
        let empty: Schedule = serde_json::from_value(json!({"id": "sub_sched_1"})).unwrap();
        assert!(empty.current().is_none());
    }
}
