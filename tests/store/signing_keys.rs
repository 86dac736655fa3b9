//! Keys that sign tokens: which are usable, and that processes do not get into each other's way with them.

use chrono::{DateTime, TimeDelta, Utc};
use shared::store::Tx;
use shared::store::signing_keys::{self, SigningKey};
use shared::tokens::keyring::{self, Rotation};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::{App, both_engines, start};

/// So many days after the test begins.
fn day(days: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(days)
}

/// A key that signs from that day on.
fn key(id: &str, from: i64) -> SigningKey {
    SigningKey {
        id: id.to_owned(),
        public_key: format!("public {id}"),
        private_key: format!("sealed {id}"),
        created_at: day(from - 1),
        active_from: day(from),
        retired_at: None,
    }
}

async fn ids(tx: &mut Tx, since: DateTime<Utc>) -> Vec<String> {
    signing_keys::usable(tx, since).await.expect("keys").into_iter().map(|key| key.id).collect()
}

async fn rotate(app: &App, days: i64) -> (u64, u64, u64) {
    let Rotation { made, retired, deleted } =
        keyring::rotate(&app.services.db, &app.services.seal, day(days)).await.expect("a rotation");
    (made, retired, deleted)
}

both_engines! {
    async fn keys_are_read_back_as_stored_in_the_order_in_which_they_sign(app: App) {
        let retired = SigningKey { retired_at: Some(day(2)), ..key("a", 0) };
        let keys = [retired, key("c", 1), key("b", 2)];
        let mut tx = begin(&app).await;
        for at in [2, 0, 1] {
            signing_keys::insert(&mut tx, &keys[at]).await.expect("a key");
        }
        assert_eq!(signing_keys::usable(&mut tx, day(0)).await.expect("keys"), keys);
        assert!(signing_keys::insert(&mut tx, &keys[0]).await.is_err(), "an id belongs to one key");
    }

    async fn keys_before_the_one_that_signs_are_retired_once(app: App) {
        let mut tx = begin(&app).await;
        for key in [key("old", 0), key("now", 10), key("next", 20)] {
            signing_keys::insert(&mut tx, &key).await.expect("a key");
        }
        assert_eq!(signing_keys::retire(&mut tx, day(10), day(11)).await.expect("a change"), 1);
        assert_eq!(signing_keys::retire(&mut tx, day(10), day(12)).await.expect("no change"), 0);
        let keys = signing_keys::usable(&mut tx, day(0)).await.expect("keys");
        let retired: Vec<_> = keys.into_iter().map(|key| key.retired_at).collect();
        assert_eq!(retired, [Some(day(11)), None, None]);
    }

    async fn what_is_not_usable_any_more_is_what_can_be_deleted(app: App) {
        let mut tx = begin(&app).await;
        for (id, retired_at) in [("one", Some(day(5))), ("two", Some(day(6))), ("three", None)] {
            signing_keys::insert(&mut tx, &SigningKey { retired_at, ..key(id, 0) }).await.expect("a key");
        }
        assert_eq!(ids(&mut tx, day(4)).await, ["one", "three", "two"]);
        assert_eq!(ids(&mut tx, day(5)).await, ["three", "two"]);
        assert_eq!(signing_keys::prune(&mut tx, day(5)).await.expect("a change"), 1);
        assert_eq!(ids(&mut tx, day(0)).await, ["three", "two"]);
        assert_eq!(signing_keys::prune(&mut tx, day(99)).await.expect("a change"), 1);
        assert_eq!(ids(&mut tx, day(0)).await, ["three"]);
    }

    async fn of_processes_that_start_together_one_makes_the_first_key(app: App) {
        let mut starting = JoinSet::new();
        for _ in 0..8 {
            let services = app.services.clone();
            starting.spawn(async move {
                let now = services.clock.now();
                keyring::load(&services.db, &services.seal, now).await.map(drop).expect("keys");
            });
        }
        starting.join_all().await;
        let mut tx = begin(&app).await;
        let keys = signing_keys::usable(&mut tx, day(0)).await.expect("keys");
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert_eq!((keys[0].created_at, keys[0].active_from, keys[0].retired_at), (day(0), day(0), None));
        assert!(!keys[0].private_key.is_empty());
    }

    async fn rotating_again_or_side_by_side_changes_nothing_more(app: App) {
        assert_eq!(rotate(&app, 0).await, (1, 0, 0), "the first key");
        assert_eq!(rotate(&app, 0).await, (0, 0, 0));
        assert_eq!(rotate(&app, 29).await, (0, 0, 0));
        let (one, other) = tokio::join!(rotate(&app, 30), rotate(&app, 30));
        assert_eq!((one.0 + other.0, one.1 + other.1), (1, 0), "the next key");
        assert_eq!(rotate(&app, 31).await, (0, 1, 0), "the next key signs");
        assert_eq!(rotate(&app, 31).await, (0, 0, 0));
        assert_eq!(rotate(&app, 60).await, (1, 0, 0));
        assert_eq!(rotate(&app, 61).await, (0, 1, 0));
        assert_eq!(rotate(&app, 62).await, (0, 0, 1), "31 days after it was retired");
    }
}
