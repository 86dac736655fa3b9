//! Mails: decided on once, delivered or given up, then forgotten.

use chrono::{DateTime, TimeDelta, Utc};
use shared::email::{Mail, TrialEnded};
use shared::ids::UserId;
use shared::job::{Job, Lane};
use shared::on;
use shared::store::{Tx, accounts, mails, outbox, pruning};
use uuid::Uuid;

use super::begin;
use crate::harness::engines::both_engines;

fn mail(ended_at: DateTime<Utc>) -> Mail {
    Mail::TrialEnded(TrialEnded { name: "Ada".to_owned(), link: "https://autoos.example/".to_owned(), ended_at })
}

/// Decides on a mail and takes its job from the outbox.
async fn decide(tx: &mut Tx, user: UserId, occasion: &str, now: DateTime<Utc>) -> Uuid {
    assert!(mails::put(tx, (user, "ada@example.com"), &mail(now), occasion, now).await.expect("a mail"));
    let jobs = outbox::take_due(tx, Lane::Mail, now, 10).await.expect("rows");
    let [Job::SendEmail { mail }] = jobs[..] else { panic!("not one mail: {jobs:?}") };
    mail
}

both_engines! {
    async fn a_mail_is_decided_on_once_per_user_and_occasion(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let decisions = [(ada, "one", true), (ada, "one", false), (ada, "other", true), (eve, "one", true)];
        for (user, occasion, new) in decisions {
            let decided = mails::put(&mut tx, (user, "a@example.com"), &mail(now), occasion, now).await;
            assert_eq!(decided.expect("a mail"), new, "{occasion}");
        }
        assert_eq!(outbox::count(&mut tx, Lane::Mail).await.expect("a count"), 3);
    }

    async fn a_mail_that_waits_is_read_as_it_was_decided_on(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let id = decide(&mut tx, ada, "one", now).await;
        let pending = mails::pending(&mut tx, id).await.expect("a row").expect("a mail");
        assert_eq!((pending.address.as_str(), pending.payload.0, pending.attempts), ("ada@example.com", mail(now), 0));
        assert!(mails::pending(&mut tx, Uuid::nil()).await.expect("no row").is_none());
    }

    async fn a_delivery_that_failed_is_tried_again_at_its_time(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let id = decide(&mut tx, ada, "one", now).await;
        let due = now + TimeDelta::minutes(10);
        mails::retry(&mut tx, id, "no answer", due).await.expect("a change");
        assert_eq!(mails::pending(&mut tx, id).await.expect("a row").expect("a mail").attempts, 1);
        let early = due - TimeDelta::microseconds(1);
        assert_eq!(outbox::take_due(&mut tx, Lane::Mail, early, 10).await.expect("rows"), []);
        assert_eq!(outbox::take_due(&mut tx, Lane::Mail, due, 10).await.expect("rows"), [Job::SendEmail { mail: id }]);
    }

    async fn a_mail_that_is_delivered_or_given_up_leaves_no_work_and_no_text(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        for (status, error) in [("sent", None), ("bounced", Some("no such mailbox"))] {
            let mut tx = begin(&app).await;
            let id = decide(&mut tx, ada, status, now).await;
            mails::finish(&mut tx, id, status, error, now).await.expect("a change");
            mails::finish(&mut tx, id, "bounced", Some("late"), now).await.expect("no change");
            assert!(mails::pending(&mut tx, id).await.expect("no row").is_none());
            assert_eq!(outbox::count(&mut tx, Lane::Mail).await.expect("a count"), 0);
            let row: (String, Option<String>, i64, String) = on!(tx, |c| {
                let sql = "select status, last_error, attempts, cast(payload as text) from mails where id = $1";
                sqlx::query_as(sql).bind(id).fetch_one(&mut *c).await.expect("a row")
            });
            assert_eq!(row, (status.to_owned(), error.map(str::to_owned), 1, "{}".to_owned()));
            assert!(!mails::put(&mut tx, (ada, "a@example.com"), &mail(now), status, now).await.expect("no mail"));
        }
    }

    async fn the_last_mail_to_a_closed_account_leaves_no_address(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        for user in [ada, eve] {
            for status in ["sent", "bounced"] {
                let id = decide(&mut tx, user, status, now).await;
                mails::retry(&mut tx, id, "<ada@example.com> is busy", now).await.expect("a change");
                if user == ada {
                    accounts::anonymise(&mut tx, ada, now).await.expect("a change");
                }
                // It is still sent where it was decided on.
                let pending = mails::pending(&mut tx, id).await.expect("a row").expect("a mail");
                assert_eq!(pending.address, "ada@example.com");
                mails::finish(&mut tx, id, status, Some("<ada@example.com> is gone"), now).await.expect("a change");
            }
        }
        let rows: Vec<(String, Option<String>)> = on!(tx, |c| {
            let sql = "select address, last_error from mails order by case when user_id = $1 then 0 else 1 end";
            sqlx::query_as(sql).bind(ada).fetch_all(&mut *c).await.expect("mails")
        });
        let kept = ("ada@example.com".to_owned(), Some("<ada@example.com> is gone".to_owned()));
        assert_eq!(rows, [(String::new(), None), (String::new(), None), kept.clone(), kept]);
    }

    async fn delivered_mails_are_pruned_by_age_and_waiting_ones_are_kept(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        for (occasion, sent) in [("old", now - TimeDelta::seconds(1)), ("edge", now)] {
            let id = decide(&mut tx, ada, occasion, now).await;
            mails::finish(&mut tx, id, "sent", None, sent).await.expect("a change");
        }
        let waiting = decide(&mut tx, ada, "waiting", now).await;
        assert_eq!(pruning::sent_mails(&mut tx, now).await.expect("a count"), 1);
        assert!(mails::pending(&mut tx, waiting).await.expect("a row").is_some());
        assert!(mails::put(&mut tx, (ada, "a@example.com"), &mail(now), "old", now).await.expect("a mail"));
    }
}
