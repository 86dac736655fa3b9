//! The relay: what is due goes to the queue, and stays where it is while there is no queue.

use std::time::Duration;

use ::worker::relay::{RelayError, relay_once};
use secrecy::SecretString;
use shared::job::{Job, Lane};
use shared::queue::Queue;
use shared::services::Services;
use shared::store::outbox;
use tokio::task::block_in_place;

use crate::harness::engines::{App, both_engines};
use crate::harness::redis::RedisServer;

/// Makes a job due now.
async fn put(app: &App, job: &Job) {
    let mut tx = app.services.db.begin().await.expect("a transaction");
    outbox::put(&mut tx, &[(job.clone(), app.clock.now())]).await.expect("a row");
    tx.commit().await.expect("a commit");
}

both_engines! {
    async fn without_its_queue_it_rests_while_nothing_is_due_and_takes_nothing_when_something_is(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let mut redis = block_in_place(RedisServer::start);
        let queue = Queue::redis(&SecretString::from(redis.url()), "relay").await.expect("a queue");
        block_in_place(|| redis.kill());
        let services = Services { queue, ..app.services.clone() };
        let now = app.clock.now();
        let mut tx = app.services.db.begin().await.expect("a transaction");
        // The mails of signing up.
        outbox::take_due(&mut tx, Lane::Mail, now, 10).await.expect("rows");
        tx.commit().await.expect("a commit");
        assert_eq!(relay_once(&services).await.expect("nothing to do"), Duration::from_secs(1));

        let job = Job::LetIn { user };
        put(&app, &job).await;
        assert!(matches!(relay_once(&services).await, Err(RelayError::Queue(_))));
        let mut tx = app.services.db.begin().await.expect("a transaction");
        assert_eq!(outbox::take_due(&mut tx, job.lane(), now, 10).await.expect("rows"), [job]);
    }

    async fn what_is_due_is_pushed_once_and_no_more_than_there_is_room_for(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let job = Job::LetIn { user };
        let lane = job.lane();
        let queue = Queue::memory();
        let services = Services { queue: queue.clone(), ..app.services.clone() };
        put(&app, &job).await;
        let room = queue.room(lane).await.expect("room");
        queue.push(lane, &vec![serde_json::Value::Null; room]).await.expect("a push");
        assert_eq!(relay_once(&services).await.expect("a full lane"), Duration::from_millis(10));

        let queue = Queue::memory();
        let services = Services { queue: queue.clone(), ..services };
        for _ in 0..2 {
            relay_once(&services).await.expect("a round");
            assert_eq!(queue.room(lane).await.expect("room"), room - 1);
        }
    }
}
