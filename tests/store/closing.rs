//! What a closed account leaves, and how it is erased: mails that wait, workflows, tokens, codes, whereabouts, and what
//! Stripe told.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::domain::workflow::Command;
use shared::email::{AccountDeleted, Mail, TrialEnded};
use shared::ids::{SessionId, UserId, WorkflowId};
use shared::job::Lane;
use shared::on;
use shared::store::account_events::{self, Event, EventKind, Origin};
use shared::store::idempotency::{self, Wanted};
use shared::store::sessions::{self, Session};
use shared::store::stripe_operations::{self, Request};
use shared::store::usage::{self, InUse};
use shared::store::{Tx, accounts, invoices, mails, mfa, outbox, stripe_customers, stripe_events, users};
use uuid::Uuid;

use super::invoices::invoice;
use super::stripe_events::event as stripe_event;
use super::{MANY, accept, begin, claim, intent, order, planned};
use crate::harness::engines::{App, both_engines};

fn farewell(at: DateTime<Utc>) -> Mail {
    Mail::AccountDeleted(AccountDeleted { name: "Ada".to_owned(), at })
}

fn other(ended_at: DateTime<Utc>) -> Mail {
    Mail::TrialEnded(TrialEnded { name: "Ada".to_owned(), link: "https://autoos.example/".to_owned(), ended_at })
}

async fn put(tx: &mut Tx, user: UserId, (mail, occasion): (&Mail, &str), now: DateTime<Utc>) {
    assert!(mails::put(tx, (user, "ada@example.com"), mail, occasion, now).await.expect("a mail"));
}

/// The id of a mail.
async fn mail_id(tx: &mut Tx, user: UserId, occasion: &str) -> Uuid {
    let sql = "select id from mails where user_id = $1 and occasion = $2";
    on!(tx, |c| sqlx::query_scalar(sql).bind(user).bind(occasion).fetch_one(&mut *c).await.expect("a mail"))
}

async fn workflows(tx: &mut Tx, user: UserId, limit: i64) -> Vec<(WorkflowId, bool)> {
    accounts::workflows(tx, user, limit).await.expect("workflows")
}

/// How many workflows, steps and audit entries there are.
async fn content(tx: &mut Tx) -> (i64, i64, i64) {
    let sql = "select (select count(*) from workflows), (select count(*) from steps), (select count(*) from audit)";
    on!(tx, |c| sqlx::query_as(sql).fetch_one(&mut *c).await.expect("counts"))
}

type Traces = (i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// How many tokens, backup codes, answers, mails, sessions and events that tell a place, operations at Stripe, events
/// of Stripe that say something and invoices with links there are of a user.
async fn traces(tx: &mut Tx, user: UserId) -> Traces {
    let sql = "select (select count(*) from mail_tokens where user_id = $1),
         (select count(*) from backup_codes where user_id = $1),
         (select count(*) from idempotency_keys where user_id = $1),
         (select count(*) from mails where user_id = $1),
         (select count(*) from sessions where user_id = $1 and coalesce(address, user_agent, network) is not null),
         (select count(*) from account_events where user_id = $1 and coalesce(address, user_agent) is not null),
         (select count(*) from stripe_operations where user_id = $1),
         (select count(*) from stripe_events e join stripe_customers s on s.customer = e.customer
          where s.user_id = $1 and e.payload <> '{}'),
         (select count(*) from invoices where user_id = $1 and coalesce(hosted_url, pdf_url) is not null)";
    on!(tx, |c| sqlx::query_as(sql).bind(user).fetch_one(&mut *c).await.expect("counts"))
}

/// One of each, but two mails: one that was sent, one that waits.
async fn leave_traces(app: &App, tx: &mut Tx, user: UserId) {
    let now = app.clock.now();
    let (hash, end) = (format!("token of {user}"), now + TimeDelta::hours(1));
    users::insert_token(tx, user, ("reset_password", &hash), now, end).await.expect("a token");
    assert!(mfa::set_secret(tx, user, "sealed").await.expect("a secret"));
    assert!(mfa::enable(tx, user, ("sealed", 1)).await.expect("a change"));
    assert!(mfa::replace_backup_codes(tx, user, &["code".to_owned()]).await.expect("a code"));
    let wanted = Wanted { user, key: "key", fingerprint: "fingerprint" };
    idempotency::take(tx, "route", &[wanted], (now, now - TimeDelta::days(1))).await.expect("a key");
    put(tx, user, (&other(now), "sent"), now).await;
    let sent = mail_id(tx, user, "sent").await;
    mails::finish(tx, sent, "sent", None, now).await.expect("a change");
    put(tx, user, (&farewell(now), "waits"), now).await;
    let origin = Origin { address: Some("198.51.100.7".to_owned()), agent: Some("curl/8".to_owned()) };
    let session = Session {
        id: SessionId::new(now),
        user_id: user,
        counter: 1,
        rotated_at: now,
        expires_at: end,
        revoked_at: None,
    };
    sessions::insert(tx, &session, &origin, Some("198.51.100.7")).await.expect("a session");
    let event = Event::new(EventKind::SignedIn, format!("user:{user}"), user, now);
    account_events::record(tx, &Event { origin, ..event }).await.expect("an event");
    leave_traces_of_stripe(tx, user, now).await;
}

async fn leave_traces_of_stripe(tx: &mut Tx, user: UserId, now: DateTime<Utc>) {
    let request = Request { user, route: "route", client_key: None, fingerprint: "fingerprint" };
    stripe_operations::begin(tx, &request, now).await.expect("an operation");
    let (customer, event_id, invoice_id) = (format!("cus_{user}"), format!("evt_{user}"), format!("in_{user}"));
    stripe_customers::put(tx, &customer, user, false, now).await.expect("a customer");
    assert!(stripe_events::insert(tx, &stripe_event(&event_id, Some(&customer), now), now).await.expect("an event"));
    assert_eq!(invoices::put(tx, &invoice(&invoice_id, Some(user), now)).await.expect("an invoice"), None);
}

both_engines! {
    async fn mails_that_wait_are_dropped_but_for_one_kind(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        for (mail, occasion) in [(&other(now), "one"), (&other(now), "two"), (&other(now), "sent"), (&farewell(now), "end")] {
            put(&mut tx, ada, (mail, occasion), now).await;
        }
        put(&mut tx, eve, (&other(now), "hers"), now).await;
        let sent = mail_id(&mut tx, ada, "sent").await;
        mails::finish(&mut tx, sent, "sent", None, now).await.expect("a change");
        accounts::drop_mails(&mut tx, ada, farewell(now).kind()).await.expect("a change");
        let kept: Vec<String> = on!(tx, |c| {
            sqlx::query_scalar("select occasion from mails order by occasion").fetch_all(&mut *c).await.expect("mails")
        });
        assert_eq!(kept, ["end", "hers", "sent"]);
        assert_eq!(outbox::count(&mut tx, Lane::Mail).await.expect("a count"), 2, "what is dropped is no work either");
        accounts::drop_mails(&mut tx, ada, farewell(now).kind()).await.expect("nothing to drop");
    }

    async fn more_mails_than_one_statement_takes_are_dropped(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        for number in 0..MANY {
            put(&mut tx, ada, (&other(now), &number.to_string()), now).await;
        }
        accounts::drop_mails(&mut tx, ada, farewell(now).kind()).await.expect("a change");
        assert_eq!(outbox::count(&mut tx, Lane::Mail).await.expect("a count"), 0);
    }

    async fn the_workflows_of_an_account_are_told_with_whether_they_have_ended(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let mut expected = Vec::new();
        for number in 0..4 {
            app.clock.advance(TimeDelta::seconds(1));
            let id = planned(&app, ada, 1).await;
            if number % 2 == 0 {
                order(&app, id, Command::Cancel).await;
            }
            expected.push((id, number % 2 == 0));
        }
        accept(&app, &intent(&app, eve, "hers")).await;
        let mut tx = begin(&app).await;
        assert_eq!(workflows(&mut tx, ada, 100).await, expected);
        assert_eq!(workflows(&mut tx, ada, 3).await, expected[..3]);
        assert_eq!(workflows(&mut tx, UserId::new(app.clock.now()), 3).await, []);
    }

    async fn many_workflows_are_erased_with_all_that_they_left_and_no_others(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let hers = planned(&app, eve, 2).await;
        claim(&app, hers, "s000").await;
        let before = content(&mut begin(&app).await).await;
        let mut ids = Vec::new();
        for _ in 0..MANY {
            ids.push(planned(&app, ada, 2).await);
        }
        // One has an output, two steps run, and a third waits for an agent.
        let at = claim(&app, ids[0], "s000").await.at;
        order(&app, ids[0], Command::Complete { at, output: json!({"text": "done"}) }).await;
        claim(&app, ids[0], "s001").await;
        claim(&app, ids[1], "s000").await;
        order(&app, ids[2], Command::Claim { step: "s000".to_owned() }).await;
        let mut tx = begin(&app).await;
        let used = InUse { agents: 2, waiting: 1, storage: r#"{"text":"done"}"#.len() as i64 };
        assert_eq!(usage::in_use(&mut tx, ada).await.expect("a count"), used);
        assert_eq!(workflows(&mut tx, ada, 1_000).await.len(), MANY);
        accounts::erase_workflows(&mut tx, &ids).await.expect("a change");
        assert_eq!(workflows(&mut tx, ada, 1_000).await, []);
        assert_eq!(content(&mut tx).await, before);
        assert_eq!(usage::in_use(&mut tx, ada).await.expect("a count"), InUse::default());
        accounts::erase_workflows(&mut tx, &ids).await.expect("nothing to erase");
        accounts::erase_workflows(&mut tx, &[]).await.expect("nothing to erase");
        tx.commit().await.expect("a commit");
        assert_eq!(app.view(hers).await.1.len(), 2);
        app.check_invariants().await;
    }

    async fn the_traces_of_one_account_are_erased_and_a_mail_that_waits_is_not(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let mut tx = begin(&app).await;
        for user in [ada, eve] {
            leave_traces(&app, &mut tx, user).await;
            assert_eq!(traces(&mut tx, user).await, (1, 1, 1, 2, 1, 1, 1, 1, 1));
        }
        for _ in 0..2 {
            accounts::erase_traces(&mut tx, ada).await.expect("a change");
            assert_eq!(traces(&mut tx, ada).await, (0, 0, 0, 1, 0, 0, 0, 0, 0));
        }
        assert_eq!(traces(&mut tx, eve).await, (1, 1, 1, 2, 1, 1, 1, 1, 1));
        // That it was is still known.
        let filter = account_events::Filter { user: Some(ada), ..account_events::Filter::default() };
        assert_eq!(account_events::list(&mut tx, &filter, 10).await.expect("events").len(), 1);
        let (event_id, filter) = (format!("evt_{ada}"), invoices::Filter { user: Some(ada), before: None });
        assert!(stripe_events::get(&mut tx, &event_id).await.expect("a row").is_some());
        assert_eq!(invoices::list(&mut tx, &filter, 10).await.expect("invoices").len(), 1);
    }
}
