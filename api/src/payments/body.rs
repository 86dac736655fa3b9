//! A payment, as answers show it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::money::Money;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::Payment;
use utoipa::ToSchema;

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentBody {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    payment_id: PaymentId,
    /// Who pays.
    #[schema(value_type = Option<uuid::Uuid>)]
    user_id: Option<UserId>,
    /// What sort of payment it is.
    kind: PaymentKind,
    /// How it is made.
    scheme: Scheme,
    /// What it buys.
    tier: Tier,
    /// For how long.
    billing_cycle: BillingCycle,
    /// Where it stands.
    status: PaymentStatus,
    /// Whether it was confirmed after it had expired.
    late: bool,
    #[serde(flatten)]
    money: Money,
    /// What the bank calls it; null until it is confirmed.
    reference: Option<String>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// Until when it is waited for.
    expires_at: DateTime<Utc>,
    /// When it was confirmed.
    paid_at: Option<DateTime<Utc>>,
    /// The payment that this gives back.
    #[schema(value_type = Option<uuid::Uuid>)]
    refund_of: Option<PaymentId>,
    /// Why a person has to look at it; nothing was given for it then.
    review: Option<String>,
}

impl PaymentBody {
    /// A payment as it is stored.
    pub fn new(payment: &Payment) -> Self {
        Self {
            payment_id: payment.id,
            user_id: payment.user_id,
            kind: payment.kind,
            scheme: payment.scheme,
            tier: payment.tier,
            billing_cycle: payment.billing_cycle,
            status: payment.status,
            late: payment.late,
            money: payment.money(),
            reference: payment.reference.clone(),
            created_at: payment.created_at,
            expires_at: payment.expires_at,
            paid_at: payment.paid_at,
            refund_of: payment.refund_of,
            review: payment.review.clone(),
        }
    }
}
