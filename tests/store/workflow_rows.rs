//! Workflows as rows: what is saved is loaded again, and nothing is saved over somebody else's change.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::status::{StepStatus, WorkflowStatus};
use shared::domain::workflow::{Attempt, Changes, Command, Refusal, Workflow};
use shared::engine::{self, Applied, Known, Order, Outcome};
use shared::ids::WorkflowId;
use shared::on;
use shared::store::workflows::{self, NewWorkflow};
use shared::store::{StoreError, Tx, outbox, workflow_rows};
use tokio::task::JoinSet;

use super::{MANY, accept, begin, claim, intent, order, parallel, planned};
use crate::harness::engines::{App, MANY_AGENTS, both_engines};

async fn load(tx: &mut Tx, id: WorkflowId) -> Workflow {
    workflow_rows::lock(tx, &[id]).await.expect("rows").pop().expect("a workflow")
}

/// A workflow after one more command, as it is to be saved.
fn after(app: &App, mut workflow: Workflow, command: Command) -> (Workflow, Vec<Changes>) {
    let mut out = Changes::default();
    let with = app.services.circumstances("engine".to_owned(), app.clock.now());
    workflow.handle(command, &with, &mut out).expect("an order that is not refused");
    (workflow, vec![out])
}

fn claim_of(step: &str) -> Command {
    Command::Claim { step: step.to_owned() }
}

fn complete(at: Attempt) -> Command {
    Command::Complete { at, output: json!({"text": "done"}) }
}

/// Carries out a command as a process that knows what it wrote before.
async fn apply(app: &App, known: &Known, workflow: WorkflowId, command: Command) -> Applied {
    let with = app.services.circumstances("engine".to_owned(), app.clock.now());
    let orders = [Order { workflow, command, with }];
    engine::apply(&app.services.db, &app.services.config, known, &orders).await.expect("a transaction")
}

/// The same, for what becomes of the command.
async fn give(app: &App, known: &Known, workflow: WorkflowId, command: Command) -> Outcome {
    apply(app, known, workflow, command).await.outcomes.remove(0)
}

both_engines! {
    async fn what_a_command_did_is_loaded_again_to_the_last_field(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let new = accept(&app, &intent(&app, ada, "a test")).await;
        let at = |number| Attempt { step: "s001".to_owned(), number };
        let retry = Some(std::time::Duration::from_secs(7));
        let commands = [
            Command::Plan { plan: parallel(3), costs: vec![1, 20, 300], by: "given".to_owned() },
            claim_of("s001"),
            Command::Fail { at: at(1), error: "busy".to_owned(), retry, jitter: 0.5 },
            Command::Pause,
            Command::Resume,
            Command::Cancel,
        ];
        for command in commands {
            let mut tx = begin(&app).await;
            let changed = after(&app, load(&mut tx, new).await, command);
            workflow_rows::save(&mut tx, std::slice::from_ref(&changed)).await.expect("a save");
            assert_eq!(load(&mut tx, new).await, changed.0);
            tx.commit().await.expect("a commit");
            app.clock.advance(TimeDelta::microseconds(1));
        }
        app.check_invariants().await;
    }

    async fn a_plan_of_a_hundred_steps_is_stored_and_changed_at_once(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 100).await;
        order(&app, id, Command::Cancel).await;
        let mut tx = begin(&app).await;
        let workflow = load(&mut tx, id).await;
        assert_eq!(workflow.steps.len(), 100);
        assert!(workflow.steps.iter().all(|step| step.status == StepStatus::Cancelled));
        assert_eq!(outbox::next_due(&mut tx).await.expect("a row"), [None; 3]);
    }

    async fn many_workflows_move_in_one_transaction(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        let mut ids = Vec::new();
        for _ in 0..MANY {
            ids.push(planned(&app, ada, 1).await);
        }
        let with = app.services.circumstances("engine".to_owned(), app.clock.now());
        let done = Attempt { step: "s000".to_owned(), number: 1 };
        let order = |workflow, command| Order { workflow, command, with: with.clone() };
        let mut orders: Vec<_> = ids.iter().map(|id| order(*id, claim_of("s000"))).collect();
        // Some complete in the very transaction that they are claimed in.
        let complete = Command::Complete { at: done, output: json!({"text": "done"}) };
        orders.extend(ids.iter().take(5).map(|id| order(*id, complete.clone())));
        let unknown = WorkflowId::new(app.clock.now());
        orders.push(order(unknown, Command::Pause));
        let applied = engine::apply(&app.services.db, &app.services.config, &Known::default(), &orders).await;
        let applied = applied.expect("a transaction");
        assert!(applied.outcomes[..MANY].iter().all(|outcome| matches!(outcome, Ok(Some(_)))));
        assert!(applied.outcomes[MANY..MANY + 5].iter().all(|outcome| matches!(outcome, Ok(None))));
        assert!(applied.outcomes[MANY + 5].is_err());
        let mut tx = begin(&app).await;
        assert_eq!(workflows::count(&mut tx, ada, WorkflowStatus::Completed).await.expect("a count"), 5);
        assert_eq!(workflows::count(&mut tx, ada, WorkflowStatus::Running).await.expect("a count"), 80);
        assert_eq!(workflows::outputs(&mut tx, ids[0]).await.expect("outputs").len(), 1);
        drop(tx);
        app.check_invariants().await;
    }

    async fn workflows_are_locked_once_each_in_the_order_of_ids(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut ids = Vec::new();
        for steps in 1..=3 {
            ids.push(planned(&app, ada, steps).await);
            app.clock.advance(TimeDelta::seconds(1));
        }
        let unknown = WorkflowId::new(app.clock.now());
        let asked = [ids[2], ids[0], unknown, ids[2], ids[1]];
        let loaded = workflow_rows::lock(&mut begin(&app).await, &asked).await.expect("rows");
        let found: Vec<_> = loaded.iter().map(|workflow| (workflow.id, workflow.steps.len())).collect();
        assert_eq!(found, [(ids[0], 1), (ids[1], 2), (ids[2], 3)]);
    }

    async fn of_two_who_claim_a_step_at_once_one_gets_it(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 1).await;
        let ask = || app.services.order(id, claim_of("s000"), "engine".to_owned());
        let (one, other) = tokio::join!(ask(), ask());
        let claims = [one, other].into_iter().filter_map(|outcome| outcome.expect("a store").ok().flatten());
        assert_eq!(claims.map(|claim| claim.at.number).collect::<Vec<_>>(), [1]);
    }

    async fn steps_that_a_process_knows_are_not_read_again(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 2).await;
        let known = Known::default();
        let one = give(&app, &known, id, claim_of("s000")).await.expect("a claim").expect("an attempt");
        // No change that the program makes, so that it shows where the state comes from.
        let mut tx = begin(&app).await;
        on!(tx, |c| sqlx::query("update steps set crashes = 7").execute(&mut *c).await.map(drop)).expect("a change");
        tx.commit().await.expect("a commit");
        give(&app, &known, id, complete(one.at)).await.expect("the step is done");
        let crashes = |workflow: &Workflow| workflow.steps.iter().map(|step| step.crashes).collect::<Vec<_>>();
        assert_eq!(crashes(&load(&mut begin(&app).await, id).await), [7, 0], "the step that was saved was known");
        // Nothing runs any more, so nothing is kept, and a claim reads in any case.
        let two = give(&app, &known, id, claim_of("s001")).await.expect("a claim").expect("an attempt");
        assert_eq!(crashes(&load(&mut begin(&app).await, id).await), [7, 0]);
        give(&app, &known, id, complete(two.at)).await.expect("the step is done");
        app.check_invariants().await;
    }

    async fn steps_of_another_history_are_read_though_it_is_as_long(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 1).await;
        let known = Known::default();
        let held = give(&app, &known, id, claim_of("s000")).await.expect("a claim").expect("an attempt");
        // As after a step back to a copy of the database, from which others went on.
        let mut tx = begin(&app).await;
        for sql in ["update steps set crashes = 7", "update workflows set audit_hash = 'another'"] {
            on!(tx, |c| sqlx::query(sql).execute(&mut *c).await.map(drop)).expect("a change");
        }
        tx.commit().await.expect("a commit");
        give(&app, &known, id, complete(held.at)).await.expect("the step is done");
        assert_eq!(load(&mut begin(&app).await, id).await.steps[0].crashes, 7);
    }

    async fn an_end_wakes_the_relay_only_if_somebody_is_to_be_told(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        for callback_url in [None, Some("https://example.com/done".to_owned())] {
            let told = callback_url.is_some();
            let new = NewWorkflow { callback_url, ..intent(&app, ada, "a test") };
            let id = accept(&app, &new).await;
            order(&app, id, Command::Plan { plan: parallel(1), costs: vec![0], by: "given".to_owned() }).await;
            let at = claim(&app, id, "s000").await.at;
            assert_eq!(apply(&app, &Known::default(), id, complete(at)).await.wake, told);
        }
    }

    async fn only_what_is_due_soon_wakes_the_relay(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut wakes = Vec::new();
        for pause in [2_000, 500] {
            let id = planned(&app, ada, 1).await;
            let at = claim(&app, id, "s000").await.at;
            let retry = Some(std::time::Duration::from_millis(pause));
            let command = Command::Fail { at, error: "busy".to_owned(), retry, jitter: 0.5 };
            let wake = apply(&app, &Known::default(), id, command).await.wake;
            let mut tx = app.services.db.read().await.expect("a reader");
            let due = outbox::next_due(&mut tx).await.expect("due times")[0].expect("the retry");
            wakes.push((due - app.clock.now(), wake));
            order(&app, id, Command::Cancel).await;
        }
        assert_eq!(wakes, [(TimeDelta::milliseconds(2_000), false), (TimeDelta::milliseconds(500), true)]);
    }

    async fn what_others_did_to_a_workflow_is_read(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 3).await;
        let (known, others) = (Known::default(), Known::default());
        let one = give(&app, &known, id, claim_of("s000")).await.expect("a claim").expect("an attempt");
        let two = give(&app, &others, id, claim_of("s001")).await.expect("a claim").expect("an attempt");
        give(&app, &others, id, complete(two.at)).await.expect("the step is done");
        give(&app, &others, id, Command::Cancel).await.expect("a cancelled workflow");
        let refused = give(&app, &known, id, complete(one.at)).await;
        assert_eq!(refused, Err(Refusal::Stale(1)));
        let kept = load(&mut begin(&app).await, id).await;
        let states: Vec<_> = kept.steps.iter().map(|step| step.status).collect();
        assert_eq!(states, [StepStatus::Cancelled, StepStatus::Completed, StepStatus::Cancelled]);
        app.check_invariants().await;
    }

    async fn a_lease_that_was_extended_is_not_taken_over_by_whoever_knows_an_older_one(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 1).await;
        let known = Known::default();
        let held = give(&app, &known, id, claim_of("s000")).await.expect("a claim").expect("an attempt");
        let mut tx = begin(&app).await;
        let lease = [(id, "s000".to_owned(), 1)];
        let until = held.lease_until + TimeDelta::seconds(30);
        workflows::extend_leases(&mut tx, &lease, until).await.expect("a longer lease");
        tx.commit().await.expect("a commit");
        app.clock.advance(held.lease_until - app.clock.now());
        assert_eq!(give(&app, &known, id, claim_of("s000")).await, Err(Refusal::NotClaimable));
        app.clock.advance(until - app.clock.now());
        let taken = give(&app, &known, id, claim_of("s000")).await.expect("a claim").expect("an attempt");
        assert_eq!(taken.at.number, 2);
    }

    async fn a_step_that_changed_meanwhile_is_not_saved_over(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 2).await;
        let stale = load(&mut begin(&app).await, id).await;
        claim(&app, id, "s000").await;
        let mut tx = begin(&app).await;
        let changed = after(&app, stale, claim_of("s000"));
        let saved = workflow_rows::save(&mut tx, &[changed]).await;
        assert!(matches!(saved, Err(StoreError::Conflict("workflow"))), "{saved:?}");
        drop(tx);
        let kept = load(&mut begin(&app).await, id).await;
        assert!(kept.steps.iter().any(|step| step.id == "s000" && step.attempt == 1), "{kept:?}");
        app.check_invariants().await;
    }

    async fn an_older_state_of_a_workflow_is_not_saved_over_a_newer_one(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 2).await;
        let stale = load(&mut begin(&app).await, id).await;
        order(&app, id, Command::Pause).await;
        order(&app, id, Command::Resume).await;
        let mut tx = begin(&app).await;
        let changed = after(&app, stale, Command::Pause);
        let saved = workflow_rows::save(&mut tx, &[changed]).await;
        assert!(matches!(saved, Err(StoreError::Conflict("workflow"))), "{saved:?}");
        drop(tx);
        assert_eq!(app.view(id).await.0.status, WorkflowStatus::Running);
        app.check_invariants().await;
    }

    async fn an_audit_entry_has_its_number_alone(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = accept(&app, &intent(&app, ada, "a test")).await;
        let mut tx = begin(&app).await;
        let mut entry = workflows::audit(&mut tx, id, 0, 1).await.expect("entries").remove(0);
        entry.seq = 2;
        workflow_rows::insert_audit(&mut tx, &[(id, &entry)]).await.expect("another number");
        assert!(workflow_rows::insert_audit(&mut tx, &[(id, &entry)]).await.is_err());
    }

    async fn orders_given_at_once_come_to_what_they_come_to_in_turn(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 12).await;
        let all_twice = async |commands: Vec<Command>| {
            let mut given = JoinSet::new();
            for command in commands.iter().chain(&commands).cloned() {
                let services = app.services.clone();
                given.spawn(async move { services.order(id, command, "engine".to_owned()).await.expect("a store") });
            }
            given.join_all().await.into_iter().flatten().collect::<Vec<_>>()
        };
        let claims = (0..12).map(|n| Command::Claim { step: format!("s{n:03}") }).collect();
        let claimed: Vec<_> = all_twice(claims).await.into_iter().flatten().map(|claim| claim.at).collect();
        assert_eq!(claimed.iter().map(|at| &at.step).collect::<BTreeSet<_>>().len(), 12);
        assert_eq!(claimed.len(), 12, "a step was claimed twice");
        let ends = claimed.into_iter().map(|at| Command::Complete { at, output: json!({}) }).collect();
        assert_eq!(all_twice(ends).await.len(), 12, "a result was recorded twice or not at all");
        let (view, steps) = app.view(id).await;
        assert_eq!((view.status, steps.len()), (WorkflowStatus::Completed, 12));
        app.check_invariants().await;
    }
}
