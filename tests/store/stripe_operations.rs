//! Operations at Stripe: done once for each key, resumed under the same id, one after another on a route.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::{OperationId, UserId};
use shared::store::stripe_operations::{self, BUSY, Begun, KNOWN, Request};
use shared::store::{Tx, users};
use tokio::task::JoinSet;

use super::begin as begin_tx;
use crate::harness::engines::{App, both_engines};

const ROUTE: &str = "POST /payments/subscribe";
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

/// A request with a key, or without one.
fn request<'a>(user: UserId, client_key: Option<&'a str>, fingerprint: &'a str) -> Request<'a> {
    Request { user, route: ROUTE, client_key, fingerprint }
}

async fn begin(tx: &mut Tx, request: Request<'_>, now: DateTime<Utc>) -> Begun {
    stripe_operations::begin(tx, &request, now).await.expect("an answer")
}

/// Begins what must be done; gives its id.
async fn do_it(tx: &mut Tx, request: Request<'_>, now: DateTime<Utc>) -> OperationId {
    match begin(tx, request, now).await {
        Begun::Do(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn finish(tx: &mut Tx, id: OperationId, status: u16, body: &str) {
    stripe_operations::finish(tx, id, status, body).await.expect("a change");
}

fn answered(status: u16, body: &str) -> Begun {
    Begun::Answered { status, body: body.to_owned() }
}

/// Twenty who begin the same at once.
async fn twenty(app: &App, user: UserId, client_key: Option<&'static str>, now: DateTime<Utc>) -> Vec<Begun> {
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let db = app.services.db.clone();
        tasks.spawn(async move {
            let mut tx = db.begin().await.expect("a transaction");
            let begun = begin(&mut tx, request(user, client_key, "body"), now).await;
            tx.commit().await.expect("a commit");
            begun
        });
    }
    tasks.join_all().await
}

/// The one operation that is to be done, all others being told that it is under way.
fn the_one(begun: &[Begun]) -> OperationId {
    let ids: Vec<_> =
        begun.iter().filter_map(|begun| if let Begun::Do(id) = begun { Some(*id) } else { None }).collect();
    let [id] = ids[..] else { panic!("not one: {begun:?}") };
    let others = begun.iter().filter(|begun| **begun == Begun::InProgress).count();
    assert_eq!(others, begun.len() - 1, "{begun:?}");
    id
}

both_engines! {
    async fn an_operation_is_done_once_under_its_key_and_its_answer_is_kept_byte_for_byte(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mine = request(ada, Some("k"), "body");
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, mine, now).await;
        assert_eq!(begin(&mut tx, mine, now).await, Begun::InProgress);
        let body = "{\"b\": 1,  \"a\": \"ä\\u0000\"}\n";
        finish(&mut tx, id, 201, body).await;
        finish(&mut tx, id, 500, "too late").await;
        assert_eq!(begin(&mut tx, mine, now + BUSY).await, answered(201, body));
        // Somebody else's key of that name, and that of another route, are other keys.
        let hers = do_it(&mut tx, Request { user: eve, ..mine }, now).await;
        let elsewhere = do_it(&mut tx, Request { route: "POST /payments/cancel", ..mine }, now).await;
        assert!(hers != id && elsewhere != id && hers != elsewhere);
    }

    async fn a_key_of_a_request_with_another_body_is_refused_whatever_has_become_of_that(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (mine, other) = (request(ada, Some("k"), "body"), request(ada, Some("k"), "other"));
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, mine, now).await;
        assert_eq!(begin(&mut tx, other, now).await, Begun::OtherBody, "under way");
        stripe_operations::pause(&mut tx, id, now).await.expect("a change");
        assert_eq!(begin(&mut tx, other, now).await, Begun::OtherBody, "unfinished");
        finish(&mut tx, id, 200, "{}").await;
        assert_eq!(begin(&mut tx, other, now).await, Begun::OtherBody, "finished");
    }

    async fn of_twenty_with_one_key_at_once_one_does_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let id = the_one(&twenty(&app, ada, Some("k"), now).await);
        let mut tx = begin_tx(&app).await;
        finish(&mut tx, id, 200, "{}").await;
        tx.commit().await.expect("a commit");
        assert_eq!(twenty(&app, ada, Some("k"), now).await, vec![answered(200, "{}"); 20]);
    }

    async fn of_twenty_without_a_key_at_once_one_does_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let id = the_one(&twenty(&app, ada, None, now).await);
        assert_eq!(the_one(&twenty(&app, ada, None, now + BUSY).await), id);
    }

    async fn what_was_left_unfinished_is_resumed_under_the_same_id_when_its_time_is_over(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let id = the_one(&twenty(&app, ada, Some("k"), now).await);
        let mine = request(ada, Some("k"), "body");
        let mut tx = begin_tx(&app).await;
        assert_eq!(begin(&mut tx, mine, now + BUSY - MOMENT).await, Begun::InProgress);
        drop(tx);
        let resumed = the_one(&twenty(&app, ada, Some("k"), now + BUSY).await);
        assert_eq!(resumed, id);
        let mut tx = begin_tx(&app).await;
        assert_eq!(begin(&mut tx, mine, now + BUSY * 2 - MOMENT).await, Begun::InProgress);
        assert_eq!(do_it(&mut tx, mine, now + BUSY * 2).await, id);
    }

    async fn what_was_paused_is_resumed_at_once_and_what_was_given_up_is_another_operation(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin_tx(&app).await;
        for client_key in [Some("k"), None] {
            let mine = request(ada, client_key, "body");
            let id = do_it(&mut tx, mine, now).await;
            stripe_operations::pause(&mut tx, id, now).await.expect("a change");
            assert_eq!(do_it(&mut tx, mine, now).await, id, "{client_key:?}");
            stripe_operations::give_up(&mut tx, id).await.expect("a change");
            let next = do_it(&mut tx, mine, now).await;
            assert_ne!(next, id, "{client_key:?}");
            finish(&mut tx, next, 200, "{}").await;
        }
        // What is finished can neither be given up nor taken up again.
        let mine = request(ada, Some("l"), "body");
        let id = do_it(&mut tx, mine, now).await;
        finish(&mut tx, id, 200, "{}").await;
        stripe_operations::give_up(&mut tx, id).await.expect("no change");
        stripe_operations::pause(&mut tx, id, now).await.expect("no change");
        assert_eq!(begin(&mut tx, mine, now).await, answered(200, "{}"));
    }

    async fn without_a_key_the_same_request_resumes_what_is_unfinished_and_repeats_what_is_not(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (mine, other) = (request(ada, None, "body"), request(ada, None, "other"));
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, mine, now).await;
        stripe_operations::pause(&mut tx, id, now).await.expect("a change");
        let second = do_it(&mut tx, other, now).await;
        assert_ne!(second, id);
        assert_eq!(begin(&mut tx, mine, now).await, Begun::InProgress, "the other one is under way");
        finish(&mut tx, second, 200, "{}").await;
        assert_eq!(do_it(&mut tx, mine, now + KNOWN - MOMENT).await, id);
        finish(&mut tx, id, 200, "{}").await;
        let third = do_it(&mut tx, mine, now + KNOWN).await;
        assert!(third != id && third != second, "an answer is not repeated without a key");
        // After a day, Stripe may have forgotten its keys.
        let fourth = do_it(&mut tx, mine, now + KNOWN * 2).await;
        assert_ne!(fourth, third);
    }

    async fn a_request_that_lost_its_key_resumes_what_was_begun_with_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (keyed, bare) = (request(ada, Some("k"), "body"), request(ada, None, "body"));
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, keyed, now).await;
        assert_eq!(begin(&mut tx, bare, now).await, Begun::InProgress);
        assert_eq!(do_it(&mut tx, bare, now + BUSY).await, id);
        finish(&mut tx, id, 200, "{}").await;
        assert_eq!(begin(&mut tx, keyed, now + BUSY).await, answered(200, "{}"));
        // Another key means another operation, also for the same request.
        assert_ne!(do_it(&mut tx, request(ada, Some("l"), "body"), now + BUSY).await, id);
    }

    async fn a_key_is_known_for_a_day(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin_tx(&app).await;
        for (client_key, is_finished) in [("finished", true), ("not", false)] {
            let (mine, other) = (request(ada, Some(client_key), "body"), request(ada, Some(client_key), "other"));
            let id = do_it(&mut tx, mine, now).await;
            if is_finished {
                finish(&mut tx, id, 200, "{}").await;
                assert_eq!(begin(&mut tx, mine, now + KNOWN - MOMENT).await, answered(200, "{}"));
            }
            assert_eq!(begin(&mut tx, other, now + KNOWN - MOMENT).await, Begun::OtherBody, "{client_key}");
            let next = do_it(&mut tx, other, now + KNOWN).await;
            assert_ne!(next, id, "{client_key}");
            stripe_operations::pause(&mut tx, next, now).await.expect("a change");
            assert_eq!(begin(&mut tx, mine, now + KNOWN).await, Begun::OtherBody, "{client_key}");
        }
    }

    async fn operations_of_an_account_on_one_route_are_done_one_after_another(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (first, second) = (request(ada, Some("k"), "body"), request(ada, Some("l"), "other"));
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, first, now).await;
        for another in [second, request(ada, None, "other")] {
            assert_eq!(begin(&mut tx, another, now + BUSY - MOMENT).await, Begun::InProgress);
        }
        do_it(&mut tx, Request { route: "POST /payments/cancel", ..second }, now).await;
        finish(&mut tx, id, 200, "{}").await;
        assert_ne!(do_it(&mut tx, second, now).await, id);
        assert_eq!(begin(&mut tx, first, now).await, answered(200, "{}"), "an answer can always be had");
    }

    async fn who_finishes_while_somebody_takes_over_is_not_waited_for(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, request(ada, Some("k"), "body"), now).await;
        tx.commit().await.expect("a commit");
        let mut tx = begin_tx(&app).await;
        finish(&mut tx, id, 200, "{}").await;
        let db = app.services.db.clone();
        let other = tokio::spawn(async move {
            let mut tx = db.begin().await.expect("a transaction");
            begin(&mut tx, request(ada, Some("k"), "body"), now + BUSY).await
        });
        // The account may be theirs by now, and nobody waits for ever.
        users::lock(&mut tx, ada).await.expect("a lock");
        tx.commit().await.expect("a commit");
        let begun = other.await.expect("a task");
        assert!([Begun::InProgress, answered(200, "{}")].contains(&begun), "{begun:?}");
        let mut tx = begin_tx(&app).await;
        assert_eq!(begin(&mut tx, request(ada, Some("k"), "body"), now + BUSY).await, answered(200, "{}"));
    }

    async fn old_operations_are_deleted(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin_tx(&app).await;
        let id = do_it(&mut tx, request(ada, Some("k"), "body"), now).await;
        finish(&mut tx, id, 200, "{}").await;
        do_it(&mut tx, request(ada, None, "body"), now + MOMENT).await;
        for (before, count) in [(now, 0), (now + MOMENT, 1), (now + MOMENT * 2, 1)] {
            assert_eq!(stripe_operations::prune(&mut tx, before).await.expect("a count"), count);
        }
        assert_ne!(do_it(&mut tx, request(ada, Some("k"), "body"), now).await, id);
    }
}
