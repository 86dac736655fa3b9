//! Workflows as their owners see them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::audit;
use shared::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use shared::domain::workflow::{Attempt, Command};
use shared::ids::{UserId, WorkflowId};
use shared::store::workflows::{self, Filter, NewWorkflow};

use super::{MANY, accept, begin, claim, intent, order, parallel, planned};
use crate::harness::engines::{App, both_engines};

/// The ids of a user's workflows that a filter lets through, newest first.
async fn listed(app: &App, user: UserId, filter: &Filter, limit: i64) -> Vec<WorkflowId> {
    let mut tx = app.services.db.read().await.expect("a reader");
    workflows::list(&mut tx, user, filter, limit).await.expect("rows").into_iter().map(|view| view.id).collect()
}

async fn containing(app: &App, user: UserId, text: &str) -> Vec<WorkflowId> {
    let mut ids = listed(app, user, &Filter { text: Some(text.to_owned()), ..Filter::default() }, 100).await;
    ids.sort_unstable();
    ids
}

/// Workflows made a second apart, so that their ids sort by age.
async fn accept_all(app: &App, user: UserId, intents: &[&str]) -> Vec<WorkflowId> {
    let mut ids = Vec::new();
    for words in intents {
        ids.push(accept(app, &intent(app, user, words)).await);
        app.clock.advance(TimeDelta::seconds(1));
    }
    ids
}

async fn complete(app: &App, id: WorkflowId, step: &str) {
    let at = Attempt { step: step.to_owned(), number: claim(app, id, step).await.at.number };
    order(app, id, Command::Complete { at, output: json!({"text": "done"}) }).await;
}

both_engines! {
    async fn an_accepted_intent_is_read_back_as_it_was_given(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let new = NewWorkflow {
            priority: Priority::High,
            plan: Some(parallel(2)),
            max_cost: Some(1_000),
            callback_url: Some("https://example.com/done".to_owned()),
            charged: Charged::Trial,
            run_at: Some(now + TimeDelta::hours(2)),
            ..intent(&app, ada, "Grüße an %_\\ alle")
        };
        let id = accept(&app, &new).await;
        let mut tx = begin(&app).await;
        let view = workflows::view(&mut tx, id).await.expect("a row").expect("a workflow");
        assert_eq!((view.id, view.user_id, view.intent), (id, ada, new.intent.clone()));
        assert_eq!((view.status, view.priority, view.cost), (WorkflowStatus::Pending, Priority::High, 0));
        assert_eq!((view.plan.map(|plan| plan.0), view.run_at), (new.plan.clone(), new.run_at));
        assert_eq!(view.callback_url, new.callback_url);
        assert_eq!((view.created_at, view.started_at, view.completed_at), (now, None, None));
        let origin = workflows::origin(&mut tx, id).await.expect("a row").expect("an origin");
        assert_eq!((origin.id, origin.plan.map(|plan| plan.0)), (id, new.plan));
        assert_eq!((origin.intent, origin.context), (new.intent, new.context));
        let owner = (origin.email.as_str(), origin.full_name.as_str(), origin.username.as_str());
        assert_eq!(owner, ("ada@example.com", "Ada Lovelace", "ada-example.com"));
    }

    async fn what_does_not_exist_is_not_found(app: App) {
        let id = WorkflowId::new(app.clock.now());
        let mut tx = begin(&app).await;
        assert!(workflows::view(&mut tx, id).await.expect("no row").is_none());
        assert!(workflows::origin(&mut tx, id).await.expect("no row").is_none());
        assert_eq!(workflows::audit_count(&mut tx, id).await.expect("a count"), 0);
        assert!(workflows::outputs(&mut tx, id).await.expect("no rows").is_empty());
        assert!(workflows::step_views(&mut tx, &[id]).await.expect("no rows").is_empty());
        assert!(workflows::step_views(&mut tx, &[]).await.expect("no rows").is_empty());
    }

    async fn origins_of_many_workflows_are_read_at_once(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut asked = accept_all(&app, ada, &["one", "two", "three"]).await;
        let expected: BTreeSet<_> = asked.iter().copied().collect();
        // Named twice and unknown.
        asked.extend([asked[0], WorkflowId::new(app.clock.now())]);
        let found = workflows::origins(&mut begin(&app).await, &asked).await.expect("rows");
        assert_eq!(found.len(), 3, "each once");
        assert_eq!(found.iter().map(|origin| origin.id).collect::<BTreeSet<_>>(), expected);
        assert!(found.iter().all(|origin| origin.email == "ada@example.com"));
    }

    async fn a_list_is_read_page_by_page_newest_first(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut ids = accept_all(&app, ada, &["one", "two", "three", "four", "five"]).await;
        accept_all(&app, eve, &["six"]).await;
        ids.reverse();
        assert_eq!(listed(&app, ada, &Filter::default(), 2).await, ids[..2]);
        let next = Filter { before: Some(ids[1]), ..Filter::default() };
        assert_eq!(listed(&app, ada, &next, 2).await, ids[2..4]);
        let last = Filter { before: Some(ids[3]), ..Filter::default() };
        assert_eq!(listed(&app, ada, &last, 2).await, ids[4..]);
    }

    async fn a_list_is_filtered_by_status(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let ids = accept_all(&app, ada, &["one", "two", "three"]).await;
        order(&app, ids[1], Command::Cancel).await;
        let filter = |status| Filter { status: Some(status), ..Filter::default() };
        assert_eq!(listed(&app, ada, &filter(WorkflowStatus::Cancelled), 9).await, [ids[1]]);
        assert_eq!(listed(&app, ada, &filter(WorkflowStatus::Pending), 9).await, [ids[2], ids[0]]);
        let mut tx = begin(&app).await;
        let eve = UserId::new(app.clock.now());
        assert_eq!(workflows::count(&mut tx, ada, WorkflowStatus::Pending).await.expect("a count"), 2);
        assert_eq!(workflows::count(&mut tx, ada, WorkflowStatus::Failed).await.expect("a count"), 0);
        assert_eq!(workflows::count(&mut tx, eve, WorkflowStatus::Pending).await.expect("a count"), 0);
    }

    async fn a_search_takes_every_character_as_it_is(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let intents = ["Save 100% now", "save 100 euros", "a_b", "axb", "C:\\temp", "C:/temp"];
        let ids = accept_all(&app, ada, &intents).await;
        assert_eq!(containing(&app, ada, "save 100").await, ids[..2], "whatever its case");
        assert_eq!(containing(&app, ada, "100%").await, ids[..1]);
        assert_eq!(containing(&app, ada, "a_b").await, ids[2..3]);
        assert_eq!(containing(&app, ada, "c:\\temp").await, ids[4..5]);
        assert_eq!(containing(&app, ada, "").await, ids);
        assert!(containing(&app, ada, "nothing of that").await.is_empty());
    }

    async fn steps_come_in_the_order_of_their_plans(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let (one, other) = (planned(&app, ada, 12).await, planned(&app, ada, 1).await);
        let mut tx = begin(&app).await;
        let views = workflows::step_views(&mut tx, &[one, other]).await.expect("steps");
        let ids: Vec<_> = views.iter().filter(|step| step.workflow_id == one).map(|step| step.id.clone()).collect();
        assert_eq!(ids, parallel(12).steps.into_iter().map(|step| step.id).collect::<Vec<_>>());
        let step = views.iter().find(|step| step.workflow_id == other).expect("the other's step");
        assert_eq!((step.spec.0.action.as_str(), step.status, step.attempt), ("template.render", StepStatus::Ready, 0));
    }

    async fn steps_of_many_workflows_are_read_at_once(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut ids = Vec::new();
        for _ in 0..MANY {
            ids.push(planned(&app, ada, 1).await);
        }
        let mut tx = begin(&app).await;
        let views = workflows::step_views(&mut tx, &ids).await.expect("steps");
        let mut read: Vec<_> = views.iter().map(|step| step.workflow_id).collect();
        read.sort_unstable();
        ids.sort_unstable();
        assert_eq!(read, ids);
    }

    async fn outputs_are_those_of_steps_that_completed(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 3).await;
        complete(&app, id, "s001").await;
        claim(&app, id, "s002").await;
        let mut tx = begin(&app).await;
        let outputs = workflows::outputs(&mut tx, id).await.expect("outputs");
        assert_eq!(outputs, [("s001".to_owned(), json!({"text": "done"}))]);
    }

    async fn the_audit_trail_is_read_page_by_page_and_ends_at_its_head(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 1).await;
        complete(&app, id, "s000").await;
        let mut tx = begin(&app).await;
        let all = workflows::audit(&mut tx, id, 0, 100).await.expect("entries");
        let events: Vec<_> = all.iter().map(|entry| entry.event.as_str()).collect();
        let expected =
            ["workflow.created", "workflow.planned", "step.started", "step.completed", "workflow.completed"];
        assert_eq!(events, expected);
        assert_eq!(workflows::audit(&mut tx, id, 1, 2).await.expect("entries"), all[1..3]);
        assert!(workflows::audit(&mut tx, id, 5, 2).await.expect("entries").is_empty());
        assert_eq!(workflows::audit_count(&mut tx, id).await.expect("a count"), 5);
        let heads = workflows::audit_heads(&mut tx, None, 10).await.expect("heads");
        let (head, seq, hash) = heads.first().cloned().expect("a head");
        assert_eq!((heads.len(), head, seq), (1, id, 5));
        assert_eq!(audit::verify(&all, seq, &hash), Ok(()));
    }

    async fn audit_heads_are_read_page_by_page_in_the_order_of_ids(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let ids = accept_all(&app, ada, &["one", "two", "three"]).await;
        let mut tx = begin(&app).await;
        let mut seen = Vec::new();
        loop {
            let page = workflows::audit_heads(&mut tx, seen.last().copied(), 2).await.expect("heads");
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 2);
            seen.extend(page.into_iter().map(|(id, _, _)| id));
        }
        assert_eq!(seen, ids);
    }
}
