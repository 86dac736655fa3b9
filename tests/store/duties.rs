//! Duties: one replica at a time, and the last tick is remembered.

use chrono::TimeDelta;
use shared::store::duties;

use super::begin;
use crate::harness::engines::both_engines;

both_engines! {
    async fn a_duty_belongs_to_one_replica_until_its_lease_is_over(app: App) {
        let now = app.clock.now();
        let later = |seconds| now + TimeDelta::seconds(seconds);
        let mut tx = begin(&app).await;
        let mut take = async |holder, from, to| {
            duties::take(&mut tx, "prune", holder, (later(from), later(to))).await.expect("a row")
        };
        assert_eq!(take("one", 0, 60).await, Some(now), "a new duty counts as just done");
        assert_eq!(take("other", 59, 99).await, None);
        assert_eq!(take("one", 59, 120).await, Some(now), "its holder may go on");
        assert_eq!(take("other", 60, 99).await, None);
        assert_eq!(take("other", 120, 180).await, Some(now));
        assert_eq!(take("one", 121, 180).await, None);
    }

    async fn what_was_done_is_remembered_and_the_duty_is_free(app: App) {
        let now = app.clock.now();
        let lease = (now, now + TimeDelta::seconds(60));
        let tick = now + TimeDelta::seconds(5);
        let mut tx = begin(&app).await;
        duties::take(&mut tx, "prune", "one", lease).await.expect("a row");
        assert!(!duties::done(&mut tx, "prune", "other", tick).await.expect("no change"));
        assert!(duties::done(&mut tx, "prune", "one", tick).await.expect("a change"));
        assert!(!duties::done(&mut tx, "prune", "one", tick).await.expect("no change"), "it is nobody's now");
        assert_eq!(duties::take(&mut tx, "prune", "other", lease).await.expect("a row"), Some(tick));
        assert_eq!(duties::take(&mut tx, "requeue", "one", lease).await.expect("a row"), Some(now));
    }
}
