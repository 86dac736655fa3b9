//! Answers under a client's key: the first request takes the key, the others get its answer.

use chrono::TimeDelta;
use shared::store::idempotency::{self, Answer};

use super::begin;
use crate::harness::engines::both_engines;

const ROUTE: &str = "POST /api/v1/intents";

fn answer(fingerprint: &str, status: i64, body: &str) -> Answer {
    Answer { fingerprint: fingerprint.to_owned(), status, body: body.to_owned() }
}

both_engines! {
    async fn a_key_is_taken_once_per_user_and_route(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let keys = [(ada, ROUTE, "k"), (ada, ROUTE, "l"), (ada, "POST /other", "k"), (eve, ROUTE, "k")];
        for taken in [true, false] {
            for key in keys {
                assert_eq!(idempotency::take(&mut tx, key, "first", now).await.expect("a key"), taken, "{key:?}");
            }
        }
    }

    async fn an_answer_is_kept_byte_for_byte_with_the_first_fingerprint(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert_eq!(idempotency::get(&mut tx, key).await.expect("no row"), None);
        idempotency::take(&mut tx, key, "first", now).await.expect("a key");
        assert_eq!(idempotency::get(&mut tx, key).await.expect("a row"), Some(answer("first", 0, "")));
        let body = "{\"b\": 1,  \"a\": \"ä\\u0000\"}\n";
        idempotency::answer(&mut tx, key, 202, body).await.expect("an answer");
        idempotency::take(&mut tx, key, "second", now).await.expect("no key");
        assert_eq!(idempotency::get(&mut tx, key).await.expect("a row"), Some(answer("first", 202, body)));
    }

    async fn who_asks_for_a_key_that_is_being_taken_waits_and_finds_the_answer(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert!(idempotency::take(&mut tx, key, "first", now).await.expect("a key"));
        let db = app.services.db.clone();
        let second = tokio::spawn(async move {
            let mut tx = db.begin().await.expect("a transaction");
            let taken = idempotency::take(&mut tx, key, "first", now).await.expect("no key");
            (taken, idempotency::get(&mut tx, key).await.expect("a row"))
        });
        idempotency::answer(&mut tx, key, 202, "{}").await.expect("an answer");
        tx.commit().await.expect("a commit");
        assert_eq!(second.await.expect("a task"), (false, Some(answer("first", 202, "{}"))));
    }

    async fn a_key_whose_request_failed_is_free_again(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert!(idempotency::take(&mut tx, key, "first", now).await.expect("a key"));
        drop(tx);
        assert!(idempotency::take(&mut begin(&app).await, key, "second", now).await.expect("a key"));
    }

    async fn answers_are_pruned_by_age_all_or_one(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        for (name, hours) in [("a", -2), ("b", -2), ("edge", 0), ("new", 1)] {
            let made = now + TimeDelta::hours(hours);
            idempotency::take(&mut tx, (ada, ROUTE, name), "first", made).await.expect("a key");
        }
        idempotency::prune_key(&mut tx, (ada, ROUTE, "edge"), now).await.expect("nothing pruned");
        idempotency::prune_key(&mut tx, (ada, ROUTE, "a"), now).await.expect("one pruned");
        assert!(idempotency::get(&mut tx, (ada, ROUTE, "a")).await.expect("no row").is_none());
        assert!(idempotency::get(&mut tx, (ada, ROUTE, "edge")).await.expect("a row").is_some());
        assert_eq!(idempotency::prune(&mut tx, now).await.expect("a count"), 1);
        assert!(idempotency::get(&mut tx, (ada, ROUTE, "new")).await.expect("a row").is_some());
    }
}
