//! What is known here, compared with what the stand-in knows to be true.

use shared::domain::entitlement::Subscribed;
use shared::store::{credits, stripe_customers};

use super::world::Till;
use crate::stand_ins::stripe_like::Standing;

/// A subscription's id, status and plan, the end of its period, and whether it ends with that.
type Known = (String, String, String, i64, bool);

impl Till {
    /// Compares every subscription of our customers with what it really is.
    pub async fn compare(&self) {
        for (customer, standings) in self.stripe.subscriptions() {
            let mut tx = self.reader().await;
            let Some(user) = stripe_customers::owner(&mut tx, &customer).await.expect("a row") else { continue };
            let row = credits::facts(&mut tx, user).await.expect("facts").subscribed;
            // Of those that stand equally well the newest.
            let counted = standings.iter().max_by_key(|standing| rank(standing.status)).expect("a subscription");
            if rank(counted.status) == 0 {
                assert!(!row.as_ref().is_some_and(Subscribed::is_billed), "{customer}: {row:?}, not {counted:?}");
            } else {
                assert_eq!(row.as_ref().map(ours), Some(theirs(counted)), "{customer}");
            }
        }
    }
}

/// How well a subscription stands; nothing: it is over.
fn rank(status: &str) -> u8 {
    match status {
        "active" | "trialing" => 3,
        "past_due" => 2,
        "canceled" | "incomplete_expired" => 0,
        _ => 1,
    }
}

fn ours(row: &Subscribed) -> Known {
    let subscription = &row.subscription;
    let cycle = row.billing_cycle.as_deref().unwrap_or_default();
    (
        row.stripe_subscription.clone().unwrap_or_default(),
        subscription.status.clone(),
        format!("{}:{cycle}", subscription.tier),
        subscription.current_period_end.timestamp(),
        row.cancel_at_period_end,
    )
}

/// The plan is in the middle of the name that we gave the price.
fn theirs(standing: &Standing) -> Known {
    let name = standing.lookup_key.clone().unwrap_or_default();
    let plan = name.split(':').skip(1).take(2).collect::<Vec<_>>().join(":");
    let ends = standing.ends.is_some_and(|ends| ends <= standing.period_end);
    (standing.id.clone(), standing.status.to_owned(), plan, standing.period_end, ends)
}
