//! Customers at Stripe: one for each account and mode, and the newest word about each.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::UserId;
use shared::job::{Job, Lane};
use shared::on;
use shared::store::{Tx, outbox, stripe_customers, users};
use tokio::task::JoinSet;

use super::begin;
use crate::harness::engines::{App, both_engines};

/// Notes a customer in test mode.
async fn put(tx: &mut Tx, customer: &str, user: UserId, now: DateTime<Utc>) -> String {
    stripe_customers::put(tx, customer, user, false, now).await.expect("a customer")
}

async fn get(tx: &mut Tx, user: UserId, livemode: bool) -> Option<String> {
    stripe_customers::get(tx, user, livemode).await.expect("an answer")
}

async fn start(tx: &mut Tx, customer: &str) -> Option<i64> {
    stripe_customers::start_sync(tx, customer).await.expect("an answer")
}

async fn finish(tx: &mut Tx, customer: &str, number: i64) -> bool {
    stripe_customers::finish_sync(tx, customer, number).await.expect("an answer")
}

async fn wake(tx: &mut Tx, full: bool, now: DateTime<Utc>) {
    stripe_customers::wake(tx, "cus_ada", full, now).await.expect("a row");
}

async fn rest(tx: &mut Tx, full: bool) {
    stripe_customers::rest(tx, "cus_ada", full).await.expect("an answer");
}

fn job(full: bool) -> Job {
    Job::SyncCustomer { customer: "cus_ada".to_owned(), full }
}

/// What there is to do for `cus_ada` at a time: whether all of it is to be read.
async fn due(tx: &mut Tx, at: DateTime<Utc>) -> Option<bool> {
    let jobs = outbox::take_due(tx, Lane::Maintenance, at, 10).await.expect("jobs");
    match &jobs[..] {
        [] => None,
        [Job::SyncCustomer { customer, full }] if customer == "cus_ada" => Some(*full),
        other => panic!("{other:?}"),
    }
}

/// An account with the customer `cus_ada`.
async fn ada(app: &App) -> UserId {
    let ada = app.verified_user("ada@example.com").await;
    let mut tx = begin(app).await;
    put(&mut tx, "cus_ada", ada, app.clock.now()).await;
    tx.commit().await.expect("a commit");
    ada
}

async fn set_organization(tx: &mut Tx, user: UserId, to: &str) {
    let sql = "update users set organization = $2 where id = $1";
    on!(tx, |c| sqlx::query(sql).bind(user).bind(to).execute(&mut *c).await.expect("a change").rows_affected());
}

both_engines! {
    async fn an_account_has_one_customer_in_each_mode(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        assert_eq!((get(&mut tx, ada, false).await, get(&mut tx, ada, true).await), (None, None));
        for customer in ["cus_1", "cus_2"] {
            assert_eq!(put(&mut tx, customer, ada, now).await, "cus_1");
        }
        let live = stripe_customers::put(&mut tx, "cus_3", ada, true, now).await.expect("a customer");
        assert_eq!(live, "cus_3");
        assert_eq!(get(&mut tx, ada, false).await.as_deref(), Some("cus_1"));
        assert_eq!(get(&mut tx, ada, true).await.as_deref(), Some("cus_3"));
        for (customer, owner) in [("cus_1", Some(ada)), ("cus_3", Some(ada)), ("cus_2", None)] {
            assert_eq!(stripe_customers::owner(&mut tx, customer).await.expect("an answer"), owner, "{customer}");
        }
        assert!(stripe_customers::put(&mut tx, "cus_1", eve, false, now).await.is_err(), "somebody else's");
        assert_eq!(get(&mut tx, eve, false).await, None);
    }

    async fn whoever_notes_a_customer_at_once_gets_the_one_that_is_kept(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tasks = JoinSet::new();
        for number in 0..10 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let kept = put(&mut tx, &format!("cus_{number}"), ada, now).await;
                tx.commit().await.expect("a commit");
                kept
            });
        }
        let kept = tasks.join_all().await;
        let stored = get(&mut begin(&app).await, ada, false).await.expect("a customer");
        assert_eq!(kept, vec![stored; 10]);
    }

    async fn customers_are_listed_in_pages_by_mode(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        assert_eq!(stripe_customers::all(&mut tx, false, None, 10).await.expect("customers"), []);
        drop(tx);
        let mut all = Vec::new();
        for name in ["a", "b", "c"] {
            let user = app.verified_user(&format!("{name}@example.com")).await;
            let mut tx = begin(&app).await;
            all.push((put(&mut tx, &format!("cus_{name}"), user, now).await, user));
            tx.commit().await.expect("a commit");
        }
        let mut tx = begin(&app).await;
        let live = stripe_customers::put(&mut tx, "cus_live", all[0].1, true, now).await.expect("a customer");
        let of_mode = stripe_customers::all(&mut tx, true, None, 10).await.expect("customers");
        assert_eq!(of_mode, [(live, all[0].1)]);
        assert_eq!(stripe_customers::all(&mut tx, false, None, 10).await.expect("customers"), all);
        let page = stripe_customers::all(&mut tx, false, None, 2).await.expect("customers");
        assert_eq!(page, all[..2]);
        let next = stripe_customers::all(&mut tx, false, Some(&page[1].0), 2).await.expect("customers");
        assert_eq!(next, all[2..]);
    }

    async fn what_was_read_earlier_is_not_written_any_more(app: App) {
        ada(&app).await;
        let mut tx = begin(&app).await;
        assert_eq!((start(&mut tx, "cus_ada").await, start(&mut tx, "cus_ada").await), (Some(1), Some(2)));
        assert!(finish(&mut tx, "cus_ada", 2).await);
        for late in [1, 2] {
            assert!(!finish(&mut tx, "cus_ada", late).await, "{late}");
        }
        assert_eq!(start(&mut tx, "cus_ada").await, Some(3));
        assert!(finish(&mut tx, "cus_ada", 3).await);
        assert_eq!(start(&mut tx, "cus_unknown").await, None);
        assert!(!finish(&mut tx, "cus_unknown", 1).await);
    }

    async fn of_many_who_write_at_once_whoever_read_last_is_never_overwritten(app: App) {
        let ada = ada(&app).await;
        let mut starts = JoinSet::new();
        for _ in 0..20 {
            let db = app.services.db.clone();
            starts.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let number = start(&mut tx, "cus_ada").await.expect("a number");
                tx.commit().await.expect("a commit");
                number
            });
        }
        let mut numbers = starts.join_all().await;
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
        let mut tasks = JoinSet::new();
        for number in numbers.into_iter().rev() {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mine = finish(&mut tx, "cus_ada", number).await;
                if mine {
                    set_organization(&mut tx, ada, &number.to_string()).await;
                }
                tx.commit().await.expect("a commit");
                (number, mine)
            });
        }
        let outcomes = tasks.join_all().await;
        assert!(outcomes.contains(&(20, true)), "{outcomes:?}");
        let mut tx = begin(&app).await;
        let user = users::by_id(&mut tx, ada).await.expect("a row").expect("a user");
        assert_eq!(user.organization.as_deref(), Some("20"));
    }

    async fn a_customer_that_is_locked_is_waited_for(app: App) {
        ada(&app).await;
        let mut tx = begin(&app).await;
        stripe_customers::lock(&mut tx, "cus_ada").await.expect("a lock");
        stripe_customers::lock(&mut tx, "cus_unknown").await.expect("nothing to lock");
        let db = app.services.db.clone();
        let second = tokio::spawn(async move {
            let mut tx = db.begin().await.expect("a transaction");
            stripe_customers::lock(&mut tx, "cus_ada").await.expect("a lock");
            start(&mut tx, "cus_ada").await
        });
        assert_eq!(start(&mut tx, "cus_ada").await, Some(1));
        tx.commit().await.expect("a commit");
        assert_eq!(second.await.expect("a task"), Some(2));
    }

    async fn who_is_woken_has_one_row_that_is_due_now(app: App) {
        ada(&app).await;
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        for _ in 0..3 {
            wake(&mut tx, false, now).await;
        }
        assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 1);
        assert_eq!(due(&mut tx, now).await, Some(false));
        assert_eq!(due(&mut tx, now).await, None, "it is under way");
        // Woken again, it does not wait for the one that is under way.
        wake(&mut tx, false, now).await;
        assert_eq!(due(&mut tx, now).await, Some(false));
        outbox::put(&mut tx, &[(job(false), now + TimeDelta::hours(1))]).await.expect("a row");
        assert_eq!(due(&mut tx, now).await, None, "it was put off");
        wake(&mut tx, false, now).await;
        assert_eq!(due(&mut tx, now).await, Some(false));
    }

    async fn whoever_asked_for_all_of_it_gets_all_of_it(app: App) {
        ada(&app).await;
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        wake(&mut tx, false, now).await;
        assert_eq!(due(&mut tx, now).await, Some(false));
        for full in [true, false] {
            wake(&mut tx, full, now).await;
            assert_eq!(due(&mut tx, now).await, Some(true), "{full}");
        }
        // Whoever was at a part when all of it was asked for does not end that.
        rest(&mut tx, false).await;
        wake(&mut tx, false, now).await;
        assert_eq!(due(&mut tx, now).await, Some(true));
        rest(&mut tx, true).await;
        assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 0);
        for full in [false, true] {
            wake(&mut tx, false, now).await;
            rest(&mut tx, full).await;
            assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 0, "{full}");
        }
        rest(&mut tx, true).await;
    }

    async fn of_many_who_wake_at_once_one_who_asks_for_all_of_it_is_enough(app: App) {
        ada(&app).await;
        let now = app.clock.now();
        let mut tasks = JoinSet::new();
        for number in 0..10 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                wake(&mut tx, number == 4, now).await;
                tx.commit().await.expect("a commit");
            });
        }
        tasks.join_all().await;
        let mut tx = begin(&app).await;
        assert_eq!(due(&mut tx, now).await, Some(true));
        assert_eq!(outbox::count(&mut tx, Lane::Maintenance).await.expect("a count"), 1);
    }
}
