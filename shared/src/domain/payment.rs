//! What is paid for, how, and where a payment, or what Stripe told of one, stands; as these are in the database and in
//! answers.

use chrono::{DateTime, Months, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::text_enum;

text_enum!(
    /// How long a payment lasts.
    BillingCycle {
        /// A month.
        Monthly = "monthly",
        /// A year.
        Annual = "annual",
    }
);
text_enum!(
    /// What sort of payment it is.
    PaymentKind {
        /// Made by scanning a QR code.
        Qr = "qr",
        /// An invoice of a subscription, paid at Stripe.
        Invoice = "invoice",
        /// Money that was given back.
        Refund = "refund",
    }
);
text_enum!(
    /// Whom the money goes through.
    Scheme {
        /// The payment apps of India.
        Upi = "upi",
        /// Stripe; a QR code leads any browser to a page of it.
        Stripe = "stripe",
    }
);
text_enum!(
    /// Where a payment stands. It only moves forward.
    PaymentStatus {
        /// Nobody has told of the money yet.
        Pending = "pending",
        /// The money is there; of a refund, with the payer.
        Paid = "paid",
        /// Its time is over; money that comes nevertheless is taken.
        Expired = "expired",
        /// It was refused.
        Failed = "failed",
    }
);
text_enum!(
    /// Where something that Stripe told stands.
    EventStatus {
        /// Not applied yet.
        Pending = "pending",
        /// What it tells of has been read at Stripe and applied.
        Applied = "applied",
        /// It concerns nothing of ours.
        Ignored = "ignored",
        /// Given up; a person should look at it.
        Dead = "dead",
    }
);
text_enum!(
    /// How it came to be known.
    Via {
        /// Stripe sent it.
        Webhook = "webhook",
        /// We asked Stripe what had happened, and had not heard of it.
        Reconcile = "reconcile",
    }
);

impl BillingCycle {
    /// The end of a period that begins at `from`: the same day, or the last one of a month that is shorter.
    pub fn end(self, from: DateTime<Utc>) -> DateTime<Utc> {
        let months = match self {
            Self::Monthly => 1,
            Self::Annual => 12,
        };
        from.checked_add_months(Months::new(months)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_on_the_same_day_or_the_last_of_a_shorter_month() {
        for (cycle, from, expected) in [
            (BillingCycle::Monthly, "2026-01-15T09:00:00Z", "2026-02-15T09:00:00Z"),
            (BillingCycle::Monthly, "2026-01-31T23:59:59Z", "2026-02-28T23:59:59Z"),
            (BillingCycle::Monthly, "2028-01-30T00:00:00Z", "2028-02-29T00:00:00Z"),
            (BillingCycle::Monthly, "2026-12-15T09:00:00Z", "2027-01-15T09:00:00Z"),
            (BillingCycle::Annual, "2026-01-15T09:00:00Z", "2027-01-15T09:00:00Z"),
            (BillingCycle::Annual, "2028-02-29T09:00:00Z", "2029-02-28T09:00:00Z"),
        ] {
            let (from, expected): (DateTime<Utc>, DateTime<Utc>) = (from.parse().unwrap(), expected.parse().unwrap());
            assert_eq!(cycle.end(from), expected, "{cycle} from {from}");
        }
    }

    #[test]
    fn a_state_has_one_name_everywhere() {
        for status in [PaymentStatus::Pending, PaymentStatus::Paid, PaymentStatus::Expired, PaymentStatus::Failed] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for cycle in [BillingCycle::Monthly, BillingCycle::Annual] {
            assert_eq!(serde_json::to_value(cycle).unwrap(), cycle.as_str());
        }
        for scheme in [Scheme::Upi, Scheme::Stripe] {
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.as_str());
        }
        for kind in [PaymentKind::Qr, PaymentKind::Invoice, PaymentKind::Refund] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for status in [EventStatus::Pending, EventStatus::Applied, EventStatus::Ignored, EventStatus::Dead] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for via in [Via::Webhook, Via::Reconcile] {
            assert_eq!(serde_json::to_value(via).unwrap(), via.as_str());
        }
    }
}
