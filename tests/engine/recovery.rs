//! What happens when workers, messages or databases fail, on both engines.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::status::{StepStatus, WorkflowStatus};
use shared::domain::workflow::{Attempt, Command};
use shared::job::{Job, Lane};
use shared::store::{outbox, users};

use crate::harness::engines::both_engines;
use crate::harness::stand_in_http::StandInHttp;

fn chain() -> serde_json::Value {
    json!({"steps": [
        {"id": "a", "action": "template.render", "with": {"template": "one"}},
        {"id": "b", "action": "template.render", "needs": ["a"], "with": {"template": "{{ steps.a.output.text }} two"}},
        {"id": "c", "action": "template.render", "needs": ["b"], "with": {"template": "{{ steps.b.output.text }} three"}},
    ]})
}

both_engines! {
    async fn a_chain_of_steps_passes_outputs_on_and_leaves_no_work_behind(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let id = app.submit(user, chain()).await;
        app.run_until_idle().await;
        let (view, steps) = app.view(id).await;
        assert_eq!(view.status, WorkflowStatus::Completed);
        assert_eq!(steps[2].output.as_ref().expect("an output").0, json!({"text": "one two three"}));
        let mut tx = app.services.db.read().await.expect("a reader");
        for lane in Lane::ALL {
            assert_eq!(outbox::count(&mut tx, lane).await.expect("a count"), 0);
        }
        assert_eq!(app.credits(user).await, 9);
        app.check_invariants().await;
    }

    async fn a_step_whose_worker_died_runs_again_after_its_lease_and_the_dead_one_records_nothing(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let id = app.submit(user, chain()).await;
        let plan: shared::domain::plan::Plan = serde_json::from_value(chain()).expect("a plan");
        // A worker plans the workflow, claims the first step in a second command, and is never heard of again.
        let planned = Command::Plan { plan, costs: vec![0; 3], by: "plan".to_owned() };
        app.services.order(id, planned, "engine".into()).await.expect("a store").expect("a plan");
        let claim = app.services.order(id, Command::Claim { step: "a".into() }, "engine".into()).await;
        assert_eq!(claim.expect("a store").expect("a claim").expect("a claim").at.number, 1);
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.1[0].status, StepStatus::Running, "the lease still holds");
        app.clock.advance(TimeDelta::seconds(16));
        app.run_until_idle().await;
        let (view, steps) = app.view(id).await;
        assert_eq!((view.status, steps[0].attempt), (WorkflowStatus::Completed, 2));
        let late = Command::Complete { at: Attempt { step: "a".into(), number: 1 }, output: json!({"text": "late"}) };
        assert!(app.services.order(id, late, "engine".into()).await.expect("a store").is_err());
        assert_eq!(app.view(id).await.1[0].output.as_ref().expect("an output").0, json!({"text": "one"}));
        app.check_invariants().await;
    }

    async fn a_message_that_the_queue_lost_comes_again(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let id = app.submit(user, chain()).await;
        let mut tx = app.services.db.begin().await.expect("a transaction");
        let lost = outbox::take_due(&mut tx, Lane::Interactive, app.clock.now(), 10).await.expect("jobs");
        tx.commit().await.expect("a commit");
        assert_eq!(lost, vec![Job::PlanWorkflow { workflow: id }]);
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Pending);
        app.clock.advance(outbox::VISIBILITY);
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Completed);
    }

    async fn a_cancel_before_the_first_step_gives_the_credit_back_once(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let id = app.submit(user, chain()).await;
        assert_eq!(app.credits(user).await, 9);
        app.services.order(id, Command::Cancel, format!("user:{user}")).await.expect("a store").expect("a cancel");
        assert!(app.services.order(id, Command::Cancel, format!("user:{user}")).await.expect("a store").is_err());
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Cancelled);
        assert_eq!(app.credits(user).await, 10);
        app.check_invariants().await;
    }

    async fn a_failing_call_is_tried_again_and_shows_one_idempotency_key(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let http = StandInHttp::start().await;
        let url = format!("{}/flaky/k/2", http.base_url());
        let id = app.submit(user, json!({"steps": [
            {"id": "call", "action": "http.request", "with": {"method": "POST", "url": url}}]})).await;
        app.run_until_idle().await;
        let reason = app.view(id).await.1[0].reason.clone().expect("a reason");
        assert!(reason.starts_with("Retry 2 of 5 at 09:00:0"), "{reason}");
        for _ in 0..2 {
            app.clock.advance(TimeDelta::seconds(3));
            app.run_until_idle().await;
        }
        let (view, steps) = app.view(id).await;
        assert_eq!((view.status, steps[0].attempt), (WorkflowStatus::Completed, 3));
        let requests = http.requests();
        let keys: Vec<_> = requests.iter().map(|request| request.idempotency_key().expect("a key")).collect();
        assert_eq!(keys, vec![format!("{id}:call"); 3]);
    }

    async fn a_failed_workflow_mails_its_owner_and_resumes_at_the_failed_step(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let http = StandInHttp::start().await;
        let url = format!("{}/flaky/k/1", http.base_url());
        let id = app.submit(user, json!({"steps": [
            {"id": "first", "action": "http.request", "with": {"method": "POST", "url": format!("{}/effects", http.base_url())}},
            {"id": "call", "action": "http.request", "needs": ["first"], "with": {"url": url},
             "retry": {"max_attempts": 1}}]})).await;
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Failed);
        assert_eq!(app.mails("workflow_failed").await.len(), 1);
        app.services.order(id, Command::Resume, format!("user:{user}")).await.expect("a store").expect("a resume");
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Completed);
        assert_eq!(http.effects().values().copied().collect::<Vec<_>>(), vec![1], "the finished step ran once");
        app.check_invariants().await;
    }

    async fn a_wait_is_over_at_its_time_and_holds_no_worker(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let id = app.submit(user, json!({"steps": [{"id": "w", "action": "wait", "with": {"seconds": 3600}}]})).await;
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.1[0].status, StepStatus::Waiting);
        app.clock.advance(TimeDelta::seconds(3599));
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.1[0].status, StepStatus::Waiting);
        app.clock.advance(TimeDelta::seconds(1));
        app.run_until_idle().await;
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Completed);
    }

    async fn two_hundred_charges_at_once_take_exactly_ten_credits(app: App) {
        let user = app.verified_user("ada@example.com").await;
        let now = app.clock.now();
        let charges = (0..200).map(|_| {
            let db = app.services.db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let id = shared::ids::WorkflowId::new(now);
                let charged = shared::store::credits::charge_trials(&mut tx, &[(user, id)], None, now).await.expect("a charge");
                // A third of the writers dies before the commit: nothing of theirs may stay.
                if id.0.as_bytes()[15].is_multiple_of(3) {
                    return false;
                }
                tx.commit().await.expect("a commit");
                charged[0].is_some()
            })
        });
        let mut taken = 0;
        for charge in charges.collect::<Vec<_>>() {
            taken += i64::from(charge.await.expect("a task"));
        }
        assert_eq!(app.credits(user).await, 10 - taken);
        assert_eq!(taken, 10);
        app.check_invariants().await;
    }

    async fn a_name_that_is_taken_is_refused_whatever_its_case(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = app.services.db.begin().await.expect("a transaction");
        let change = users::ProfileChange { username: Some("ADA-example.com".into()), ..users::ProfileChange::default() };
        assert!(users::update_profile(&mut tx, ada, &change).await.expect("a change"), "one's own name is free");
        assert!(!users::update_profile(&mut tx, eve, &change).await.expect("a change"));
    }
}
