//! What a workflow may spend: `max_cost` holds whatever runs at once, and a person can lift it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::domain::plan::Plan;
use shared::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use shared::domain::workflow::{Agents, Attempt, Changes, Circumstances, Claim, Command, Workflow};
use shared::ids::{UserId, WorkflowId};

fn now() -> DateTime<Utc> {
    "2026-01-15T09:00:00Z".parse().expect("a time")
}

/// Gives a command `seconds` after the beginning; it must not be refused.
fn give(workflow: &mut Workflow, seconds: i64, command: Command) -> Option<Claim> {
    let now = now() + TimeDelta::seconds(seconds);
    let (actor, lease) = ("engine".to_owned(), Duration::from_secs(15));
    let with = Circumstances { now, actor, lease, take_next: false, others: Agents::default() };
    let mut out = Changes::default();
    workflow.handle(command, &with, &mut out).expect("an order that is not refused");
    out.claim
}

fn claim(workflow: &mut Workflow, seconds: i64, step: &str) -> bool {
    give(workflow, seconds, Command::Claim { step: step.to_owned() }).is_some()
}

/// The steps `a` and `b`, which do not need each other and cost 6 each, with 10 to spend.
fn two_steps() -> Workflow {
    let ids = (WorkflowId::new(now()), UserId::new(now()));
    let mut workflow = Workflow::accepted(ids.0, ids.1, (Priority::Normal, Charged::Trial));
    workflow.max_cost = Some(10);
    let plan: Plan = serde_json::from_value(json!({"steps": [
        {"id": "a", "action": "template.render"},
        {"id": "b", "action": "template.render", "on_failure": "pause"},
    ]}))
    .expect("a plan");
    give(&mut workflow, 0, Command::Plan { plan, costs: vec![6, 6], by: "given".to_owned() });
    workflow
}

fn fail(step: &str, error: &str, retry: Option<Duration>) -> Command {
    let at = Attempt { step: step.to_owned(), number: 1 };
    Command::Fail { at, error: error.to_owned(), retry, jitter: 1.0 }
}

#[test]
fn steps_that_run_at_once_share_the_budget() {
    let mut workflow = two_steps();
    assert!(claim(&mut workflow, 0, "a"));
    assert!(!claim(&mut workflow, 0, "b"), "together they would cost 12");
    assert_eq!((workflow.status, workflow.steps[1].status), (WorkflowStatus::Paused, StepStatus::Ready));
}

#[test]
fn whoever_resumes_allows_the_rest() {
    let mut workflow = two_steps();
    assert!(claim(&mut workflow, 0, "a"));
    assert!(!claim(&mut workflow, 0, "b"));
    give(&mut workflow, 1, Command::Resume);
    assert!(claim(&mut workflow, 1, "b"));
    assert_eq!(workflow.max_cost, None);
}

#[test]
fn an_error_that_speaks_of_max_cost_lifts_nothing() {
    let mut workflow = two_steps();
    assert!(claim(&mut workflow, 0, "b"));
    give(&mut workflow, 0, fail("b", "the server says: max_cost", None));
    assert_eq!(workflow.status, WorkflowStatus::Paused);
    give(&mut workflow, 1, Command::Resume);
    assert_eq!(workflow.max_cost, Some(10));
}

#[test]
fn a_step_whose_worker_died_and_that_is_too_dear_now_waits_without_a_lease() {
    let mut workflow = two_steps();
    assert!(claim(&mut workflow, 0, "a"));
    workflow.max_cost = Some(5);
    assert!(!claim(&mut workflow, 16, "a"));
    let step = &workflow.steps[0];
    assert_eq!((step.status, step.lease_until, step.crashes), (StepStatus::Ready, None, 1));
    assert_eq!(workflow.status, WorkflowStatus::Paused);
}

#[test]
fn every_attempt_costs_also_one_that_fails() {
    let mut workflow = two_steps();
    assert!(claim(&mut workflow, 0, "a"));
    give(&mut workflow, 0, fail("a", "busy", Some(Duration::ZERO)));
    assert_eq!((workflow.cost, workflow.steps[0].cost), (6, 6));
    assert!(!claim(&mut workflow, 60, "a"), "a second attempt would make it 12");
}
