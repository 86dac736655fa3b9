//! What the scheduler does and when, on both engines, with a clock that is moved by hand.
//!
//! The trial of `verified_user` begins with the test, on 15 January 2026 at nine, and ends thirty days later. Stripe is not
//! configured; what duties do with it is in `tests/stripe`.

mod subscriptions;

use ::scheduler::{DutyError, Ran, once, tick_once};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::domain::payment::{EventStatus, Via};
use shared::email::{Mail, TrialEnded};
use shared::ids::{self, SessionId, UserId, WorkflowId};
use shared::job::{Job, Lane};
use shared::on;
use shared::store::account_events::Origin;
use shared::store::sessions::Session;
use shared::store::stripe_events::{self, NewEvent};
use shared::store::stripe_operations::{self, Begun, Request};
use shared::store::stripe_reconciliations::{self, Reconciliation};
use shared::store::{Tx, duties, idempotency, mails, outbox, sessions, users};
use uuid::Uuid;

use crate::harness::engines::{App, both_engines};

const END: &str = "2026-02-14T09:00:00Z";
/// Every duty, in the order of the timetable.
const ALL: [&str; 8] = [
    "trial_warnings",
    "subscription_warnings",
    "requeue",
    "expire_payments",
    "reconcile_stripe",
    "compare_stripe",
    "rotate_signing_keys",
    "prune",
];
/// Those of a full hour that is not special.
const HOURLY: [&str; 5] = ["trial_warnings", "subscription_warnings", "requeue", "expire_payments", "reconcile_stripe"];

/// The value, or a test that ends here.
fn ok<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

async fn tick(app: &App) -> Vec<Ran> {
    ok(tick_once(&app.services, "one").await)
}

fn names(ran: &[Ran]) -> Vec<&str> {
    ran.iter().map(|ran| ran.duty).collect()
}

async fn begin(app: &App) -> Tx {
    ok(app.services.db.begin().await)
}

/// The occasions of all warnings so far, in the order of the alphabet.
async fn warnings(app: &App) -> Vec<String> {
    let mut occasions: Vec<_> = app.mails("trial_ending").await.into_iter().map(|(_, occasion)| occasion).collect();
    occasions.sort();
    occasions
}

fn warning(days: u32) -> String {
    format!("{days}:{END}")
}

both_engines! {
    async fn a_trial_is_warned_of_once_at_seven_three_and_one_day_and_when_it_has_ended(app: App) {
        app.verified_user("ada@example.com").await;
        let (mut warned, mut ended) = (Vec::new(), Vec::new());
        for quarter_days in 0..160_i64 {
            tick(&app).await;
            if app.mails("trial_ending").await.len() > warned.len() {
                warned.push(quarter_days / 4);
            }
            if app.mails("trial_ended").await.len() > ended.len() {
                ended.push(quarter_days / 4);
            }
            app.clock.advance(TimeDelta::hours(6));
        }
        assert_eq!((warned, ended), (vec![23, 27, 29], vec![30]));
        assert_eq!(warnings(&app).await, [warning(1), warning(3), warning(7)]);
        assert_eq!(app.mails("trial_ended").await, [("ada@example.com".to_owned(), format!("ended:{END}"))]);
    }
}

both_engines! {
    async fn an_extended_trial_is_warned_of_again(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        app.clock.advance(TimeDelta::days(23));
        tick(&app).await;
        extend_trial(&app, ada, TimeDelta::days(10)).await;
        app.clock.advance(TimeDelta::days(1));
        tick(&app).await;
        assert_eq!(warnings(&app).await, [warning(7)]);
        app.clock.advance(TimeDelta::days(9));
        tick(&app).await;
        assert_eq!(warnings(&app).await, [warning(7), "7:2026-02-24T09:00:00Z".to_owned()]);
    }
}

async fn extend_trial(app: &App, user: UserId, by: TimeDelta) {
    let end: DateTime<Utc> = ok(END.parse());
    let mut tx = begin(app).await;
    let done = on!(tx, |c| {
        let query = sqlx::query("update trials set ends_at = $2 where user_id = $1").bind(user).bind(end + by);
        ok(query.execute(&mut *c).await).rows_affected()
    });
    ok(tx.commit().await);
    assert_eq!(done, 1);
}

both_engines! {
    async fn of_two_replicas_one_acts(app: App) {
        app.verified_user("ada@example.com").await;
        app.clock.advance(TimeDelta::days(23));
        let (one, other) = tokio::join!(tick_once(&app.services, "one"), tick_once(&app.services, "other"));
        let mut ran = [ok(one), ok(other)].concat();
        ran.sort_by_key(|ran| ran.duty);
        let mut all = ALL;
        all.sort_unstable();
        assert_eq!(names(&ran), all);
        assert_eq!(app.mails("trial_ending").await, [("ada@example.com".to_owned(), warning(7))]);
    }
}

both_engines! {
    async fn the_duty_of_a_replica_that_died_is_done_after_its_lease(app: App) {
        tick(&app).await;
        app.clock.advance(TimeDelta::hours(1));
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        let lease = (now, now + TimeDelta::seconds(60));
        assert!(ok(duties::take(&mut tx, "trial_warnings", "dead", lease).await).is_some());
        ok(tx.commit().await);
        assert_eq!(names(&tick(&app).await), HOURLY[1..]);
        app.clock.advance(TimeDelta::seconds(61));
        assert_eq!(names(&tick(&app).await), ["trial_warnings", "requeue", "expire_payments"]);
    }
}

both_engines! {
    async fn a_new_duty_is_done_at_once_and_then_by_the_timetable(app: App) {
        assert_eq!(names(&tick(&app).await), ALL);
        assert!(tick(&app).await.is_empty());
        app.clock.advance(TimeDelta::minutes(1));
        assert_eq!(names(&tick(&app).await), ["requeue", "expire_payments"]);
        app.clock.advance(TimeDelta::hours(1));
        assert_eq!(names(&tick(&app).await), HOURLY);
    }
}

both_engines! {
    async fn after_a_week_down_each_duty_runs_once_and_only_the_fitting_warning_is_sent(app: App) {
        app.verified_user("ada@example.com").await;
        app.clock.advance(TimeDelta::days(21));
        tick(&app).await;
        app.clock.advance(TimeDelta::days(7) + TimeDelta::minutes(20));
        let ran = tick(&app).await;
        assert_eq!(names(&ran), ALL);
        assert_eq!(ran[0].tick.to_rfc3339(), "2026-02-12T09:00:00+00:00");
        assert!(tick(&app).await.is_empty());
        assert_eq!(warnings(&app).await, [warning(3)]);
    }
}

both_engines! {
    async fn an_end_that_is_long_past_is_not_announced(app: App) {
        app.verified_user("ada@example.com").await;
        app.clock.advance(TimeDelta::days(38));
        tick(&app).await;
        assert!(app.mails("trial_ended").await.is_empty());
        assert!(warnings(&app).await.is_empty());
    }
}

both_engines! {
    async fn a_job_that_was_handed_out_in_vain_is_due_again(app: App) {
        let now = app.clock.now();
        let stuck = Job::Callback { workflow: WorkflowId::new(now) };
        let fresh = Job::Callback { workflow: WorkflowId::new(now) };
        let mut tx = begin(&app).await;
        ok(outbox::put(&mut tx, &[(stuck.clone(), now)]).await);
        for hours in 0..8 {
            let later = now + TimeDelta::hours(hours);
            assert_eq!(ok(outbox::take_due(&mut tx, Lane::Maintenance, later, 10).await).len(), 1);
        }
        ok(outbox::put(&mut tx, &[(fresh, now + TimeDelta::hours(9))]).await);
        ok(tx.commit().await);
        assert!(ok(once(&app.services, "requeue", now).await).starts_with("1 stuck jobs"));
        let mut tx = begin(&app).await;
        assert_eq!(ok(outbox::take_due(&mut tx, Lane::Maintenance, now, 10).await), [stuck]);
    }
}

both_engines! {
    async fn pruning_keeps_what_is_young(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let now = app.clock.now() + TimeDelta::days(200);
        let (old, young) = (Leftovers::put(&app, ada, now, true).await, Leftovers::put(&app, ada, now, false).await);
        ok(once(&app.services, "prune", now).await);
        assert_eq!(old.found(&app, ada, now).await, [false; 7]);
        assert_eq!(young.found(&app, ada, now).await, [true; 7]);
    }
}

/// One row of each sort that is pruned, an hour older or younger than it is kept.
struct Leftovers {
    name: &'static str,
    session: SessionId,
}

impl Leftovers {
    async fn put(app: &App, user: UserId, now: DateTime<Utc>, old: bool) -> Self {
        let name = if old { "old" } else { "young" };
        let edge = now + TimeDelta::hours(if old { -1 } else { 1 });
        let days = |days| edge - TimeDelta::days(days);
        let session = session(user, days(30));
        let mut tx = begin(app).await;
        let wanted = idempotency::Wanted { user, key: name, fingerprint: "fingerprint" };
        assert_eq!(ok(idempotency::take(&mut tx, "route", &[wanted], (days(1), days(2))).await).len(), 1);
        ok(users::insert_token(&mut tx, user, ("verify_email", name), days(8), days(7)).await);
        ok(sessions::insert(&mut tx, &session, &Origin::default(), None).await);
        put_sent_mail(&mut tx, user, name, days(90)).await;
        put_word_of_stripe(&mut tx, user, name, (days(7), days(90))).await;
        ok(tx.commit().await);
        Self { name, session: session.id }
    }

    /// Whether the answer, the token, the session, the mail, the operation at Stripe, Stripe's event and the comparison
    /// are still there.
    async fn found(&self, app: &App, user: UserId, now: DateTime<Utc>) -> [bool; 7] {
        let mut tx = begin(app).await;
        let answer = ok(idempotency::get(&mut tx, (user, "route", self.name)).await).is_some();
        // A token can only be asked for while it is good.
        let good = now - TimeDelta::days(9);
        let token = ok(users::spend_token(&mut tx, ("verify_email", self.name), good).await).is_some();
        let session = ok(sessions::get(&mut tx, self.session).await).is_some();
        let sql = "select count(*) from stripe_operations where client_key = $1";
        let operations: i64 = on!(tx, |c| ok(sqlx::query_scalar(sql).bind(self.name).fetch_one(&mut *c).await));
        let event = ok(stripe_events::get(&mut tx, self.name).await).is_some();
        let comparisons = ok(stripe_reconciliations::list(&mut tx, None, 10).await);
        let comparison = comparisons.iter().any(|comparison| comparison.kind == self.name);
        drop(tx);
        let mail = app.mails("trial_ended").await.iter().any(|(_, occasion)| occasion == self.name);
        [answer, token, session, mail, operations == 1, event, comparison]
    }
}

fn session(user_id: UserId, expires_at: DateTime<Utc>) -> Session {
    let rotated_at = expires_at - TimeDelta::days(30);
    Session { id: SessionId::new(rotated_at), user_id, counter: 0, rotated_at, expires_at, revoked_at: None }
}

async fn put_sent_mail(tx: &mut Tx, user: UserId, occasion: &str, sent: DateTime<Utc>) {
    let (name, link) = ("Ada".to_owned(), "https://autoos.example/".to_owned());
    let mail = Mail::TrialEnded(TrialEnded { name, link, ended_at: sent });
    assert!(ok(mails::put(tx, (user, "ada@example.com"), &mail, occasion, sent).await));
    let id: Uuid = on!(tx, |c| {
        let query = sqlx::query_scalar("select id from mails where user_id = $1 and occasion = $2");
        ok(query.bind(user).bind(occasion).fetch_one(&mut *c).await)
    });
    ok(mails::finish(tx, id, "sent", None, sent).await);
}

async fn put_word_of_stripe(tx: &mut Tx, user: UserId, name: &str, (begun, told): (DateTime<Utc>, DateTime<Utc>)) {
    let request = Request { user, route: "route", client_key: Some(name), fingerprint: "fingerprint" };
    assert!(matches!(ok(stripe_operations::begin(tx, &request, begun).await), Begun::Do(_)));
    let event = NewEvent {
        id: name,
        kind: "invoice.paid",
        object_id: None,
        customer: None,
        livemode: None,
        api_version: None,
        via: Via::Webhook,
        created_at: told,
        payload: "{}",
        status: EventStatus::Ignored,
    };
    assert!(ok(stripe_events::insert(tx, &event, told).await));
    let comparison = Reconciliation {
        id: ids::new(told),
        kind: name.to_owned(),
        started_at: told,
        finished_at: told,
        listed: 0,
        found: 0,
        detail: json!({}),
    };
    ok(stripe_reconciliations::put(tx, &comparison).await);
}

both_engines! {
    async fn a_duty_that_does_not_exist_is_refused_with_those_that_do(app: App) {
        let error = once(&app.services, "laundry", app.clock.now()).await;
        let Err(DutyError::Unknown { known, .. }) = error else { panic!("{error:?}") };
        assert_eq!(known, ALL.join(", "));
    }
}
