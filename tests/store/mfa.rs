//! The second factor: a secret that is pending and then on, steps and backup codes that are spent once.

use chrono::{DateTime, Utc};
use shared::ids::UserId;
use shared::store::{Tx, mfa, users};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::{App, both_engines};

/// An account with the factor on, whose step 100 is spent; and the transaction that turned it on.
async fn with_factor(app: &App) -> (Tx, UserId) {
    let ada = app.verified_user("ada@example.com").await;
    let mut tx = begin(app).await;
    assert!(mfa::set_secret(&mut tx, ada, "sealed").await.expect("a change"));
    assert!(mfa::enable(&mut tx, ada, ("sealed", 100)).await.expect("a change"));
    (tx, ada)
}

async fn is_on(tx: &mut Tx, user: UserId) -> bool {
    users::by_id(tx, user).await.expect("a row").expect("an account").mfa_enabled
}

async fn secret(tx: &mut Tx, user: UserId) -> Option<String> {
    mfa::secret(tx, user).await.expect("a row")
}

fn hashes(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn replace(tx: &mut Tx, user: UserId, names: &[&str]) -> bool {
    mfa::replace_backup_codes(tx, user, &hashes(names)).await.expect("a change")
}

async fn spend(tx: &mut Tx, user: UserId, hash: &str, now: DateTime<Utc>) -> bool {
    mfa::spend_backup_code(tx, user, hash, now).await.expect("a change")
}

async fn left(tx: &mut Tx, user: UserId) -> i64 {
    mfa::unused_backup_codes(tx, user).await.expect("a count")
}

both_engines! {
    async fn a_secret_is_pending_until_the_factor_is_turned_on_with_that_secret(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        assert_eq!(secret(&mut tx, ada).await, None);
        assert!(!mfa::enable(&mut tx, ada, ("first", 1)).await.expect("no change"), "there is no secret");
        for sealed in ["first", "second"] {
            assert!(mfa::set_secret(&mut tx, ada, sealed).await.expect("a change"));
            assert_eq!(secret(&mut tx, ada).await.as_deref(), Some(sealed));
        }
        assert!(!is_on(&mut tx, ada).await);
        assert!(!mfa::spend_step(&mut tx, ada, 7).await.expect("no change"), "it is not on yet");
        assert!(!mfa::enable(&mut tx, ada, ("first", 1)).await.expect("no change"), "the secret is another one");
        assert!(mfa::enable(&mut tx, ada, ("second", 1)).await.expect("a change"));
        assert!(is_on(&mut tx, ada).await && !is_on(&mut tx, eve).await);
        assert!(!mfa::enable(&mut tx, ada, ("second", 9)).await.expect("no change"), "it is on already");
        assert!(!mfa::set_secret(&mut tx, ada, "third").await.expect("no change"), "it is on already");
        assert_eq!(secret(&mut tx, ada).await.as_deref(), Some("second"));
        assert_eq!(secret(&mut tx, eve).await, None);
        let nobody = UserId::new(app.clock.now());
        assert!(!mfa::set_secret(&mut tx, nobody, "third").await.expect("no change"));
    }

    async fn a_step_is_spent_once_and_those_before_it_with_it(app: App) {
        let (mut tx, ada) = with_factor(&app).await;
        for (step, good) in [(100, false), (99, false), (101, true), (101, false), (103, true), (102, false)] {
            assert_eq!(mfa::spend_step(&mut tx, ada, step).await.expect("an answer"), good, "{step}");
        }
    }

    async fn of_many_who_spend_a_step_at_once_one_may(app: App) {
        let (tx, ada) = with_factor(&app).await;
        tx.commit().await.expect("a commit");
        let mut spenders = JoinSet::new();
        for _ in 0..20 {
            let db = app.services.db.clone();
            spenders.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let good = mfa::spend_step(&mut tx, ada, 101).await.expect("an answer");
                tx.commit().await.expect("a commit");
                good
            });
        }
        assert_eq!(spenders.join_all().await.into_iter().filter(|good| *good).count(), 1);
    }

    async fn a_backup_code_is_spent_once_by_its_owner(app: App) {
        let now = app.clock.now();
        let eve = app.verified_user("eve@example.com").await;
        let (mut tx, ada) = with_factor(&app).await;
        assert!(replace(&mut tx, ada, &["one", "two", "three"]).await);
        assert_eq!((left(&mut tx, ada).await, left(&mut tx, eve).await), (3, 0));
        assert!(!spend(&mut tx, eve, "one", now).await);
        assert!(!spend(&mut tx, ada, "four", now).await);
        assert!(spend(&mut tx, ada, "one", now).await);
        assert!(!spend(&mut tx, ada, "one", now).await);
        assert_eq!(left(&mut tx, ada).await, 2);
    }

    async fn new_backup_codes_void_the_old_ones(app: App) {
        let now = app.clock.now();
        let (mut tx, ada) = with_factor(&app).await;
        assert!(replace(&mut tx, ada, &["one", "two"]).await);
        assert!(spend(&mut tx, ada, "one", now).await);
        // "one" is among the new ones again, and not spent any more.
        assert!(replace(&mut tx, ada, &["one", "three", "four"]).await);
        assert_eq!(left(&mut tx, ada).await, 3);
        assert!(!spend(&mut tx, ada, "two", now).await);
        assert!(spend(&mut tx, ada, "one", now).await);
    }

    async fn of_sets_of_backup_codes_made_at_once_one_stays(app: App) {
        let (tx, ada) = with_factor(&app).await;
        tx.commit().await.expect("a commit");
        let mut makers = JoinSet::new();
        for n in 0..10 {
            let db = app.services.db.clone();
            makers.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let set: Vec<String> = (0..10).map(|i| format!("{n}-{i}")).collect();
                assert!(mfa::replace_backup_codes(&mut tx, ada, &set).await.expect("a change"));
                tx.commit().await.expect("a commit");
            });
        }
        makers.join_all().await;
        assert_eq!(left(&mut begin(&app).await, ada).await, 10);
    }

    async fn turning_it_off_forgets_everything(app: App) {
        let now = app.clock.now();
        let eve = app.verified_user("eve@example.com").await;
        let (mut tx, ada) = with_factor(&app).await;
        assert!(replace(&mut tx, ada, &["one"]).await);
        assert!(mfa::disable(&mut tx, ada).await.expect("a change"));
        assert!(!is_on(&mut tx, ada).await);
        assert_eq!((secret(&mut tx, ada).await, left(&mut tx, ada).await), (None, 0));
        assert!(!spend(&mut tx, ada, "one", now).await);
        assert!(!mfa::spend_step(&mut tx, ada, 200).await.expect("no change"));
        assert!(!replace(&mut tx, ada, &["two"]).await);
        assert!(!mfa::disable(&mut tx, ada).await.expect("no change"));
        assert!(!mfa::disable(&mut tx, eve).await.expect("no change"));
        // A new secret begins anew: its steps have not been spent.
        assert!(mfa::set_secret(&mut tx, ada, "other").await.expect("a change"));
        assert!(mfa::enable(&mut tx, ada, ("other", 5)).await.expect("a change"));
        assert!(mfa::spend_step(&mut tx, ada, 6).await.expect("a change"));
    }
}
