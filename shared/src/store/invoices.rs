//! What Stripe bills, as it was last read there. An invoice that was paid is also a payment.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{StoreResult, Tx};
use crate::domain::money::Currency;
use crate::ids::UserId;

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Invoice {
    /// Its id, of the time when Stripe made it; later invoices have greater ones.
    pub id: Uuid,
    /// What Stripe calls it.
    pub stripe_id: String,
    /// Whom it is for.
    pub user_id: Option<UserId>,
    /// Its number, as people see it.
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `uncollectible` or `void`.
    pub status: String,
    /// Why it was made, in Stripe's words.
    pub billing_reason: Option<String>,
    /// What is to be paid, in minor units of the currency.
    pub amount_due: i64,
    /// What was paid, in minor units of the currency.
    pub amount_paid: i64,
    /// The currency.
    #[sqlx(try_from = "String")]
    pub currency: Currency,
    /// Where people see and pay it.
    pub hosted_url: Option<String>,
    /// The same as a file.
    pub pdf_url: Option<String>,
    /// The beginning of what it covers.
    pub period_start: Option<DateTime<Utc>>,
    /// The end of what it covers.
    pub period_end: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// That the account of `$3` is closed, as a condition.
macro_rules! is_closed {
    () => {
        "exists (select 1 from users u where u.id = $3 and u.deleted_at is not null)"
    };
}

/// Stores an invoice, or what has become of it, by what Stripe calls it; gives the status that it had before, `None` if
/// it was not there. Our id and when it was made stay; the links of a closed account are dropped.
///
/// Whoever calls this has locked the customer (`stripe_customers::lock`), so nobody else does at the same time.
pub async fn put(tx: &mut Tx, invoice: &Invoice) -> StoreResult<Option<String>> {
    let sql = "select status from invoices where stripe_id = $1";
    let before: Option<String> =
        on!(tx, |c| sqlx::query_scalar(sql).bind(&invoice.stripe_id).fetch_optional(&mut *c).await?);
    let sql = concat!(
        "insert into invoices (id, stripe_id, user_id, number, status, billing_reason, amount_due, amount_paid,
         currency, period_start, period_end, created_at, hosted_url, pdf_url)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
         case when ",
        is_closed!(),
        " then null else $13 end, case when ",
        is_closed!(),
        " then null else $14 end)
         on conflict (stripe_id) do update set user_id = coalesce(invoices.user_id, excluded.user_id),
         number = excluded.number, status = excluded.status, billing_reason = excluded.billing_reason,
         amount_due = excluded.amount_due, amount_paid = excluded.amount_paid, currency = excluded.currency,
         hosted_url = excluded.hosted_url, pdf_url = excluded.pdf_url, period_start = excluded.period_start,
         period_end = excluded.period_end"
    );
    on!(tx, |c| {
        sqlx::query(sql)
            .bind(invoice.id)
            .bind(&invoice.stripe_id)
            .bind(invoice.user_id)
            .bind(&invoice.number)
            .bind(&invoice.status)
            .bind(&invoice.billing_reason)
            .bind(invoice.amount_due)
            .bind(invoice.amount_paid)
            .bind(invoice.currency.code())
            .bind(invoice.period_start)
            .bind(invoice.period_end)
            .bind(invoice.created_at)
            .bind(&invoice.hosted_url)
            .bind(&invoice.pdf_url)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(before)
}

/// Which invoices to read; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Those for this account.
    pub user: Option<UserId>,
    /// Those before this one.
    pub before: Option<Uuid>,
}

/// Reads invoices, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<Invoice>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, stripe_id, user_id, number, status, billing_reason, amount_due, amount_paid, currency,
             hosted_url, pdf_url, period_start, period_end, created_at from invoices
             where (cast($1 as uuid) is null or user_id = $1) and (cast($2 as uuid) is null or id < $2)
             order by id desc limit $3",
        )
        .bind(filter.user)
        .bind(filter.before)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Drops the links to the invoices of an account, which lead to pages with a name and an address.
pub async fn anonymise(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query("update invoices set hosted_url = null, pdf_url = null where user_id = $1")
            .bind(user)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}
