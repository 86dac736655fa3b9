//! Payments. Their status only moves forward, by conditional updates: whoever tells of the money, and how often, a
//! payment is paid once. Rows are never deleted. What Stripe tells of them is in `payments/stripe.rs`.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{StoreResult, Tx};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use crate::domain::tier::Tier;
use crate::ids::{PaymentId, UserId};

mod stripe;

pub use self::stripe::{PAYABLE, Settled, by_stripe_id, fail, open_sessions, refunded, set_refund, settle};

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Payment {
    /// Its id; later payments have greater ones.
    pub id: PaymentId,
    /// Who pays.
    pub user_id: Option<UserId>,
    /// What sort of payment it is.
    pub kind: PaymentKind,
    /// How it is made.
    pub scheme: Scheme,
    /// What it buys.
    pub tier: Tier,
    /// For how long.
    pub billing_cycle: BillingCycle,
    /// How much, in minor units of the currency.
    pub amount: i64,
    /// The currency.
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the QR code says.
    pub payload: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Until when it is waited for.
    pub expires_at: DateTime<Utc>,
    /// When the money was found.
    pub paid_at: Option<DateTime<Utc>>,
    /// What the bank calls it.
    pub reference: Option<String>,
    /// The admin who found the money.
    pub confirmed_by: Option<UserId>,
    /// Whether the money was found when nobody waited for it any more.
    pub late: bool,
    /// What Stripe calls it: the Checkout session, the invoice or the refund.
    pub stripe_id: Option<String>,
    /// The payment at Stripe that a refund would be made of.
    pub payment_intent: Option<String>,
    /// The payment that this gives back.
    pub refund_of: Option<PaymentId>,
    /// Why a person should look at it; nothing was granted for it then.
    pub review: Option<String>,
}

impl Payment {
    /// How much it is.
    pub const fn money(&self) -> Money {
        Money { minor: self.amount, currency: self.currency }
    }

    /// A refund of this payment that is made at `at`; one that is paid counts as paid then.
    #[must_use]
    pub fn refund(&self, id: PaymentId, (amount, status): (i64, PaymentStatus), at: DateTime<Utc>) -> Self {
        Self {
            id,
            user_id: self.user_id,
            kind: PaymentKind::Refund,
            scheme: self.scheme,
            tier: self.tier,
            billing_cycle: self.billing_cycle,
            amount,
            currency: self.currency,
            status,
            payload: String::new(),
            created_at: at,
            expires_at: at,
            paid_at: (status == PaymentStatus::Paid).then_some(at),
            reference: None,
            confirmed_by: None,
            late: false,
            stripe_id: None,
            payment_intent: None,
            refund_of: Some(self.id),
            review: None,
        }
    }

    /// Whether nobody waits for it any more at `now`, which has not been noted. Refunds are waited for as long as it
    /// takes.
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.kind == PaymentKind::Qr && self.status == PaymentStatus::Pending && self.expires_at <= now
    }

    /// The payment as it is at `now`, whether its end has been noted or not.
    #[must_use]
    pub fn seen_at(self, now: DateTime<Utc>) -> Self {
        if self.is_overdue(now) { Self { status: PaymentStatus::Expired, ..self } } else { self }
    }
}

/// The columns of [`Payment`].
macro_rules! columns {
    () => {
        "id, user_id, kind, scheme, tier, billing_cycle, amount, currency, status, payload, created_at, expires_at,
         paid_at, reference, confirmed_by, late, stripe_id, payment_intent, refund_of, review"
    };
}
use columns;

/// The statement that stores a [`Payment`].
macro_rules! insert {
    () => {
        concat!(
            "insert into payments (",
            columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
        )
    };
}

/// Stores a payment as it is.
pub async fn insert(tx: &mut Tx, payment: &Payment) -> StoreResult<()> {
    store(tx, payment, insert!()).await.map(drop)
}

/// Stores a payment as it is, unless there is one with what Stripe calls it; false then.
pub async fn insert_once(tx: &mut Tx, payment: &Payment) -> StoreResult<bool> {
    let sql = concat!(insert!(), " on conflict (stripe_id) where stripe_id is not null do nothing");
    Ok(store(tx, payment, sql).await? == 1)
}

async fn store(tx: &mut Tx, payment: &Payment, sql: &'static str) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query(sql)
            .bind(payment.id)
            .bind(payment.user_id)
            .bind(payment.kind.as_str())
            .bind(payment.scheme.as_str())
            .bind(payment.tier.name())
            .bind(payment.billing_cycle.as_str())
            .bind(payment.amount)
            .bind(payment.currency.code())
            .bind(payment.status.as_str())
            .bind(&payment.payload)
            .bind(payment.created_at)
            .bind(payment.expires_at)
            .bind(payment.paid_at)
            .bind(&payment.reference)
            .bind(payment.confirmed_by)
            .bind(payment.late)
            .bind(&payment.stripe_id)
            .bind(&payment.payment_intent)
            .bind(payment.refund_of)
            .bind(&payment.review)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}

/// Reads a payment.
pub async fn get(tx: &mut Tx, id: PaymentId) -> StoreResult<Option<Payment>> {
    let sql = concat!("select ", columns!(), " from payments where id = $1");
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// Which payments to read; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Those of this account.
    pub user: Option<UserId>,
    /// Those of this sort.
    pub kind: Option<PaymentKind>,
    /// Those before this one.
    pub before: Option<PaymentId>,
}

/// Reads payments, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<Payment>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from payments where (cast($1 as uuid) is null or user_id = $1) and (cast($2 as text) is null or kind = $2)
         and (cast($3 as uuid) is null or id < $3) order by id desc limit $4"
    );
    Ok(on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(filter.user)
            .bind(filter.kind.map(PaymentKind::as_str))
            .bind(filter.before)
            .bind(limit)
            .fetch_all(&mut *c)
            .await?
    }))
}

/// Notes the end of payments that nobody has made in time, of one or of all; gives how many there were. Those whose page
/// Stripe may still have open ([`overdue_sessions`]) are not among all.
pub async fn expire(tx: &mut Tx, only: Option<PaymentId>, now: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query(
            "update payments set status = 'expired' where status = 'pending' and expires_at <= $1
             and (id = $2 or (cast($2 as uuid) is null and (scheme <> 'stripe' or stripe_id is null)))",
        )
        .bind(now)
        .bind(only)
        .execute(&mut *c)
        .await?
        .rows_affected()
    }))
}

/// Why a payment was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotConfirmed {
    /// Another payment has this reference. The transaction can only be dropped.
    ReferenceUsed,
    /// It is paid or has failed, or there is none.
    NotOpen,
}

/// Notes that an admin found the money of a payment under the bank's reference; also when it came late.
pub async fn confirm(
    tx: &mut Tx,
    id: PaymentId,
    (reference, admin): (&str, UserId),
    now: DateTime<Utc>,
) -> StoreResult<Result<Payment, NotConfirmed>> {
    let sql = concat!(
        "update payments set status = 'paid', paid_at = $4, reference = $2, confirmed_by = $3,
         late = (status = 'expired' or expires_at <= $4) where id = $1 and status in ('pending', 'expired') returning ",
        columns!()
    );
    let result: Result<Option<Payment>, sqlx::Error> = on!(tx, |c| {
        sqlx::query_as(sql).bind(id).bind(reference).bind(admin).bind(now).fetch_optional(&mut *c).await
    });
    match result {
        Ok(paid) => Ok(paid.ok_or(NotConfirmed::NotOpen)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Err(NotConfirmed::ReferenceUsed)),
        Err(error) => Err(error.into()),
    }
}

/// Payments that nobody has made in time, and that have a Checkout session at Stripe; the oldest first.
pub async fn overdue_sessions(tx: &mut Tx, now: DateTime<Utc>, limit: i64) -> StoreResult<Vec<Payment>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from payments where status = 'pending' and expires_at <= $1 and scheme = 'stripe' and stripe_id is not null
         order by expires_at, id limit $2"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(now).bind(limit).fetch_all(&mut *c).await?))
}

/// The payment that was made by this payment at Stripe, and that a refund of it gives back.
pub async fn by_intent(tx: &mut Tx, payment_intent: &str) -> StoreResult<Option<Payment>> {
    let sql = concat!(
        "select ",
        columns!(),
        " from payments where payment_intent = $1 and kind <> 'refund' order by id limit 1"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(payment_intent).fetch_optional(&mut *c).await?))
}
