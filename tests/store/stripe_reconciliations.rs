//! What came of comparing our word with Stripe's.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::ids;
use shared::store::Tx;
use shared::store::stripe_reconciliations::{self, Reconciliation};

use super::begin;
use crate::harness::engines::both_engines;

async fn put(tx: &mut Tx, kind: &str, at: DateTime<Utc>) -> Reconciliation {
    let reconciliation = Reconciliation {
        id: ids::new(at),
        kind: kind.to_owned(),
        started_at: at,
        finished_at: at + TimeDelta::seconds(5),
        listed: 120,
        found: 2,
        detail: json!({"customers": ["cus_1", "cus_2"]}),
    };
    stripe_reconciliations::put(tx, &reconciliation).await.expect("a row");
    reconciliation
}

both_engines! {
    async fn comparisons_are_listed_the_newest_first_and_as_they_were_stored(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let mut all = Vec::new();
        for (minutes, kind) in (0..).zip(["events", "compare", "events"]) {
            all.insert(0, put(&mut tx, kind, now + TimeDelta::minutes(minutes)).await);
        }
        assert_eq!(stripe_reconciliations::list(&mut tx, None, 10).await.expect("rows"), all);
        assert_eq!(stripe_reconciliations::list(&mut tx, None, 2).await.expect("rows"), all[..2]);
        let rest = stripe_reconciliations::list(&mut tx, Some(all[1].id), 10).await.expect("rows");
        assert_eq!(rest, all[2..]);
    }

    async fn the_newest_of_some_kinds_is_found(app: App) {
        let now = app.clock.now();
        let at = |minutes| now + TimeDelta::minutes(minutes);
        let mut tx = begin(&app).await;
        for (minutes, kind) in [(3, "events"), (2, "full"), (1, "events"), (9, "compare")] {
            put(&mut tx, kind, at(minutes)).await;
        }
        for (kinds, expected) in [
            (vec!["events"], Some(at(3))),
            (vec!["full"], Some(at(2))),
            (vec!["full", "events"], Some(at(3))),
            (vec!["compare", "events", "full"], Some(at(9))),
            (vec!["other"], None),
            (vec![], None),
        ] {
            assert_eq!(stripe_reconciliations::last(&mut tx, &kinds).await.expect("an answer"), expected, "{kinds:?}");
        }
    }

    async fn old_comparisons_are_deleted(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let young = put(&mut tx, "events", now).await;
        put(&mut tx, "events", now - TimeDelta::microseconds(1)).await;
        for (before, count) in [(now, 0), (young.finished_at, 1), (young.finished_at, 0)] {
            assert_eq!(stripe_reconciliations::prune(&mut tx, before).await.expect("a count"), count);
        }
        assert_eq!(stripe_reconciliations::list(&mut tx, None, 10).await.expect("rows"), [young]);
    }
}
