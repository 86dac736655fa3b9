//! Answers under a client's key: the first request takes the key, the others get its answer.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::UserId;
use shared::store::Tx;
use shared::store::idempotency::{self, Answer, Given, Wanted};

use super::{MANY, begin};
use crate::harness::engines::both_engines;

const ROUTE: &str = "POST /api/v1/intents";

fn answer(fingerprint: &str, status: i64, body: &str) -> Answer {
    Answer { fingerprint: fingerprint.to_owned(), status, body: body.to_owned() }
}

/// Takes one key, kept for a day.
async fn take(tx: &mut Tx, (user, route, key): (UserId, &str, &str), fingerprint: &str, now: DateTime<Utc>) -> bool {
    let wanted = Wanted { user, key, fingerprint };
    let taken = idempotency::take(tx, route, &[wanted], (now, now - TimeDelta::days(1))).await.expect("keys");
    taken == HashSet::from([(user, key.to_owned())])
}

async fn give(tx: &mut Tx, (user, route, key): (UserId, &str, &str), status: u16, body: &str) {
    idempotency::answer(tx, route, &[Given { user, key, status, body }]).await.expect("an answer");
}

both_engines! {
    async fn a_key_is_taken_once_per_user_and_route(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let keys = [(ada, ROUTE, "k"), (ada, ROUTE, "l"), (ada, "POST /other", "k"), (eve, ROUTE, "k")];
        for taken in [true, false] {
            for key in keys {
                assert_eq!(take(&mut tx, key, "first", now).await, taken, "{key:?}");
            }
        }
    }

    async fn of_many_keys_together_the_free_ones_are_taken_and_answered(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let names: Vec<_> = (0..MANY).map(|n| format!("key-{n:03}")).collect();
        let mut tx = begin(&app).await;
        for name in names.iter().step_by(3) {
            assert!(take(&mut tx, (ada, ROUTE, name), "earlier", now).await);
            give(&mut tx, (ada, ROUTE, name), 202, "earlier").await;
        }
        let wanted: Vec<_> = names.iter().map(|key| Wanted { user: ada, key, fingerprint: "now" }).collect();
        let taken = idempotency::take(&mut tx, ROUTE, &wanted, (now, now - TimeDelta::days(1))).await.expect("keys");
        let free: Vec<_> = names.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, name)| name).collect();
        assert_eq!(taken, free.iter().map(|name| (ada, (*name).clone())).collect());
        let given: Vec<_> = free.iter().map(|key| Given { user: ada, key, status: 201, body: key }).collect();
        idempotency::answer(&mut tx, ROUTE, &given).await.expect("answers");
        for (n, name) in names.iter().enumerate() {
            let expected = if n % 3 == 0 { answer("earlier", 202, "earlier") } else { answer("now", 201, name) };
            assert_eq!(idempotency::get(&mut tx, (ada, ROUTE, name)).await.expect("a row"), Some(expected));
        }
    }

    async fn an_answer_is_kept_byte_for_byte_with_the_first_fingerprint(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert_eq!(idempotency::get(&mut tx, key).await.expect("no row"), None);
        take(&mut tx, key, "first", now).await;
        assert_eq!(idempotency::get(&mut tx, key).await.expect("a row"), Some(answer("first", 0, "")));
        let body = "{\"b\": 1,  \"a\": \"ä\\u0000\"}\n";
        give(&mut tx, key, 202, body).await;
        assert!(!take(&mut tx, key, "second", now).await);
        assert_eq!(idempotency::get(&mut tx, key).await.expect("a row"), Some(answer("first", 202, body)));
    }

    async fn who_asks_for_a_key_that_is_being_taken_waits_and_finds_the_answer(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert!(take(&mut tx, key, "first", now).await);
        let db = app.services.db.clone();
        let second = tokio::spawn(async move {
            let mut tx = db.begin().await.expect("a transaction");
            let taken = take(&mut tx, key, "first", now).await;
            (taken, idempotency::get(&mut tx, key).await.expect("a row"))
        });
        give(&mut tx, key, 202, "{}").await;
        tx.commit().await.expect("a commit");
        assert_eq!(second.await.expect("a task"), (false, Some(answer("first", 202, "{}"))));
    }

    async fn a_key_whose_request_failed_or_was_refused_is_free_again(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let key = (ada, ROUTE, "k");
        let mut tx = begin(&app).await;
        assert!(take(&mut tx, key, "first", now).await);
        drop(tx);
        let mut tx = begin(&app).await;
        assert!(take(&mut tx, key, "second", now).await);
        idempotency::release(&mut tx, key).await.expect("a release");
        assert!(take(&mut tx, key, "third", now).await);
        give(&mut tx, key, 202, "{}").await;
        idempotency::release(&mut tx, key).await.expect("nothing released");
        assert!(!take(&mut tx, key, "fourth", now).await, "what was answered stays");
    }

    async fn an_answer_is_kept_for_its_time_and_then_its_key_is_free(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        for (name, hours) in [("a", -2), ("edge", 0), ("new", 1)] {
            take(&mut tx, (ada, ROUTE, name), "first", now + TimeDelta::hours(hours)).await;
        }
        let later = now + TimeDelta::days(1);
        assert!(!take(&mut tx, (ada, ROUTE, "edge"), "second", later).await);
        assert!(take(&mut tx, (ada, ROUTE, "a"), "second", later).await);
        assert_eq!(
            idempotency::get(&mut tx, (ada, ROUTE, "a")).await.expect("a row"),
            Some(answer("second", 0, ""))
        );
        assert_eq!(idempotency::prune(&mut tx, now + TimeDelta::minutes(1)).await.expect("a count"), 1);
        assert!(idempotency::get(&mut tx, (ada, ROUTE, "edge")).await.expect("no row").is_none());
        assert!(idempotency::get(&mut tx, (ada, ROUTE, "new")).await.expect("a row").is_some());
    }
}
