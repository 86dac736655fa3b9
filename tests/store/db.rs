//! The handle itself: what is committed is there, what is not is not, also when many write at once.

use std::time::Duration;

use futures_util::FutureExt;
use shared::ids::UserId;
use shared::on;
use shared::store::users::{self, User};
use shared::store::{Db, StoreResult, Tx};
use sqlx::{AssertSqlSafe, Row};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::begin;
use crate::harness::engines::both_engines;

/// How a writer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commits,
    Drops,
    Fails,
    /// Is dropped at whatever point it has reached, which is never behind a commit.
    IsCutOff,
    /// Is dropped while it may be committing: either outcome is right.
    IsCutOffCommitting,
}

const ENDS: [End; 5] = [End::Commits, End::Drops, End::Fails, End::IsCutOff, End::IsCutOffCommitting];

fn writer(user: &User, n: usize) -> (User, End) {
    let name = format!("writer{n:03}");
    let id = UserId::new(user.created_at);
    (User { id, email: format!("{name}@example.com"), username: name, ..user.clone() }, ENDS[n % ENDS.len()])
}

/// Gives whether the account was told to be stored.
async fn write(db: Db, user: User, end: End) -> bool {
    let work = async {
        let mut tx = db.begin().await?;
        assert!(users::insert(&mut tx, &user).await?);
        match end {
            End::Commits | End::IsCutOffCommitting => tx.commit().await.map(|()| true),
            End::Drops => Ok(false),
            End::Fails => fail(&mut tx, &user).await,
            End::IsCutOff => std::future::pending().await,
        }
    };
    match end {
        End::IsCutOff | End::IsCutOffCommitting => {
            timeout(Duration::from_millis(2), work).await.is_ok_and(|done: StoreResult<bool>| done.expect("a store"))
        }
        _ => work.await.expect("a store"),
    }
}

/// A statement that the engine refuses must hurt nobody else.
async fn fail(tx: &mut Tx, user: &User) -> StoreResult<bool> {
    let nobody = UserId::new(user.created_at);
    let over = user.created_at;
    assert!(users::insert_token(tx, nobody, ("verify_email", &user.email), over, over).await.is_err());
    Ok(false)
}

both_engines! {
    async fn of_many_writers_at_once_exactly_those_that_committed_are_stored(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let ada = users::by_id(&mut begin(&app).await, ada).await.expect("a row").expect("an account");
        let mut writers = JoinSet::new();
        for n in 0..200 {
            let ((user, end), db) = (writer(&ada, n), app.services.db.clone());
            writers.spawn(async move { (user.id, end, write(db, user, end).await) });
        }
        for (id, end, told) in writers.join_all().await {
            let stored = users::by_id(&mut begin(&app).await, id).await.expect("a row").is_some();
            match end {
                End::Commits => assert!(told && stored),
                // Dropped after the commit but before its answer: stored without having been told so.
                End::IsCutOffCommitting => assert!(stored || !told),
                End::Drops | End::Fails | End::IsCutOff => assert!(!told && !stored, "{end:?}"),
            }
        }
    }

    async fn of_three_one_after_the_other_exactly_those_that_committed_are_stored(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let ada = users::by_id(&mut begin(&app).await, ada).await.expect("a row").expect("an account");
        for case in 0..8 {
            let commits = [case & 1 != 0, case & 2 != 0, case & 4 != 0];
            let db = app.services.db.clone();
            let (mut written, mut commits_under_way) = (Vec::new(), JoinSet::new());
            let mut tx = db.begin().await.expect("a transaction");
            for (n, commit) in commits.into_iter().enumerate() {
                let user = writer(&ada, case * 3 + n).0;
                assert!(users::insert(&mut tx, &user).await.expect("an account"));
                written.push(user.id);
                // Whoever waits already makes the one before leave the group open.
                let mut next = Box::pin(db.begin());
                let begun = next.as_mut().now_or_never();
                if commit {
                    commits_under_way.spawn(tx.commit());
                } else {
                    drop(tx);
                }
                tx = match begun {
                    Some(begun) => begun,
                    None => next.await,
                }
                .expect("a transaction");
            }
            drop(tx);
            for told in commits_under_way.join_all().await {
                told.expect("a commit");
            }
            for (id, commit) in written.into_iter().zip(commits) {
                let stored = users::by_id(&mut begin(&app).await, id).await.expect("a row").is_some();
                assert_eq!(stored, commit, "{commits:?}");
            }
        }
    }

    async fn a_reader_sees_only_what_is_committed(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let change = users::ProfileChange { full_name: Some("Ada King".into()), ..users::ProfileChange::default() };
        assert!(users::update_profile(&mut tx, ada, &change).await.expect("a change"));
        let mut reader = app.services.db.read().await.expect("a reader");
        let before = users::by_id(&mut reader, ada).await.expect("a row").expect("an account").full_name;
        drop(reader);
        tx.commit().await.expect("a commit");
        let mut reader = app.services.db.read().await.expect("a reader");
        let after = users::by_id(&mut reader, ada).await.expect("a row").expect("an account").full_name;
        assert_eq!((before.as_str(), after.as_str()), ("Ada Lovelace", "Ada King"));
    }

    async fn a_snapshot_sees_one_moment(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let name = async |tx: &mut Tx| users::by_id(tx, ada).await.expect("a row").expect("an account").full_name;
        let mut snapshot = app.services.db.snapshot().await.expect("a snapshot");
        assert_eq!(name(&mut snapshot).await, "Ada Lovelace");
        let mut tx = begin(&app).await;
        let change = users::ProfileChange { full_name: Some("Ada King".into()), ..users::ProfileChange::default() };
        assert!(users::update_profile(&mut tx, ada, &change).await.expect("a change"));
        tx.commit().await.expect("a commit");
        assert_eq!(name(&mut snapshot).await, "Ada Lovelace");
        drop(snapshot);
        assert_eq!(name(&mut app.services.db.snapshot().await.expect("a snapshot")).await, "Ada King");
    }

    async fn the_outbox_is_read_by_its_index_whatever_it_was_like_when_it_was_last_analyzed(app: App) {
        app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let sql = "select due_at from outbox where lane = 'mail' order by due_at limit 1";
        let explain = tx.either("explain query plan ", "explain ");
        let column = if matches!(app.services.db, Db::Sqlite { .. }) { "detail" } else { "QUERY PLAN" };
        let plan: Vec<String> = on!(tx, |c| {
            sqlx::query("analyze outbox").execute(&mut *c).await.expect("statistics of hardly any rows");
            let rows = sqlx::query(AssertSqlSafe(format!("{explain}{sql}"))).fetch_all(&mut *c).await.expect("a plan");
            rows.iter().map(|row| row.get(column)).collect()
        });
        assert!(plan.iter().any(|line| line.contains("outbox_by_due")), "{plan:#?}");
    }

    async fn migrations_are_applied_once_and_none_is_missing_then(app: App) {
        let db = &app.services.db;
        assert_eq!(db.missing_migrations().await.expect("a count"), 0);
        db.migrate().await.expect("nothing to do");
        db.ping().await.expect("an answer");
        db.close().await;
        assert!(db.ping().await.is_err());
    }
}
