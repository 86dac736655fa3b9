//! A model test of the workflow: random plans, random deliveries, duplicates, crashes, cancels, pauses, decisions.
//!
//! The world around the aggregate is modelled by what it asks for: outbox rows with due times, and workers that hold
//! attempts and may tell what became of them late, twice, or never.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;
use shared::domain::audit::{Entry, verify};
use shared::domain::plan::{OnFailure, Plan, PlanStep, Retry};
use shared::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use shared::domain::workflow::{Attempt, Changes, Circumstances, Command, Decision, Refusal, Workflow};
use shared::ids::{UserId, WorkflowId};
use shared::job::Job;

const LEASE: TimeDelta = TimeDelta::seconds(15);

/// One thing that happens; the number picks among what is there.
#[derive(Debug, Clone)]
enum Event {
    DeliverDue(usize),
    DeliverAny(usize),
    Complete(usize),
    Fail(usize, bool),
    Wait(usize, Option<i64>),
    Skip(usize),
    HandBack(usize),
    Crash(usize),
    Pass(i64),
    Pause,
    Resume,
    Cancel,
    Decide(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let n = 0..8_usize;
    prop_oneof![
        6 => n.clone().prop_map(Event::DeliverDue),
        2 => n.clone().prop_map(Event::DeliverAny),
        6 => n.clone().prop_map(Event::Complete),
        2 => (n.clone(), any::<bool>()).prop_map(|(n, retry)| Event::Fail(n, retry)),
        1 => (n.clone(), proptest::option::of(0..40_i64)).prop_map(|(n, until)| Event::Wait(n, until)),
        1 => n.clone().prop_map(Event::Skip),
        1 => n.clone().prop_map(Event::HandBack),
        1 => n.clone().prop_map(Event::Crash),
        3 => (0..60_i64).prop_map(Event::Pass),
        1 => Just(Event::Pause),
        2 => Just(Event::Resume),
        1 => prop_oneof![5 => Just(Event::Resume), 1 => Just(Event::Cancel)],
        2 => n.prop_map(Event::Decide),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = (any::<u8>(), 1..4_u32, 0..3_u8);
    proptest::collection::vec(step, 1..7).prop_map(|steps| Plan {
        steps: steps
            .into_iter()
            .enumerate()
            .map(|(i, (needs, max_attempts, on_failure))| PlanStep {
                id: format!("s{i}"),
                action: "human.task".to_owned(),
                // Only earlier steps, so there is no cycle.
                needs: (0..i).filter(|j| needs & (1 << j) != 0).map(|j| format!("s{j}")).collect(),
                with: json!({}),
                when: None,
                retry: Retry { max_attempts, ..Retry::default() },
                timeout_s: 30,
                on_failure: [OnFailure::Fail, OnFailure::Continue, OnFailure::Pause][usize::from(on_failure)],
            })
            .collect(),
    })
}

struct World {
    workflow: Workflow,
    plan: Plan,
    now: DateTime<Utc>,
    outbox: BTreeMap<String, (Job, DateTime<Utc>)>,
    /// Attempts whose workers live and have not told yet.
    held: Vec<Attempt>,
    /// Attempts that are told again, or after their worker was given up.
    old: Vec<Attempt>,
    trail: Vec<Entry>,
    refunds: usize,
    take_next: bool,
}

impl World {
    fn new(plan: Plan, max_cost: Option<i64>, take_next: bool) -> Self {
        let now: DateTime<Utc> = "2026-01-15T09:00:00Z".parse().expect("a time");
        let ids = (WorkflowId::new(now), UserId::new(now));
        let mut workflow = Workflow::accepted(ids.0, ids.1, (Priority::Normal, Charged::Trial));
        workflow.max_cost = max_cost;
        let mut world = Self {
            workflow,
            plan,
            now,
            outbox: BTreeMap::new(),
            held: Vec::new(),
            old: Vec::new(),
            trail: Vec::new(),
            refunds: 0,
            take_next,
        };
        let job = Job::PlanWorkflow { workflow: ids.0 };
        world.outbox.insert(job.key(), (job, now));
        let mut out = Changes::default();
        world.workflow.note_created(&world.with(), &mut out);
        world.trail.append(&mut out.audit);
        world
    }

    fn with(&self) -> Circumstances {
        let lease = LEASE.to_std().unwrap_or(Duration::ZERO);
        Circumstances { now: self.now, actor: "engine".to_owned(), lease, take_next: self.take_next }
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        let before = self.workflow.clone();
        let mut out = Changes::default();
        let with = self.with();
        let result = self.workflow.handle(command, &with, &mut out);
        for key in &out.delete {
            self.outbox.remove(key);
        }
        if result.is_err() {
            assert_eq!(before, self.workflow, "a refused command changed something");
            return result;
        }
        for (index, (old, new)) in before.steps.iter().zip(&self.workflow.steps).enumerate() {
            let known = out.steps.contains(&(index, old.status, old.attempt));
            assert!(old == new || known, "the store would not save {}", new.id);
            let lease_over = old.lease_until.is_some_and(|until| until <= self.now);
            assert!(
                old.attempt == new.attempt || old.status != StepStatus::Running || lease_over,
                "{} has two",
                new.id
            );
        }
        for (job, due) in out.put {
            self.outbox.insert(job.key(), (job, due));
        }
        self.refunds += usize::from(out.refund);
        self.held.extend(out.claim.map(|claim| claim.at));
        self.trail.extend(out.audit);
        self.check(&before);
        result
    }

    fn deliver(&mut self, job: Job) {
        match job {
            Job::PlanWorkflow { .. } => {
                let costs = (0..3).cycle().take(self.plan.steps.len()).collect();
                drop(self.command(Command::Plan { plan: self.plan.clone(), costs, by: "plan".to_owned() }));
            }
            Job::RunStep { step, .. } => drop(self.command(Command::Claim { step })),
            other => panic!("a workflow asked for {other:?}"),
        }
    }

    /// Delivers what is due, as the relay does: the row comes again unless somebody deals with it.
    fn deliver_due(&mut self, pick: usize) {
        let due: Vec<_> = self.outbox.iter().filter(|(_, (_, due))| *due <= self.now).map(|(k, _)| k.clone()).collect();
        if due.is_empty() {
            return;
        }
        let key = due[pick % due.len()].clone();
        let later = self.now + TimeDelta::seconds(30);
        let Some((job, due)) = self.outbox.get_mut(&key) else { return };
        *due = later;
        let job = job.clone();
        self.deliver(job);
    }

    fn told(&mut self, pick: usize) -> Option<Attempt> {
        if !self.held.is_empty() && pick % 4 != 3 {
            let at = self.held.remove(pick % self.held.len());
            self.old.push(at.clone());
            return Some(at);
        }
        (!self.old.is_empty()).then(|| self.old[pick % self.old.len()].clone())
    }

    /// A worker tells something; that of an old attempt must be refused.
    fn tell(&mut self, pick: usize, command: impl FnOnce(Attempt) -> Command) {
        let Some(at) = self.told(pick) else { return };
        let step = self.workflow.steps.iter().find(|s| s.id == at.step);
        let newest = step.is_some_and(|s| s.status == StepStatus::Running && s.attempt == at.number);
        let result = self.command(command(at));
        assert_eq!(result.is_ok(), newest, "only the newest attempt of a running step is recorded");
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::DeliverDue(pick) => self.deliver_due(pick),
            Event::DeliverAny(pick) => {
                let step = format!("s{}", pick % self.plan.steps.len());
                let job = if pick == 7 {
                    Job::PlanWorkflow { workflow: self.workflow.id }
                } else {
                    self.workflow.step_job(&step)
                };
                self.deliver(job);
            }
            Event::Complete(pick) => self.tell(pick, |at| Command::Complete { at, output: json!({}) }),
            Event::Fail(pick, retry) => self.tell(pick, |at| Command::Fail {
                at,
                error: "broken".to_owned(),
                retry: retry.then_some(Duration::ZERO),
                jitter: 1.0,
            }),
            Event::Wait(pick, seconds) => {
                let until = seconds.map(|seconds| self.now + TimeDelta::seconds(seconds));
                self.tell(pick, |at| Command::Wait { at, until, reason: "waiting".to_owned() });
            }
            Event::Skip(pick) => self.tell(pick, |at| Command::Skip { at }),
            Event::HandBack(pick) => self.tell(pick, |at| Command::HandBack { at }),
            Event::Crash(pick) if !self.held.is_empty() => {
                let at = self.held.remove(pick % self.held.len());
                self.old.push(at);
            }
            Event::Crash(_) => {}
            Event::Pass(seconds) => self.now += TimeDelta::seconds(seconds),
            Event::Pause => drop(self.command(Command::Pause)),
            Event::Resume => drop(self.command(Command::Resume)),
            Event::Cancel => drop(self.command(Command::Cancel)),
            Event::Decide(pick) => {
                let step = format!("s{}", pick % self.plan.steps.len());
                drop(self.command(Command::Decide { step, decision: Decision::Done, output: json!({}) }));
            }
        }
        self.check_liveness();
    }

    fn check(&self, before: &Workflow) {
        assert!(legal_workflow(before.status, self.workflow.status), "{} to {}", before.status, self.workflow.status);
        for step in &self.workflow.steps {
            if let Some(old) = before.steps.iter().find(|s| s.id == step.id) {
                assert!(legal_step(old.status, step.status), "{}: {} to {}", step.id, old.status, step.status);
                assert!(step.attempt >= old.attempt);
            }
            let needs = self.workflow.steps.iter().filter(|s| step.spec.needs.contains(&s.id));
            if matches!(step.status, StepStatus::Running | StepStatus::Waiting | StepStatus::Completed) {
                assert!(needs.clone().all(|s| s.status == StepStatus::Completed), "{} ran too early", step.id);
            }
        }
        assert_eq!(verify(&self.trail, self.workflow.audit_seq, &self.workflow.audit_hash), Ok(()));
        let running = self.workflow.steps.iter().filter(|s| s.status == StepStatus::Running);
        let cost = self.workflow.cost + running.map(|s| s.spec.cost).sum::<i64>();
        assert!(self.workflow.max_cost.is_none_or(|max| cost <= max), "{cost} is over {:?}", self.workflow.max_cost);
        assert!(self.refunds <= 1);
        if self.refunds == 1 {
            assert!(self.workflow.steps.iter().all(|s| s.started_at.is_none()));
            assert_eq!(self.workflow.status, WorkflowStatus::Cancelled);
        }
    }

    /// Whatever can still move has something that moves it.
    fn check_liveness(&self) {
        let workflow = &self.workflow;
        let row = |key: &String| self.outbox.contains_key(key);
        match workflow.status {
            WorkflowStatus::Pending => assert!(row(&Job::PlanWorkflow { workflow: workflow.id }.key())),
            WorkflowStatus::Running => {
                assert!(workflow.steps.iter().any(|s| !s.status.ended()), "running without an open step");
                for step in &workflow.steps {
                    let waits_for_person = step.status == StepStatus::Waiting && step.wake_at.is_none();
                    let open = matches!(step.status, StepStatus::Ready | StepStatus::Running | StepStatus::Waiting);
                    assert!(
                        !open || waits_for_person || row(&workflow.step_job(&step.id).key()),
                        "{} is lost",
                        step.id
                    );
                }
            }
            WorkflowStatus::Completed | WorkflowStatus::Cancelled => assert!(self.outbox.is_empty(), "left-over work"),
            WorkflowStatus::Paused | WorkflowStatus::Failed => {}
        }
    }

    /// From here on everything goes well.
    fn run_out(&mut self) {
        for _ in 0..400 {
            if matches!(self.workflow.status, WorkflowStatus::Paused | WorkflowStatus::Failed) {
                self.happen(&Event::Resume);
            }
            self.held.clear();
            let running: Vec<_> =
                self.workflow.steps.iter().filter(|s| s.status == StepStatus::Running).cloned().collect();
            for step in running {
                let at = Attempt { step: step.id, number: step.attempt };
                drop(self.command(Command::Complete { at, output: json!({}) }));
            }
            for i in 0..self.plan.steps.len() {
                self.happen(&Event::Decide(i));
            }
            self.now += TimeDelta::seconds(61);
            for pick in 0..8 {
                self.happen(&Event::DeliverDue(pick));
            }
            if self.workflow.status.ended() && self.workflow.status != WorkflowStatus::Failed {
                return;
            }
        }
        panic!("still {}: {:?}", self.workflow.status, self.workflow.steps);
    }
}

fn legal_workflow(from: WorkflowStatus, to: WorkflowStatus) -> bool {
    use WorkflowStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
    from == to
        || match from {
            // One command may plan a workflow and end or pause it.
            Pending => true,
            Running => matches!(to, Completed | Failed | Cancelled | Paused),
            Paused => matches!(to, Running | Pending | Completed | Failed | Cancelled),
            Failed => matches!(to, Running | Completed | Paused),
            Completed | Cancelled => false,
        }
}

fn legal_step(from: StepStatus, to: StepStatus) -> bool {
    use StepStatus::{Blocked, Cancelled, Completed, Failed, Ready, Running, Skipped, Waiting};
    from == to
        || match from {
            Blocked => matches!(to, Ready | Running | Skipped | Cancelled),
            Ready => matches!(to, Running | Cancelled),
            Running => matches!(to, Ready | Waiting | Completed | Failed | Skipped | Cancelled),
            Waiting => matches!(to, Completed | Failed | Cancelled),
            // Resumed: it gets its attempts again.
            Failed => matches!(to, Ready | Running),
            Completed | Skipped | Cancelled => false,
        }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_stays_legal_and_can_be_brought_to_an_end(
        plan in plan(),
        max_cost in proptest::option::of(0..8_i64),
        take_next in any::<bool>(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new(plan, max_cost, take_next);
        for event in &events {
            world.happen(event);
        }
        world.run_out();
    }
}
