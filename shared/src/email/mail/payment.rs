//! Mails about money.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Mail, day};
use crate::domain::payment::BillingCycle;

/// See [`Mail::PaymentConfirmed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentConfirmed {
    /// The user's full name.
    pub name: String,
    /// The name of the tier that was paid for.
    pub plan: String,
    /// For how long.
    pub cycle: BillingCycle,
    /// How much, ready to show: `INR 799.00`.
    pub amount: String,
    /// What the bank calls the payment.
    pub reference: String,
    /// When the money was found.
    pub paid_at: DateTime<Utc>,
    /// Until when the plan is paid for.
    pub period_end: DateTime<Utc>,
}

/// The samples of the mails in this file.
pub(super) fn samples() -> Vec<(&'static str, Mail)> {
    let confirmed = |plan: &str, cycle: BillingCycle, amount: &str| {
        Mail::PaymentConfirmed(PaymentConfirmed {
            name: "Ada Lovelace".into(),
            plan: plan.into(),
            cycle,
            amount: amount.into(),
            reference: "426112345678".into(),
            paid_at: day(1),
            period_end: cycle.end(day(1)),
        })
    };
    vec![
        ("monthly", confirmed("student", BillingCycle::Monthly, "INR 799.00")),
        ("annual", confirmed("professional", BillingCycle::Annual, "INR 79999.00")),
    ]
}
