//! What came of comparing our word with Stripe's, one row for each time.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::{StoreResult, Tx, pieces};

/// One comparison.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Reconciliation {
    /// Its id; later ones have greater ones.
    pub id: Uuid,
    /// What was compared: `events`, `full` or `compare`.
    pub kind: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How much Stripe listed.
    pub listed: i64,
    /// How much of that was news.
    pub found: i64,
    /// What else there is to say, an object.
    #[sqlx(json)]
    pub detail: Value,
}

/// Stores a comparison that has ended.
pub async fn put(tx: &mut Tx, reconciliation: &Reconciliation) -> StoreResult<()> {
    on!(tx, |c| {
        sqlx::query(
            "insert into stripe_reconciliations (id, kind, started_at, finished_at, listed, found, detail)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(reconciliation.id)
        .bind(&reconciliation.kind)
        .bind(reconciliation.started_at)
        .bind(reconciliation.finished_at)
        .bind(reconciliation.listed)
        .bind(reconciliation.found)
        .bind(Json(&reconciliation.detail))
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(())
}

/// Reads comparisons, the newest first, those before `before`.
pub async fn list(tx: &mut Tx, before: Option<Uuid>, limit: i64) -> StoreResult<Vec<Reconciliation>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, kind, started_at, finished_at, listed, found, detail from stripe_reconciliations
             where (cast($1 as uuid) is null or id < $1) order by id desc limit $2",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// When the newest of these kinds began, if there was one.
pub async fn last(tx: &mut Tx, kinds: &[&str]) -> StoreResult<Option<DateTime<Utc>>> {
    let mut last = None;
    for piece in pieces(kinds) {
        let newest: Option<DateTime<Utc>> = on!(tx, |c| {
            let mut q = QueryBuilder::new("select started_at from stripe_reconciliations where kind in (");
            piece.push_list(&mut q);
            q.push(") order by started_at desc limit 1");
            q.build_query_scalar().fetch_optional(&mut *c).await?
        });
        last = last.max(newest);
    }
    Ok(last)
}

/// Deletes comparisons that ended before `before`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> StoreResult<u64> {
    Ok(on!(tx, |c| {
        sqlx::query("delete from stripe_reconciliations where finished_at < $1")
            .bind(before)
            .execute(&mut *c)
            .await?
            .rows_affected()
    }))
}
