//! The jobs of accounts when they come twice or are cut off anywhere: what they do is done once, and done whole.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use ::worker::dispatch;
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::plan::Plan;
use shared::domain::status::WorkflowStatus;
use shared::domain::workflow::{Attempt, Command};
use shared::ids::{self, UserId, WorkflowId};
use shared::job::{Job, Lane, LinkPurpose};
use shared::on;
use shared::store::{Tx, accounts, outbox, workflows};

use crate::harness::engines::{App, MANY_AGENTS, both_engines};

async fn begin(app: &App) -> Tx {
    app.services.db.begin().await.expect("a transaction")
}

async fn put(app: &App, job: &Job) {
    let mut tx = begin(app).await;
    outbox::put(&mut tx, &[(job.clone(), app.clock.now())]).await.expect("a row");
    tx.commit().await.expect("a commit");
}

/// A link that somebody has just asked for.
async fn asked(app: &App, email: &str, purpose: LinkPurpose) -> Job {
    let job = Job::AccountLink { id: ids::new(app.clock.now()), email: email.to_owned(), purpose };
    put(app, &job).await;
    job
}

/// How many rows of the outbox are open, in all lanes together.
async fn open(app: &App) -> i64 {
    let mut tx = begin(app).await;
    let mut open = 0;
    for lane in Lane::ALL {
        open += outbox::count(&mut tx, lane).await.expect("a count");
    }
    open
}

/// How many tokens there are, and how many events of a kind.
async fn links(app: &App, kind: &str) -> (i64, i64) {
    let sql = "select (select count(*) from mail_tokens), (select count(*) from account_events where kind = $1)";
    let mut tx = begin(app).await;
    on!(tx, |c| sqlx::query_as(sql).bind(kind).fetch_one(&mut *c).await.expect("counts"))
}

/// Works at something until it has had to wait more than `waits` times, then drops it, as a crash would; whether it came
/// to its end.
async fn cut_off(work: impl Future<Output = ()>, waits: usize) -> bool {
    let mut work = pin!(work);
    let mut waited = 0;
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending if waited == waits => Poll::Ready(false),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

async fn order(app: &App, id: WorkflowId, command: Command) {
    let outcome = app.services.order(id, command, "engine".to_owned()).await.expect("a store");
    drop(outcome.expect("an order that is not refused"));
}

/// A plan of two steps that do not need each other.
fn two_steps() -> Value {
    let render = |id: &str| json!({"id": id, "action": "template.render", "with": {"template": "done"}});
    json!({"steps": [render("a"), render("b")]})
}

/// A workflow of which these steps run, as far as anybody knows: their workers are never heard of again.
async fn running(app: &App, user: UserId, steps: &[&str]) -> WorkflowId {
    let id = app.submit(user, two_steps()).await;
    let plan: Plan = serde_json::from_value(two_steps()).expect("a plan");
    order(app, id, Command::Plan { plan, costs: vec![0; 2], by: "given".to_owned() }).await;
    for step in steps {
        order(app, id, Command::Claim { step: (*step).to_owned() }).await;
    }
    id
}

/// Workflows in all sorts of states: waiting to be planned, running, done, cancelled, and failed while a step still runs.
async fn leave_work(app: &App, user: UserId) {
    app.submit(user, two_steps()).await;
    app.run_until_idle().await;
    let human = json!({"steps": [{"id": "ask", "action": "human.task", "with": {"instructions": "Look."}}]});
    app.submit(user, human).await;
    app.run_until_idle().await;
    let cancelled = running(app, user, &[]).await;
    order(app, cancelled, Command::Cancel).await;
    running(app, user, &["a"]).await;
    let failed = running(app, user, &["a", "b"]).await;
    let at = Attempt { step: "b".to_owned(), number: 1 };
    order(app, failed, Command::Fail { at, error: "broken".to_owned(), retry: None, jitter: 1.0 }).await;
    assert_eq!(app.view(failed).await.0.status, WorkflowStatus::Failed);
    app.submit(user, two_steps()).await;
}

/// Closes an account, as far as the database is concerned, and leaves the rest to the job.
async fn close(app: &App, user: UserId) -> Job {
    let job = Job::CloseAccount { user };
    let mut tx = begin(app).await;
    assert!(accounts::anonymise(&mut tx, user, app.clock.now()).await.expect("a change"));
    accounts::drop_mails(&mut tx, user, "account_deleted").await.expect("a change");
    tx.commit().await.expect("a commit");
    put(app, &job).await;
    job
}

/// Nothing is left of the account's work, neither now nor when the leases of its steps are over.
async fn is_clean(app: &App, user: UserId) {
    let mut tx = begin(app).await;
    assert_eq!(accounts::workflows(&mut tx, user, 10).await.expect("workflows"), []);
    assert_eq!(workflows::audit_heads(&mut tx, None, 10).await.expect("heads").len(), 0);
    drop(tx);
    app.clock.advance(TimeDelta::minutes(5));
    app.run_until_idle().await;
    assert_eq!(open(app).await, 0);
    app.check_invariants().await;
}

both_engines! {
    async fn a_link_that_is_delivered_twice_is_mailed_once(app: App) {
        app.verified_user("ada@example.com").await;
        let (worker, job) = (app.worker(), asked(&app, "Ada@Example.com", LinkPurpose::ResetPassword).await);
        let twice = || dispatch::run(&worker, job.clone());
        tokio::join!(twice(), twice());
        twice().await;
        let mails = app.mails("reset_password").await;
        assert_eq!(mails.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["ada@example.com"]);
        assert_eq!(links(&app, "reset_requested").await, (1, 1));
        assert_eq!(open(&app).await, 1, "the mail");
        // To ask once more is another link.
        app.clock.advance(TimeDelta::seconds(1));
        asked(&app, "ada@example.com", LinkPurpose::ResetPassword).await;
        app.run_until_idle().await;
        assert_eq!(app.mails("reset_password").await.len(), 2);
        assert_eq!((links(&app, "reset_requested").await, open(&app).await), ((2, 2), 0));
    }

    async fn a_link_that_is_cut_off_anywhere_is_mailed_once(app: App) {
        app.verified_user("ada@example.com").await;
        let (worker, job) = (app.worker(), asked(&app, "ada@example.com", LinkPurpose::ResetPassword).await);
        for waits in 0.. {
            if cut_off(Box::pin(dispatch::run(&worker, job.clone())), waits).await {
                break;
            }
        }
        app.clock.advance(TimeDelta::minutes(5));
        app.run_until_idle().await;
        assert_eq!(app.mails("reset_password").await.len(), 1);
        assert_eq!((links(&app, "reset_requested").await, open(&app).await), ((1, 1), 0));
    }

    async fn whoever_has_no_use_for_a_link_gets_none_and_no_work_is_left(app: App) {
        let eve = app.verified_user("eve@example.com").await;
        app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        assert!(accounts::set_disabled(&mut tx, eve, true).await.expect("a change"));
        tx.commit().await.expect("a commit");
        for (email, purpose) in [
            ("nobody@example.com", LinkPurpose::ResetPassword),
            ("nobody@example.com", LinkPurpose::VerifyEmail),
            ("eve@example.com", LinkPurpose::ResetPassword),
            ("ada@example.com", LinkPurpose::VerifyEmail),
        ] {
            asked(&app, email, purpose).await;
        }
        app.run_until_idle().await;
        assert_eq!(open(&app).await, 0);
        for (mail, event) in [("reset_password", "reset_requested"), ("verify_email", "verification_requested")] {
            assert_eq!((app.mails(mail).await.len(), links(&app, event).await), (0, (0, 0)));
        }
    }

    async fn a_closed_account_leaves_no_work_behind_whatever_it_ran(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        leave_work(&app, ada).await;
        let (worker, job) = (app.worker(), close(&app, ada).await);
        dispatch::run(&worker, job.clone()).await;
        is_clean(&app, ada).await;
        // Delivered once more, it finds nothing to do.
        dispatch::run(&worker, job).await;
        is_clean(&app, ada).await;
    }

    async fn the_end_of_an_account_that_is_cut_off_anywhere_comes_to_its_end(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        leave_work(&app, ada).await;
        let (worker, job) = (app.worker(), close(&app, ada).await);
        for waits in 0.. {
            if cut_off(Box::pin(dispatch::run(&worker, job.clone())), waits).await {
                break;
            }
        }
        // What was dropped last may have been in the way of the one that came to its end.
        dispatch::run(&worker, job).await;
        is_clean(&app, ada).await;
    }
}
