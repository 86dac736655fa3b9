//! Sessions: the newest refresh token is good once.

use chrono::TimeDelta;
use shared::ids::{SessionId, UserId};
use shared::store::Tx;
use shared::store::sessions::{self, Session};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::{App, both_engines};

/// A session that ends in so many hours.
async fn open(app: &App, tx: &mut Tx, user_id: UserId, hours: i64) -> Session {
    let now = app.clock.now();
    let expires_at = now + TimeDelta::hours(hours);
    let session =
        Session { id: SessionId::new(now), user_id, counter: 4, rotated_at: now, expires_at, revoked_at: None };
    sessions::insert(tx, &session, Some("127.0.0.1"), Some("curl/8")).await.expect("a session");
    session
}

both_engines! {
    async fn a_session_is_read_back_as_it_was_stored(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let session = open(&app, &mut tx, ada, 1).await;
        assert_eq!(sessions::get(&mut tx, session.id).await.expect("a row"), Some(session));
        assert_eq!(sessions::get(&mut tx, SessionId::new(app.clock.now())).await.expect("no row"), None);
    }

    async fn only_the_newest_refresh_token_is_good_and_only_once(app: App) {
        let (ada, later) = (app.verified_user("ada@example.com").await, app.clock.now() + TimeDelta::minutes(5));
        let mut tx = begin(&app).await;
        let session = open(&app, &mut tx, ada, 1).await;
        for (counter, good) in [(3, false), (5, false), (4, true), (4, false), (5, true)] {
            assert_eq!(sessions::rotate(&mut tx, session.id, counter, later).await.expect("a change"), good);
        }
        let rotated = sessions::get(&mut tx, session.id).await.expect("a row").expect("a session");
        assert_eq!((rotated.counter, rotated.rotated_at), (6, later));
    }

    async fn of_many_who_spend_a_refresh_token_at_once_one_may(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let id = open(&app, &mut tx, ada, 1).await.id;
        tx.commit().await.expect("a commit");
        let mut spenders = JoinSet::new();
        for _ in 0..20 {
            let db = app.services.db.clone();
            spenders.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let good = sessions::rotate(&mut tx, id, 4, now).await.expect("a change");
                tx.commit().await.expect("a commit");
                good
            });
        }
        assert_eq!(spenders.join_all().await.into_iter().filter(|good| *good).count(), 1);
    }

    async fn a_session_that_is_over_gives_no_more_tokens(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (expired, revoked) = (open(&app, &mut tx, ada, 1).await, open(&app, &mut tx, ada, 1).await);
        assert!(!sessions::rotate(&mut tx, expired.id, 4, now + TimeDelta::hours(1)).await.expect("no change"));
        assert!(sessions::revoke(&mut tx, revoked.id, "signed out", now).await.expect("an end"));
        assert!(!sessions::rotate(&mut tx, revoked.id, 4, now).await.expect("no change"));
    }

    async fn a_session_ends_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let id = open(&app, &mut tx, ada, 1).await.id;
        assert!(sessions::revoke(&mut tx, id, "signed out", now).await.expect("an end"));
        assert!(!sessions::revoke(&mut tx, id, "reuse", now + TimeDelta::hours(1)).await.expect("no end"));
        let session = sessions::get(&mut tx, id).await.expect("a row").expect("a session");
        assert_eq!(session.revoked_at, Some(now));
    }

    async fn sessions_are_pruned_when_they_are_over(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let (old, edge) = (open(&app, &mut tx, ada, -1).await.id, open(&app, &mut tx, ada, 0).await.id);
        assert_eq!(sessions::prune(&mut tx, now).await.expect("a count"), 1);
        assert!(sessions::get(&mut tx, old).await.expect("no row").is_none());
        assert!(sessions::get(&mut tx, edge).await.expect("a row").is_some());
    }
}
