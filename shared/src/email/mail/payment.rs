//! Mails about money. Amounts are ready to show: `INR 799.00`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Mail, day};
use crate::domain::payment::BillingCycle;

/// See [`Mail::PaymentConfirmed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentConfirmed {
    /// The user's full name.
    pub name: String,
    /// The name of the tier.
    pub plan: String,
    /// How often it is billed.
    pub cycle: BillingCycle,
    /// How much was paid; none: nothing yet.
    #[serde(default)]
    pub amount: Option<String>,
    /// The number of the invoice.
    #[serde(default)]
    pub reference: Option<String>,
    /// When it was paid; without a payment when it began.
    pub paid_at: DateTime<Utc>,
    /// The end of the first period.
    pub period_end: DateTime<Utc>,
}

/// See [`Mail::QrReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrReceived {
    /// The user's full name.
    pub name: String,
    /// The name of the tier that was paid for.
    pub plan: String,
    /// For how long.
    pub cycle: BillingCycle,
    /// How much.
    pub amount: String,
    /// What the bank or Stripe calls the payment.
    pub reference: String,
    /// When the money was found.
    pub paid_at: DateTime<Utc>,
    /// Until when the plan is paid for.
    pub period_end: DateTime<Utc>,
}

/// See [`Mail::InvoicePaid`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoicePaid {
    /// The user's full name.
    pub name: String,
    /// The name of the tier.
    pub plan: String,
    /// How often it is billed.
    pub cycle: BillingCycle,
    /// How much was paid.
    pub amount: String,
    /// The number of the invoice.
    pub reference: Option<String>,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
    /// Until when the plan is paid for, if it still is.
    pub period_end: Option<DateTime<Utc>>,
    /// The page of the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// See [`Mail::PaymentFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// The user's full name.
    pub name: String,
    /// The name of the tier.
    pub plan: String,
    /// How much is to be paid.
    pub amount: String,
    /// Until when the plan goes on all the same; none: it does not.
    pub goes_on_until: Option<DateTime<Utc>>,
    /// The page where it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The samples of the mails in this file.
pub(super) fn samples() -> Vec<(&'static str, Mail)> {
    let mut samples = begun_samples();
    samples.extend(invoice_samples());
    samples
}

fn begun_samples() -> Vec<(&'static str, Mail)> {
    let confirmed = |cycle: BillingCycle, amount: Option<&str>, reference: Option<&str>| {
        Mail::PaymentConfirmed(PaymentConfirmed {
            name: "Ada Lovelace".into(),
            plan: "student".into(),
            cycle,
            amount: amount.map(Into::into),
            reference: reference.map(Into::into),
            paid_at: day(1),
            period_end: cycle.end(day(1)),
        })
    };
    let received = |plan: &str, cycle: BillingCycle, amount: &str| {
        Mail::QrReceived(QrReceived {
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
        ("monthly", confirmed(BillingCycle::Monthly, Some("USD 9.99"), Some("A1B2C3D4-0001"))),
        ("no_number", confirmed(BillingCycle::Annual, Some("USD 99.99"), None)),
        ("unpaid", confirmed(BillingCycle::Monthly, None, None)),
        ("monthly", received("student", BillingCycle::Monthly, "INR 799.00")),
        ("annual", received("professional", BillingCycle::Annual, "INR 79999.00")),
    ]
}

fn invoice_samples() -> Vec<(&'static str, Mail)> {
    let page = "https://invoice.example/i/acct_1/live_1?s=ap";
    let paid = InvoicePaid {
        name: "Ada Lovelace".into(),
        plan: "student".into(),
        cycle: BillingCycle::Monthly,
        amount: "USD 9.99".into(),
        reference: Some("A1B2C3D4-0002".into()),
        paid_at: day(1),
        period_end: Some(BillingCycle::Monthly.end(day(1))),
        link: Some(page.into()),
    };
    let bare = InvoicePaid { reference: None, period_end: None, link: None, ..paid.clone() };
    let failed = PaymentFailed {
        name: "Ada Lovelace".into(),
        plan: "student".into(),
        amount: "USD 9.99".into(),
        goes_on_until: Some(day(8)),
        link: Some(page.into()),
    };
    let over = PaymentFailed { goes_on_until: None, link: None, ..failed.clone() };
    vec![
        ("default", Mail::InvoicePaid(paid)),
        ("bare", Mail::InvoicePaid(bare)),
        ("default", Mail::PaymentFailed(failed)),
        ("over", Mail::PaymentFailed(over)),
    ]
}
