//! The outbox: due times, redelivery, order.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::WorkflowId;
use shared::job::{Job, Lane};
use shared::store::outbox::{self, VISIBILITY};
use shared::store::{Db, Tx};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{MANY, begin};
use crate::harness::engines::{App, both_engines};

/// Jobs of one workflow; the order of their keys is not that of their numbers.
fn jobs(app: &App, count: usize) -> Vec<Job> {
    let workflow = WorkflowId::new(app.clock.now());
    (0..count).map(|n| Job::RunStep { workflow, step: format!("s{:03}", (n * 37) % 101) }).collect()
}

async fn put(app: &App, rows: &[(Job, DateTime<Utc>)]) {
    let mut tx = begin(app).await;
    outbox::put(&mut tx, rows).await.expect("rows");
    tx.commit().await.expect("a commit");
}

async fn take(tx: &mut Tx, at: DateTime<Utc>, limit: i64) -> Vec<Job> {
    outbox::take_due(tx, Lane::Interactive, at, limit).await.expect("rows")
}

async fn take_committed(db: &Db, at: DateTime<Utc>, limit: i64) -> Vec<Job> {
    let mut tx = db.begin().await.expect("a transaction");
    let jobs = take(&mut tx, at, limit).await;
    tx.commit().await.expect("a commit");
    jobs
}

both_engines! {
    async fn the_longest_due_rows_are_taken_first_and_no_more_than_asked_for(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, MANY));
        let rows: Vec<_> = jobs.iter().cloned().zip((0..).map(|n| now + TimeDelta::seconds(n))).collect();
        put(&app, &rows).await;
        let mut tx = begin(&app).await;
        // Seen from the row number 50, 51 rows are due.
        let at = now + TimeDelta::seconds(50);
        let first: BTreeSet<_> = take(&mut tx, at, 20).await.iter().map(Job::key).collect();
        assert_eq!(first, jobs[..20].iter().map(Job::key).collect());
        // Those that were taken come again later.
        let rest: BTreeSet<_> = take(&mut tx, at, 1_000).await.iter().map(Job::key).collect();
        assert_eq!(rest, jobs[20..51].iter().map(Job::key).collect());
        assert_eq!(take(&mut tx, at, 1_000).await, []);
    }

    async fn what_is_taken_together_comes_in_the_order_of_due_times(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 50));
        let rows: Vec<_> = jobs.iter().cloned().zip((0..).map(|n| now - TimeDelta::seconds(60 - n))).collect();
        put(&app, &rows).await;
        assert_eq!(take_committed(&app.services.db, now, 1_000).await, jobs);
    }

    async fn a_message_that_is_lost_comes_again_less_and_less_often(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 1));
        put(&app, &[(jobs[0].clone(), now)]).await;
        let mut tx = begin(&app).await;
        let mut at = now;
        for pause in [VISIBILITY, VISIBILITY * 4, VISIBILITY * 4, VISIBILITY * 16, VISIBILITY * 16] {
            assert_eq!(take(&mut tx, at, 10).await, jobs);
            assert_eq!(take(&mut tx, at, 10).await, []);
            assert_eq!(take(&mut tx, at + pause - TimeDelta::microseconds(1), 10).await, []);
            at += pause;
        }
    }

    async fn putting_a_job_again_moves_its_row_and_forgets_deliveries(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 1));
        let mut tx = begin(&app).await;
        outbox::put(&mut tx, &[(jobs[0].clone(), now)]).await.expect("a row");
        assert_eq!(take(&mut tx, now, 10).await, jobs);
        assert_eq!(take(&mut tx, now + VISIBILITY, 10).await, jobs);
        let later = now + TimeDelta::hours(1);
        outbox::put(&mut tx, &[(jobs[0].clone(), later)]).await.expect("a row");
        assert_eq!(outbox::count(&mut tx, Lane::Interactive).await.expect("a count"), 1);
        assert_eq!(take(&mut tx, later - TimeDelta::microseconds(1), 10).await, []);
        assert_eq!(take(&mut tx, later, 10).await, jobs);
        assert_eq!(take(&mut tx, later + VISIBILITY, 10).await, jobs, "counted from the start");
    }

    async fn what_was_handed_out_can_be_held_until_its_work_is_done(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 2));
        put(&app, &[(jobs[0].clone(), now), (jobs[1].clone(), now + TimeDelta::hours(2))]).await;
        let mut tx = begin(&app).await;
        assert_eq!(take(&mut tx, now, 10).await, jobs[..1]);
        let until = now + TimeDelta::hours(1);
        for job in &jobs {
            outbox::hold(&mut tx, job, until).await.expect("a change");
        }
        assert_eq!(take(&mut tx, until - TimeDelta::microseconds(1), 10).await, []);
        assert_eq!(take(&mut tx, until, 10).await, jobs[..1], "the other was not handed out");
        // Whoever wants it again gets it.
        outbox::put(&mut tx, &[(jobs[0].clone(), until)]).await.expect("a row");
        outbox::hold(&mut tx, &jobs[0], until + TimeDelta::hours(1)).await.expect("no change");
        assert_eq!(take(&mut tx, until, 10).await, jobs[..1]);
    }

    async fn many_rows_are_put_and_deleted_at_once(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, MANY));
        put(&app, &jobs.iter().map(|job| (job.clone(), now)).collect::<Vec<_>>()).await;
        let mut tx = begin(&app).await;
        assert_eq!(outbox::count(&mut tx, Lane::Interactive).await.expect("a count"), 85);
        let mut keys: Vec<_> = jobs[..MANY - 1].iter().map(Job::key).collect();
        keys.push("a key without a row".to_owned());
        outbox::delete(&mut tx, &keys).await.expect("a deletion");
        assert_eq!(take(&mut tx, now, 1_000).await, jobs[MANY - 1..]);
    }

    async fn of_many_who_end_a_job_at_once_one_did_it(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 2));
        put(&app, &[(jobs[0].clone(), now), (jobs[1].clone(), now)]).await;
        let mut enders = JoinSet::new();
        for _ in 0..10 {
            let (db, job) = (app.services.db.clone(), jobs[0].clone());
            enders.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mine = outbox::end(&mut tx, &job).await.expect("an answer");
                tx.commit().await.expect("a commit");
                mine
            });
        }
        assert_eq!(enders.join_all().await.into_iter().filter(|mine| *mine).count(), 1);
        assert_eq!(take_committed(&app.services.db, now, 10).await, jobs[1..]);
        // Whoever ends a job and fails at something else has not ended it.
        let mut failing = begin(&app).await;
        assert!(outbox::end(&mut failing, &jobs[1]).await.expect("an answer"));
        drop(failing);
        assert!(outbox::end(&mut begin(&app).await, &jobs[1]).await.expect("an answer"));
    }

    async fn those_who_take_at_once_share_the_rows(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, MANY));
        put(&app, &jobs.iter().map(|job| (job.clone(), now)).collect::<Vec<_>>()).await;
        let mut takers = JoinSet::new();
        for _ in 0..8 {
            let db = app.services.db.clone();
            takers.spawn(async move { take_committed(&db, now, 20).await });
        }
        let taken: Vec<_> = takers.join_all().await.into_iter().flatten().map(|job| job.key()).collect();
        let distinct: BTreeSet<_> = taken.iter().cloned().collect();
        assert_eq!(distinct.len(), taken.len(), "a row was taken twice");
        let rest = take_committed(&app.services.db, now, 1_000).await;
        assert_eq!(taken.len() + rest.len(), MANY);
    }

    async fn each_lane_has_its_own_rows_and_next_due_time(app: App) {
        let now = app.clock.now();
        let mail = Job::SendEmail { mail: Uuid::nil() };
        let step = jobs(&app, 2);
        let due = |seconds| now + TimeDelta::seconds(seconds);
        let mut tx = begin(&app).await;
        assert_eq!(outbox::next_due(&mut tx).await.expect("a row"), [None; 3]);
        let rows = [(step[0].clone(), due(9)), (mail.clone(), due(5)), (step[1].clone(), due(7))];
        outbox::put(&mut tx, &rows).await.expect("rows");
        assert_eq!(outbox::next_due(&mut tx).await.expect("a row"), [Some(due(7)), Some(due(5)), None]);
        assert_eq!(outbox::take_due(&mut tx, Lane::Mail, due(60), 10).await.expect("rows"), [mail]);
        assert_eq!(outbox::count(&mut tx, Lane::Interactive).await.expect("a count"), 2);
        assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 0);
    }

    async fn what_was_delivered_in_vain_often_enough_is_requeued(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 2));
        let mut tx = begin(&app).await;
        outbox::put(&mut tx, &[(jobs[0].clone(), now)]).await.expect("a row");
        take(&mut tx, now, 10).await;
        take(&mut tx, now + VISIBILITY, 10).await;
        outbox::put(&mut tx, &[(jobs[1].clone(), now + VISIBILITY)]).await.expect("a row");
        assert_eq!(outbox::requeue(&mut tx, now, 3).await.expect("a count"), 0);
        assert_eq!(outbox::requeue(&mut tx, now, 2).await.expect("a count"), 1);
        assert_eq!(take(&mut tx, now, 10).await, jobs[..1]);
    }

    async fn a_job_is_open_until_its_work_is_done(app: App) {
        let (now, jobs) = (app.clock.now(), jobs(&app, 2));
        put(&app, &[(jobs[0].clone(), now)]).await;
        let mut tx = begin(&app).await;
        assert_eq!(take(&mut tx, now, 10).await, jobs[..1]);
        assert!(outbox::is_open(&mut tx, &jobs[0]).await.expect("an answer"), "it is only under way");
        assert!(!outbox::is_open(&mut tx, &jobs[1]).await.expect("an answer"));
        assert!(outbox::end(&mut tx, &jobs[0]).await.expect("an answer"));
        assert!(!outbox::is_open(&mut tx, &jobs[0]).await.expect("an answer"));
    }
}
