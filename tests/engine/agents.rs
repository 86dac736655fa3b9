//! Agents: workflows of one owner share them, whoever came first starts first, and a step in line says why it waits.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::domain::plan::Plan;
use shared::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use shared::domain::workflow::{Agents, Attempt, Changes, Circumstances, Command, InUse, Workflow};
use shared::ids::{UserId, WorkflowId};

fn now() -> DateTime<Utc> {
    "2026-01-15T09:00:00Z".parse().expect("a time")
}

/// An owner's workflows, and what they use together.
struct Owner {
    agents: Agents,
    workflows: Vec<Workflow>,
    now: DateTime<Utc>,
    take_next: bool,
}

impl Owner {
    /// With a running workflow of each plan, and so many agents. Plans are told as steps with what each needs.
    fn new(limit: i64, plans: &[&[(&str, &[&str])]]) -> Self {
        let agents = Agents { limit: Some(limit), in_use: InUse::default() };
        let mut owner = Self { agents, workflows: Vec::new(), now: now(), take_next: false };
        let user = UserId::new(now());
        for (of, steps) in plans.iter().enumerate() {
            let id = WorkflowId::new(now());
            owner.workflows.push(Workflow::accepted(id, user, (Priority::Normal, Charged::Trial)));
            let step = |(id, needs): &(&str, &[&str])| json!({"id": id, "action": "template.render", "needs": needs});
            let steps: Vec<Value> = steps.iter().map(step).collect();
            let costs = vec![0; steps.len()];
            let plan: Plan = serde_json::from_value(json!({ "steps": steps })).expect("a plan");
            owner.give(of, Command::Plan { plan, costs, by: "given".to_owned() });
        }
        owner
    }

    /// Gives a command to a workflow, a second after the last one; it must not be refused.
    fn give(&mut self, of: usize, command: Command) -> Changes {
        self.now += TimeDelta::seconds(1);
        let (actor, lease) = ("engine".to_owned(), Duration::from_secs(15));
        let others = Agents::default();
        let with = Circumstances { now: self.now, actor, lease, take_next: self.take_next, others };
        let mut out = Changes::default();
        let given = self.agents.give(&mut self.workflows[of], command, &with, &mut out);
        given.expect("an order that is not refused");
        out
    }

    /// Whether a step that is claimed starts.
    fn claim(&mut self, of: usize, step: &str) -> bool {
        self.give(of, Command::Claim { step: step.to_owned() }).claim.is_some()
    }

    /// Ends the first attempt of a step; gives the step that its worker goes on with.
    fn complete(&mut self, of: usize, step: &str) -> Option<String> {
        let at = Attempt { step: step.to_owned(), number: 1 };
        self.give(of, Command::Complete { at, output: json!({}) }).claim.map(|claim| claim.at.step)
    }

    /// Steps that run, and steps that wait for an agent.
    fn counts(&self) -> (i64, i64) {
        (self.agents.in_use.agents, self.agents.in_use.waiting)
    }
}

#[test]
fn the_workflows_of_an_owner_share_the_agents() {
    let mut owner = Owner::new(2, &[&[("a", &[]), ("b", &[])], &[("c", &[])]]);
    assert!(owner.claim(0, "a") && owner.claim(1, "c"));
    assert!(!owner.claim(0, "b"), "two run");
    assert_eq!((owner.counts(), owner.agents.to_call()), ((2, 1), 0));
    owner.complete(1, "c");
    assert_eq!((owner.counts(), owner.agents.to_call()), ((1, 1), 1));
    assert!(owner.claim(0, "b"));
    assert_eq!((owner.counts(), owner.agents.to_call()), ((2, 0), 0));
}

#[test]
fn a_step_in_line_says_so_once_and_comes_by_itself_only_much_later() {
    let mut owner = Owner::new(1, &[&[("a", &[]), ("b", &[])]]);
    assert!(owner.claim(0, "a"));
    for tries in 0..3 {
        let out = owner.give(0, Command::Claim { step: "b".to_owned() });
        assert_eq!(out.audit.len(), usize::from(tries == 0), "{tries}");
        assert_eq!(out.put, [(owner.workflows[0].step_job("b"), owner.now + TimeDelta::minutes(5))]);
    }
    let step = &owner.workflows[0].steps[1];
    assert_eq!((step.status, step.attempt), (StepStatus::Ready, 0));
    assert_eq!(step.reason.as_deref(), Some("Waiting for a free agent: 1 of 1 busy"));
    // With another limit it says something else, and keeps its place.
    let since = step.waiting_since;
    owner.agents.limit = Some(0);
    owner.give(0, Command::Claim { step: "b".to_owned() });
    let step = &owner.workflows[0].steps[1];
    assert_eq!(step.reason.as_deref(), Some("Waiting for a free agent: 0 of 0 busy"));
    assert_eq!(step.waiting_since, since);
}

#[test]
fn the_agent_of_a_step_that_ended_goes_to_whoever_came_first() {
    let mut owner = Owner::new(1, &[&[("a", &[]), ("next", &["a"])], &[("c", &[])], &[("d", &[])]]);
    owner.take_next = true;
    assert!(owner.claim(0, "a"));
    assert!(!owner.claim(1, "c"));
    assert_eq!(owner.complete(0, "a"), None, "it is not for the next step of the same workflow");
    assert_eq!((owner.counts(), owner.agents.to_call()), ((0, 2), 1));
    assert!(!owner.claim(2, "d"), "nor for one that has just come");
    assert!(owner.claim(1, "c"));
    owner.complete(1, "c");
    assert!(owner.claim(0, "next"));
}

#[test]
fn with_agents_to_spare_a_worker_goes_on_with_the_next_step() {
    let mut owner = Owner::new(2, &[&[("a", &[]), ("next", &["a"])], &[("c", &[])], &[("d", &[])]]);
    owner.take_next = true;
    assert!(owner.claim(0, "a") && owner.claim(1, "c"));
    assert_eq!(owner.complete(0, "a").as_deref(), Some("next"), "nobody waits");
    assert!(!owner.claim(2, "d"));
}

#[test]
fn a_step_whose_worker_died_goes_on_with_the_agent_that_it_had() {
    let mut owner = Owner::new(1, &[&[("a", &[])], &[("b", &[])]]);
    assert!(owner.claim(0, "a"));
    assert!(!owner.claim(1, "b"));
    owner.now += TimeDelta::seconds(15);
    assert_eq!((owner.counts(), owner.agents.to_call()), ((1, 1), 0), "until then it counts as running");
    assert!(owner.claim(0, "a"));
    assert_eq!((owner.counts(), owner.workflows[0].steps[0].attempt), ((1, 1), 2));
}

#[test]
fn whatever_ends_an_attempt_frees_its_agent() {
    let at = || Attempt { step: "a".to_owned(), number: 1 };
    let fail = |retry| Command::Fail { at: at(), error: "broken".to_owned(), retry, jitter: 1.0 };
    for command in [
        Command::Complete { at: at(), output: json!({}) },
        fail(None),
        fail(Some(Duration::ZERO)),
        Command::Skip { at: at() },
        Command::Wait { at: at(), until: None, reason: "for good".to_owned() },
        Command::HandBack { at: at() },
        Command::Cancel,
    ] {
        let mut owner = Owner::new(1, &[&[("a", &[])], &[("b", &[])]]);
        assert!(owner.claim(0, "a"));
        assert!(!owner.claim(1, "b"));
        owner.give(0, command.clone());
        assert_eq!(owner.agents.to_call(), 1, "{command:?}");
        assert!(owner.claim(1, "b"), "{command:?}");
    }
}

#[test]
fn a_workflow_that_stops_leaves_the_line_and_one_that_goes_on_comes_back() {
    let mut owner = Owner::new(1, &[&[("a", &[])], &[("b", &[])]]);
    assert!(owner.claim(0, "a"));
    assert!(!owner.claim(1, "b"));
    owner.give(1, Command::Pause);
    assert_eq!((owner.counts(), owner.workflows[1].steps[0].reason.as_deref()), ((1, 0), None));
    owner.give(1, Command::Resume);
    assert_eq!(owner.counts(), (1, 1), "there is no agent yet");
    owner.give(1, Command::Cancel);
    assert_eq!(owner.counts(), (1, 0));
    owner.complete(0, "a");
    assert_eq!((owner.counts(), owner.workflows[0].status), ((0, 0), WorkflowStatus::Completed));
}

#[test]
fn without_a_limit_nobody_waits_and_all_are_counted() {
    let steps: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
    let plan: Vec<(&str, &[&str])> = steps.iter().map(|id| (id.as_str(), &[] as &[&str])).collect();
    let mut owner = Owner::new(0, &[plan.as_slice()]);
    assert_eq!(owner.counts(), (0, 100), "without any agent everybody does");
    owner.agents.limit = None;
    assert_eq!(owner.agents.to_call(), 100);
    assert!(steps.iter().all(|step| owner.claim(0, step)));
    assert_eq!(owner.counts(), (100, 0));
}

#[test]
fn the_size_of_an_output_is_that_of_its_json_without_spaces() {
    let mut owner = Owner::new(1, &[&[("a", &[])]]);
    assert!(owner.claim(0, "a"));
    let at = Attempt { step: "a".to_owned(), number: 1 };
    // Four letters of which each takes two bytes.
    owner.give(0, Command::Complete { at, output: json!({"text": ["äöüß", 1, 2.5]}) });
    let text = r#"{"text":["äöüß",1,2.5]}"#;
    assert_eq!(owner.agents.in_use.storage, text.len() as i64);
}
