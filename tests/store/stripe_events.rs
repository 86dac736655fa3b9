//! What Stripe told: stored once, applied once, given up after a while, and replayed.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::UserId;
use shared::on;
use shared::store::stripe_events::{self, EventStatus, Filter, NewEvent, Pending, StoredEvent, Via};
use shared::store::{Tx, accounts, stripe_customers};
use tokio::task::JoinSet;

use super::{MANY, begin};
use crate::harness::engines::both_engines;

/// An event of Stripe about an invoice of a customer.
pub(super) fn event<'a>(id: &'a str, customer: Option<&'a str>, at: DateTime<Utc>) -> NewEvent<'a> {
    NewEvent {
        id,
        kind: "invoice.paid",
        object_id: Some("in_1"),
        customer,
        livemode: Some(false),
        api_version: Some("2026-09-30.endive"),
        via: Via::Webhook,
        created_at: at,
        payload: "{\"id\": \"evt\",  \"name\": \"Ada\"}",
        status: EventStatus::Pending,
    }
}

async fn insert(tx: &mut Tx, event: &NewEvent<'_>, now: DateTime<Utc>) -> bool {
    stripe_events::insert(tx, event, now).await.expect("an answer")
}

async fn get(tx: &mut Tx, id: &str) -> StoredEvent {
    stripe_events::get(tx, id).await.expect("a row").expect("an event")
}

/// Where an event stands: its status, the attempts, and the error.
async fn stands(tx: &mut Tx, id: &str) -> (EventStatus, i64, Option<String>) {
    let event = get(tx, id).await;
    (event.status, event.attempts, event.error)
}

async fn pending(tx: &mut Tx, customer: &str, limit: i64) -> Vec<String> {
    let pending = stripe_events::pending(tx, customer, limit).await.expect("events");
    pending.into_iter().map(|event| event.id).collect()
}

async fn payload(tx: &mut Tx, id: &str) -> String {
    let sql = "select payload from stripe_events where id = $1";
    on!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_one(&mut *c).await.expect("a payload"))
}

async fn applied(tx: &mut Tx, ids: &[&str], now: DateTime<Utc>) {
    stripe_events::applied(tx, &owned(ids), now).await.expect("a change");
}

async fn failed(tx: &mut Tx, ids: &[&str], error: &str) {
    stripe_events::failed(tx, &owned(ids), error, 3).await.expect("a change");
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Events `evt_000` to `evt_084` of `cus_ada`, a second after each other.
async fn put_many(tx: &mut Tx, now: DateTime<Utc>) -> Vec<String> {
    let names: Vec<_> = (0..MANY).map(|n| format!("evt_{n:03}")).collect();
    for (seconds, name) in (0..).zip(&names) {
        assert!(insert(tx, &event(name, Some("cus_ada"), now), now + TimeDelta::seconds(seconds)).await);
    }
    names
}

both_engines! {
    async fn an_event_is_stored_once_and_as_it_came(app: App) {
        let now = app.clock.now();
        let before = now - TimeDelta::hours(1);
        let mut tx = begin(&app).await;
        assert_eq!(stripe_events::get(&mut tx, "evt_1").await.expect("no row"), None);
        let new = event("evt_1", Some("cus_ada"), before);
        assert!(insert(&mut tx, &new, now).await);
        let stored = get(&mut tx, "evt_1").await;
        let expected = StoredEvent {
            id: "evt_1".to_owned(),
            row_id: stored.row_id,
            kind: "invoice.paid".to_owned(),
            object_id: Some("in_1".to_owned()),
            customer: Some("cus_ada".to_owned()),
            livemode: Some(false),
            api_version: Some("2026-09-30.endive".to_owned()),
            via: Via::Webhook,
            status: EventStatus::Pending,
            attempts: 0,
            error: None,
            created_at: before,
            received_at: now,
            applied_at: None,
        };
        assert_eq!(stored, expected);
        assert_eq!(payload(&mut tx, "evt_1").await, new.payload);
        let again = NewEvent { via: Via::Reconcile, payload: "other", status: EventStatus::Ignored, ..new };
        assert!(!insert(&mut tx, &again, now + TimeDelta::hours(1)).await);
        assert_eq!(get(&mut tx, "evt_1").await, expected);
        assert_eq!(payload(&mut tx, "evt_1").await, new.payload);

        let bare = NewEvent {
            object_id: None,
            livemode: None,
            api_version: None,
            via: Via::Reconcile,
            status: EventStatus::Ignored,
            ..event("evt_2", None, before)
        };
        assert!(insert(&mut tx, &bare, now).await);
        let stored = get(&mut tx, "evt_2").await;
        assert_eq!((stored.object_id, stored.customer, stored.livemode, stored.api_version), (None, None, None, None));
        assert_eq!((stored.via, stored.status), (Via::Reconcile, EventStatus::Ignored));
    }

    async fn of_fifty_who_store_an_event_at_once_one_did_it(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        stripe_customers::put(&mut tx, "cus_ada", ada, false, now).await.expect("a customer");
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for _ in 0..50 {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let mine = insert(&mut tx, &event("evt_1", Some("cus_ada"), now), now).await;
                tx.commit().await.expect("a commit");
                mine
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|mine| *mine).count(), 1);
        assert_eq!(pending(&mut begin(&app).await, "cus_ada", 10).await, ["evt_1"]);
    }

    async fn those_who_store_events_of_one_customer_and_wake_it_in_any_order_do_not_wait_for_each_other(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        stripe_customers::put(&mut tx, "cus_ada", ada, false, now).await.expect("a customer");
        tx.commit().await.expect("a commit");
        let mut tasks = JoinSet::new();
        for ids in [["evt_1", "evt_2"], ["evt_2", "evt_1"]].into_iter().cycle().take(20) {
            let db = app.services.db.clone();
            tasks.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                for id in ids {
                    insert(&mut tx, &event(id, Some("cus_ada"), now), now).await;
                    stripe_customers::wake(&mut tx, "cus_ada", false, now).await.expect("a row");
                }
                tx.commit().await.expect("a commit");
            });
        }
        assert_eq!(tasks.join_all().await.len(), 20);
        assert_eq!(pending(&mut begin(&app).await, "cus_ada", 10).await.len(), 2);
    }

    async fn the_events_that_wait_for_a_customer_come_in_the_order_they_came_in(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let at = |seconds| now + TimeDelta::seconds(seconds);
        // What happened first may come last.
        for (seconds, id) in (0..).zip(["evt_3", "evt_1", "evt_2"]) {
            assert!(insert(&mut tx, &event(id, Some("cus_ada"), at(-seconds)), at(seconds)).await);
        }
        let ignored = NewEvent { status: EventStatus::Ignored, ..event("evt_4", Some("cus_ada"), now) };
        assert!(insert(&mut tx, &ignored, now).await);
        assert!(insert(&mut tx, &event("evt_5", Some("cus_eve"), now), now).await);
        assert!(insert(&mut tx, &event("evt_6", None, now), now).await);
        assert_eq!(pending(&mut tx, "cus_ada", 10).await, ["evt_3", "evt_1", "evt_2"]);
        assert_eq!(pending(&mut tx, "cus_ada", 2).await, ["evt_3", "evt_1"]);
        assert_eq!(pending(&mut tx, "cus_nobody", 2).await, [""; 0]);
        failed(&mut tx, &["evt_5"], "no").await;
        let expected = Pending {
            id: "evt_5".to_owned(),
            kind: "invoice.paid".to_owned(),
            object_id: Some("in_1".to_owned()),
            attempts: 1,
        };
        assert_eq!(stripe_events::pending(&mut tx, "cus_eve", 2).await.expect("events"), [expected]);
    }

    async fn what_is_applied_waits_no_longer(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let names = put_many(&mut tx, now).await;
        failed(&mut tx, &["evt_000"], "no").await;
        stripe_events::applied(&mut tx, &names[..MANY - 1], now).await.expect("a change");
        assert_eq!(pending(&mut tx, "cus_ada", 100).await, names[MANY - 1..]);
        let first = get(&mut tx, "evt_000").await;
        assert_eq!((first.status, first.attempts, first.error), (EventStatus::Applied, 1, None));
        applied(&mut tx, &["evt_000", "unknown"], now + TimeDelta::hours(1)).await;
        assert_eq!(get(&mut tx, "evt_000").await.applied_at, Some(now), "the first time counts");
        applied(&mut tx, &[], now).await;
        let ignored = NewEvent { status: EventStatus::Ignored, ..event("evt", Some("cus_ada"), now) };
        assert!(insert(&mut tx, &ignored, now).await);
        applied(&mut tx, &["evt"], now).await;
        assert_eq!(stands(&mut tx, "evt").await, (EventStatus::Ignored, 0, None));
    }

    async fn what_fails_often_enough_is_dead_unless_somebody_applies_it(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let names = put_many(&mut tx, now).await;
        for (attempts, status) in [(1, EventStatus::Pending), (2, EventStatus::Pending), (3, EventStatus::Dead)] {
            let error = format!("error {attempts}");
            stripe_events::failed(&mut tx, &names[..MANY - 1], &error, 3).await.expect("a change");
            for name in [&names[0], &names[MANY - 2]] {
                assert_eq!(stands(&mut tx, name).await, (status, attempts, Some(error.clone())));
            }
        }
        assert_eq!(pending(&mut tx, "cus_ada", 100).await, names[MANY - 1..]);
        failed(&mut tx, &["evt_000"], "late").await;
        assert_eq!(stands(&mut tx, "evt_000").await, (EventStatus::Dead, 3, Some("error 3".to_owned())));
        applied(&mut tx, &["evt_000"], now).await;
        assert_eq!(stands(&mut tx, "evt_000").await, (EventStatus::Applied, 3, None));
        failed(&mut tx, &["evt_000"], "late").await;
        failed(&mut tx, &[], "nothing").await;
        assert_eq!(stands(&mut tx, "evt_000").await, (EventStatus::Applied, 3, None));
    }

    async fn what_is_not_to_blame_for_a_failure_does_not_die_of_it(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let names = put_many(&mut tx, now).await;
        failed(&mut tx, &["evt_000"], "its own").await;
        for attempts in [1, 2, 2, 2] {
            stripe_events::delayed(&mut tx, &names[1..], "an outage", 2).await.expect("a change");
            for name in [&names[1], &names[MANY - 1]] {
                let error = Some("an outage".to_owned());
                assert_eq!(stands(&mut tx, name).await, (EventStatus::Pending, attempts, error));
            }
        }
        assert_eq!(stands(&mut tx, "evt_000").await, (EventStatus::Pending, 1, Some("its own".to_owned())));
        failed(&mut tx, &["evt_001"], "its own").await;
        assert_eq!(stands(&mut tx, "evt_001").await, (EventStatus::Dead, 3, Some("its own".to_owned())));
        stripe_events::delayed(&mut tx, &names[1..2], "an outage", 9).await.expect("no change");
        assert_eq!(stands(&mut tx, "evt_001").await, (EventStatus::Dead, 3, Some("its own".to_owned())));
    }

    async fn events_are_listed_the_newest_first_by_status_and_in_pages(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        for (seconds, id) in (0..).zip(["evt_1", "evt_2", "evt_3", "evt_4"]) {
            let at = now + TimeDelta::seconds(seconds);
            assert!(insert(&mut tx, &event(id, Some("cus_ada"), at), at).await);
        }
        applied(&mut tx, &["evt_2"], now).await;
        let mut found = Vec::new();
        for id in ["evt_4", "evt_3", "evt_2", "evt_1"] {
            found.push(get(&mut tx, id).await);
        }
        let all = Filter::default();
        assert_eq!(stripe_events::list(&mut tx, &all, 10).await.expect("events"), found);
        assert_eq!(stripe_events::list(&mut tx, &all, 2).await.expect("events"), found[..2]);
        let rest = Filter { before: Some(found[1].row_id), ..all };
        assert_eq!(stripe_events::list(&mut tx, &rest, 10).await.expect("events"), found[2..]);
        let of_status = Filter { status: Some(EventStatus::Applied), ..all };
        assert_eq!(stripe_events::list(&mut tx, &of_status, 10).await.expect("events"), found[2..3]);
        let both = Filter { status: Some(EventStatus::Pending), ..rest };
        assert_eq!(stripe_events::list(&mut tx, &both, 10).await.expect("events"), found[3..]);
    }

    async fn what_is_dead_or_was_ignored_can_be_replayed_and_nothing_else(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        for (id, customer, status) in [
            ("dead", Some("cus_ada"), EventStatus::Dead),
            ("ignored", Some("cus_ada"), EventStatus::Ignored),
            ("pending", Some("cus_ada"), EventStatus::Pending),
            ("applied", Some("cus_ada"), EventStatus::Applied),
            ("nobody's", None, EventStatus::Ignored),
        ] {
            assert!(insert(&mut tx, &NewEvent { status, ..event(id, customer, now) }, now).await);
        }
        for _ in 0..3 {
            failed(&mut tx, &["pending"], "no").await;
        }
        for (id, is_replayed) in [
            ("dead", true), ("ignored", true), ("pending", true),
            ("applied", false), ("nobody's", false), ("unknown", false),
            // What has been replayed waits.
            ("dead", false), ("ignored", false), ("pending", false),
        ] {
            let replayed = stripe_events::replay(&mut tx, id).await.expect("an answer");
            assert_eq!(replayed.is_some(), is_replayed, "{id}");
            if let Some(event) = replayed {
                assert_eq!((event.status, event.attempts, &event.error), (EventStatus::Pending, 0, &None), "{id}");
                assert_eq!(event, get(&mut tx, id).await);
            }
        }
        assert_eq!(pending(&mut tx, "cus_ada", 10).await.len(), 3);
    }

    async fn old_events_are_deleted_when_nothing_is_to_be_done_about_them(app: App) {
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let moment = TimeDelta::microseconds(1);
        for (id, status) in [
            ("dead", EventStatus::Dead), ("ignored", EventStatus::Ignored), ("pending", EventStatus::Pending),
            ("applied", EventStatus::Applied),
        ] {
            assert!(insert(&mut tx, &NewEvent { status, ..event(id, None, now) }, now).await);
        }
        let young = NewEvent { status: EventStatus::Ignored, ..event("young", None, now - TimeDelta::days(1)) };
        assert!(insert(&mut tx, &young, now + moment).await);
        for (before, count) in [(now, 0), (now + moment, 2), (now + moment, 0)] {
            assert_eq!(stripe_events::prune(&mut tx, before).await.expect("a count"), count);
        }
        for id in ["dead", "pending", "young"] {
            get(&mut tx, id).await;
        }
    }

    async fn what_is_told_of_a_closed_account_is_not_kept(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        for (user, customer, id) in [(ada, "cus_ada", "evt_1"), (eve, "cus_eve", "evt_2")] {
            stripe_customers::put(&mut tx, customer, user, false, now).await.expect("a customer");
            assert!(insert(&mut tx, &event(id, Some(customer), now), now).await);
        }
        assert!(insert(&mut tx, &event("evt_3", None, now), now).await);
        stripe_events::anonymise(&mut tx, ada).await.expect("a change");
        stripe_events::anonymise(&mut tx, UserId::new(now)).await.expect("nothing to change");
        let told = event("", None, now).payload;
        for (id, expected) in [("evt_1", "{}"), ("evt_2", told), ("evt_3", told)] {
            assert_eq!(payload(&mut tx, id).await, expected, "{id}");
        }
        // What comes later says nothing either, and is applied all the same.
        assert!(accounts::anonymise(&mut tx, ada, now).await.expect("a change"));
        for (id, customer, expected) in [("evt_4", "cus_ada", "{}"), ("evt_5", "cus_eve", told)] {
            assert!(insert(&mut tx, &event(id, Some(customer), now), now).await);
            assert_eq!(payload(&mut tx, id).await, expected, "{id}");
        }
        assert_eq!(pending(&mut tx, "cus_ada", 10).await.len(), 2);
    }
}
