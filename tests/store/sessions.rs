//! Sessions: the newest refresh token is good once.

use chrono::TimeDelta;
use shared::ids::{SessionId, UserId};
use shared::store::Tx;
use shared::store::account_events::Origin;
use shared::store::sessions::{self, Familiar, Listed, Session};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::{App, both_engines};

/// A session that ends in so many hours.
async fn open(app: &App, tx: &mut Tx, user_id: UserId, hours: i64) -> Session {
    let now = app.clock.now();
    let expires_at = now + TimeDelta::hours(hours);
    let session =
        Session { id: SessionId::new(now), user_id, counter: 4, rotated_at: now, expires_at, revoked_at: None };
    let origin = Origin { address: Some("127.0.0.1".to_owned()), agent: Some("curl/8".to_owned()) };
    sessions::insert(tx, &session, &origin, Some("127.0.0.1")).await.expect("a session");
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

    async fn a_session_is_ended_by_its_owner_alone_and_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let (hers, over) = (open(&app, &mut tx, ada, 1).await.id, open(&app, &mut tx, ada, 0).await.id);
        let unknown = SessionId::new(now);
        for (user, id, ended) in [
            (eve, hers, false),
            (ada, unknown, false),
            (ada, over, false),
            (ada, hers, true),
            (ada, hers, false),
        ] {
            assert_eq!(sessions::revoke_own(&mut tx, (user, id), "revoked", now).await.expect("an answer"), ended);
        }
        let session = sessions::get(&mut tx, hers).await.expect("a row").expect("a session");
        assert_eq!(session.revoked_at, Some(now));
        let over = sessions::get(&mut tx, over).await.expect("a row").expect("a session");
        assert_eq!(over.revoked_at, None);
    }

    async fn all_sessions_of_a_user_end_together_but_for_one(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let hers = open(&app, &mut tx, eve, 1).await.id;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(open(&app, &mut tx, ada, 1).await.id);
        }
        assert!(sessions::revoke(&mut tx, ids[0], "signed out", now).await.expect("an end"));
        let later = now + TimeDelta::minutes(1);
        let mut end = async |except| {
            sessions::revoke_all(&mut tx, ada, except, "password changed", later).await.expect("a count")
        };
        assert_eq!((end(Some(ids[3])).await, end(Some(ids[3])).await, end(None).await, end(None).await), (2, 0, 1, 0));
        let mut ended = async |id| sessions::get(&mut tx, id).await.expect("a row").expect("a session").revoked_at;
        assert_eq!(ended(ids[0]).await, Some(now), "it keeps the time that it ended at");
        assert_eq!((ended(ids[1]).await, ended(ids[3]).await), (Some(later), Some(later)));
        assert_eq!(ended(hers).await, None);
    }

    async fn sessions_that_run_are_listed_the_newest_first(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let mut all = Vec::new();
        for user in [ada, ada, eve, ada, ada, ada] {
            app.clock.advance(TimeDelta::seconds(1));
            all.push(open(&app, &mut tx, user, i64::from(all.len() != 1)).await);
        }
        let now = app.clock.now();
        sessions::revoke(&mut tx, all[3].id, "signed out", now).await.expect("an end");
        assert!(sessions::rotate(&mut tx, all[0].id, 4, now).await.expect("a change"));
        let mut list = async |user, before, limit| {
            sessions::list(&mut tx, (user, before), now, limit).await.expect("sessions")
        };
        let ids = |listed: Vec<Listed>| listed.into_iter().map(|one| one.id).collect::<Vec<_>>();
        let [oldest, fifth, sixth] = [all[0].id, all[4].id, all[5].id];
        assert_eq!(ids(list(ada, None, 10).await), [sixth, fifth, oldest]);
        assert_eq!(ids(list(ada, None, 2).await), [sixth, fifth]);
        assert_eq!(ids(list(ada, Some(fifth), 2).await), [oldest]);
        assert_eq!(ids(list(ada, Some(oldest), 2).await), []);
        assert_eq!(ids(list(eve, None, 10).await), [all[2].id]);
        let last = list(ada, Some(fifth), 1).await.remove(0);
        let expected = Listed {
            id: oldest,
            created_at: all[0].rotated_at,
            rotated_at: now,
            expires_at: all[0].expires_at,
            address: Some("127.0.0.1".to_owned()),
            user_agent: Some("curl/8".to_owned()),
        };
        assert_eq!(last, expected);
    }

    async fn whoever_was_there_before_is_familiar_by_network_and_by_client(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let id = open(&app, &mut tx, ada, 1).await.id;
        sessions::revoke(&mut tx, id, "signed out", now).await.expect("an end");
        let (here, curl) = ("127.0.0.1", Some("curl/8"));
        let known = |network, agent| Familiar { network, agent };
        for (user, network, agent, expected) in [
            (ada, here, curl, known(true, true)),
            (ada, "127.0.0.2", curl, known(false, true)),
            (ada, here, Some("curl/9"), known(true, false)),
            (ada, here, None, known(true, false)),
            (eve, here, curl, Familiar::default()),
            (UserId::new(now), here, curl, Familiar::default()),
        ] {
            let familiar = sessions::familiar(&mut tx, user, network, agent).await.expect("a row");
            assert_eq!(familiar, expected, "{network}, {agent:?}");
        }
        // One that does not say what it is looks like another of that sort.
        let bare = Session { id: SessionId::new(now), user_id: eve, ..sessions::get(&mut tx, id).await.expect("a row").expect("a session") };
        sessions::insert(&mut tx, &bare, &Origin::default(), None).await.expect("a session");
        for (agent, expected) in [(None, known(false, true)), (curl, known(false, false))] {
            assert_eq!(sessions::familiar(&mut tx, eve, here, agent).await.expect("a row"), expected);
        }
    }

    async fn where_the_sessions_of_a_user_were_begun_is_forgotten(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        for user in [ada, eve] {
            open(&app, &mut tx, user, 1).await;
        }
        sessions::anonymise(&mut tx, ada).await.expect("a change");
        let listed = sessions::list(&mut tx, (ada, None), now, 10).await.expect("sessions").remove(0);
        assert_eq!((listed.address, listed.user_agent), (None, None));
        for (user, known) in [(ada, false), (eve, true)] {
            let familiar = sessions::familiar(&mut tx, user, "127.0.0.1", Some("curl/8")).await.expect("a row");
            assert_eq!((familiar.network, familiar.agent), (known, known));
        }
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
