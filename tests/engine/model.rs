//! A model test of workflows: random plans, random deliveries, duplicates, crashes, cancels, pauses, decisions, and an
//! owner whose agents they share, of which there are more or fewer at times.
//!
//! The world around the aggregates is modelled by what they ask for: outbox rows with due times, and workers that hold
//! attempts and may tell what became of them late, twice, or never. Steps in line are called as the store calls them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;
use shared::domain::audit::{Entry, verify};
use shared::domain::plan::{OnFailure, Plan, PlanStep, Retry};
use shared::domain::status::{Charged, Priority, StepStatus, WorkflowStatus};
use shared::domain::workflow::{
    Agents, Attempt, Changes, Circumstances, Command, Decision, InUse, Refusal, Step, Workflow,
};
use shared::ids::{UserId, WorkflowId};
use shared::job::Job;

const LEASE: TimeDelta = TimeDelta::seconds(15);

/// One thing that happens; the numbers pick among what is there.
#[derive(Debug, Clone)]
enum Event {
    DeliverDue(usize),
    DeliverAny(usize, usize),
    Complete(usize),
    Fail(usize, bool),
    Wait(usize, Option<i64>),
    Skip(usize),
    HandBack(usize),
    Crash(usize),
    Pass(i64),
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    Decide(usize, usize),
    Limit(Option<i64>),
}

fn event() -> impl Strategy<Value = Event> {
    let n = 0..8_usize;
    prop_oneof![
        8 => n.clone().prop_map(Event::DeliverDue),
        2 => (n.clone(), n.clone()).prop_map(|(of, n)| Event::DeliverAny(of, n)),
        6 => n.clone().prop_map(Event::Complete),
        2 => (n.clone(), any::<bool>()).prop_map(|(n, retry)| Event::Fail(n, retry)),
        1 => (n.clone(), proptest::option::of(0..40_i64)).prop_map(|(n, until)| Event::Wait(n, until)),
        1 => n.clone().prop_map(Event::Skip),
        1 => n.clone().prop_map(Event::HandBack),
        1 => n.clone().prop_map(Event::Crash),
        3 => (0..60_i64).prop_map(Event::Pass),
        1 => n.clone().prop_map(Event::Pause),
        2 => n.clone().prop_map(Event::Resume),
        1 => prop_oneof![5 => n.clone().prop_map(Event::Resume), 1 => n.clone().prop_map(Event::Cancel)],
        2 => (n.clone(), n).prop_map(|(of, n)| Event::Decide(of, n)),
        1 => limit().prop_map(Event::Limit),
    ]
}

/// How many steps may run at once.
fn limit() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![6 => (1..4_i64).prop_map(Some), 1 => Just(None)]
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

/// A workflow with what is known of it besides.
struct Flow {
    workflow: Workflow,
    plan: Plan,
    trail: Vec<Entry>,
    refunds: usize,
}

/// A row of the outbox.
struct Row {
    job: Job,
    due: DateTime<Utc>,
    pushes: usize,
}

struct World {
    flows: Vec<Flow>,
    agents: Agents,
    now: DateTime<Utc>,
    outbox: BTreeMap<String, Row>,
    /// Attempts whose workers live and have not told yet, with the places of their workflows.
    held: Vec<(usize, Attempt)>,
    /// Attempts that are told again, or after their worker was given up.
    old: Vec<(usize, Attempt)>,
    take_next: bool,
}

impl World {
    fn new(plans: Vec<Plan>, max_cost: Option<i64>, limit: Option<i64>, take_next: bool) -> Self {
        let now: DateTime<Utc> = "2026-01-15T09:00:00Z".parse().expect("a time");
        let agents = Agents { limit, in_use: InUse::default() };
        let (held, old) = (Vec::new(), Vec::new());
        let mut world = Self { flows: Vec::new(), agents, now, outbox: BTreeMap::new(), held, old, take_next };
        let user = UserId::new(now);
        for plan in plans {
            let mut workflow = Workflow::accepted(WorkflowId::new(now), user, (Priority::Normal, Charged::Trial));
            workflow.max_cost = max_cost;
            let job = Job::PlanWorkflow { workflow: workflow.id };
            world.outbox.insert(job.key(), Row { job, due: now, pushes: 0 });
            let mut out = Changes::default();
            workflow.note_created(&world.with(), &mut out);
            world.flows.push(Flow { workflow, plan, trail: out.audit, refunds: 0 });
        }
        world
    }

    fn with(&self) -> Circumstances {
        let lease = LEASE.to_std().unwrap_or(Duration::ZERO);
        let (actor, others) = ("engine".to_owned(), Agents::default());
        Circumstances { now: self.now, actor, lease, take_next: self.take_next, others }
    }

    fn command(&mut self, of: usize, command: Command) -> Result<(), Refusal> {
        let (before, running) = (self.flows[of].workflow.clone(), self.agents.in_use.agents);
        let mut out = Changes::default();
        let with = self.with();
        let result = self.agents.give(&mut self.flows[of].workflow, command, &with, &mut out);
        for key in &out.delete {
            self.outbox.remove(key);
        }
        if result.is_err() {
            assert_eq!(before, self.flows[of].workflow, "a refused command changed something");
            return result;
        }
        for (index, (old, new)) in before.steps.iter().zip(&self.flows[of].workflow.steps).enumerate() {
            let known = out.steps.contains(&(index, old.status, old.attempt));
            assert!(old == new || known, "the store would not save {}", new.id);
            let ran = old.status == StepStatus::Running;
            let lease_over = old.lease_until.is_some_and(|until| until <= self.now);
            assert!(old.attempt == new.attempt || !ran || lease_over, "{} has two", new.id);
            assert!(!ran || new.waiting_since.is_none(), "{} has lost its agent", new.id);
        }
        for (job, due) in out.put {
            self.outbox.insert(job.key(), Row { job, due, pushes: 0 });
        }
        self.flows[of].refunds += usize::from(out.refund);
        self.held.extend(out.claim.map(|claim| (of, claim.at)));
        self.flows[of].trail.extend(out.audit);
        self.check(of, &before);
        let busy = self.agents.in_use.agents;
        assert!(busy <= running || self.agents.limit.is_none_or(|limit| busy <= limit), "{busy} run at once");
        self.let_in();
        self.check_line();
        result
    }

    /// The outbox rows of the steps in line, of those that came first first.
    fn line(&self) -> Vec<String> {
        let mut line = Vec::new();
        for Flow { workflow, .. } in &self.flows {
            for (index, step) in workflow.steps.iter().enumerate() {
                let key = workflow.step_job(&step.id).key();
                line.extend(step.waiting_since.map(|since| (since, workflow.id, index, key)));
            }
        }
        line.sort();
        line.into_iter().map(|(.., key)| key).collect()
    }

    /// Calls who came first, as the store does.
    fn let_in(&mut self) {
        let due = Priority::Normal.due(self.now);
        for key in self.line().into_iter().take(self.agents.to_call() as usize) {
            let row = self.outbox.get_mut(&key).expect("a row of who is in line");
            if row.pushes == 0 && row.due > self.now {
                row.due = due;
            }
        }
    }

    /// Nobody waits for an agent who could not start, and while one is free, somebody has been called.
    fn check_line(&self) {
        let all = self.flows.iter().fold(InUse::default(), |sum, flow| sum + flow.workflow.in_use());
        assert_eq!(self.agents.in_use, all, "counted wrongly");
        let rows: Vec<_> = self.line().iter().map(|key| &self.outbox[key]).collect();
        let called = rows.iter().filter(|row| row.pushes > 0 || row.due <= self.now).count();
        assert!(called as i64 >= self.agents.to_call(), "{called} are called: {:?}", self.agents);
        for Flow { workflow, .. } in &self.flows {
            for step in workflow.steps.iter().filter(|step| step.waiting_since.is_some()) {
                assert_eq!((step.status, workflow.status), (StepStatus::Ready, WorkflowStatus::Running));
                let reason = step.reason.as_deref().unwrap_or_default();
                assert!(step.wake_at.is_none() && reason.starts_with("Waiting for a free agent: "), "{step:?}");
            }
        }
    }

    fn deliver(&mut self, job: Job) {
        let of = |id: WorkflowId| self.flows.iter().position(|flow| flow.workflow.id == id).expect("a workflow");
        match job {
            Job::PlanWorkflow { workflow } => {
                let of = of(workflow);
                let plan = self.flows[of].plan.clone();
                let costs = (0..3).cycle().take(plan.steps.len()).collect();
                drop(self.command(of, Command::Plan { plan, costs, by: "plan".to_owned() }));
            }
            Job::RunStep { workflow, step } => {
                let of = of(workflow);
                drop(self.command(of, Command::Claim { step }));
            }
            other => panic!("a workflow asked for {other:?}"),
        }
    }

    /// Delivers what is due, as the relay does: the row comes again unless somebody deals with it.
    fn deliver_due(&mut self, pick: usize) {
        let due: Vec<_> = self.outbox.iter().filter(|(_, row)| row.due <= self.now).map(|(k, _)| k.clone()).collect();
        if due.is_empty() {
            return;
        }
        let later = self.now + TimeDelta::seconds(30);
        let Some(row) = self.outbox.get_mut(&due[pick % due.len()]) else { return };
        row.due = later;
        row.pushes += 1;
        let job = row.job.clone();
        self.deliver(job);
    }

    fn told(&mut self, pick: usize) -> Option<(usize, Attempt)> {
        if !self.held.is_empty() && pick % 4 != 3 {
            let told = self.held.remove(pick % self.held.len());
            self.old.push(told.clone());
            return Some(told);
        }
        (!self.old.is_empty()).then(|| self.old[pick % self.old.len()].clone())
    }

    /// A worker tells something; that of an old attempt must be refused.
    fn tell(&mut self, pick: usize, command: impl FnOnce(Attempt) -> Command) {
        let Some((of, at)) = self.told(pick) else { return };
        let step = self.flows[of].workflow.steps.iter().find(|s| s.id == at.step);
        let newest = step.is_some_and(|s| s.status == StepStatus::Running && s.attempt == at.number);
        let result = self.command(of, command(at));
        assert_eq!(result.is_ok(), newest, "only the newest attempt of a running step is recorded");
    }

    /// The id of a step of a workflow's plan.
    fn step(&self, of: usize, pick: usize) -> String {
        format!("s{}", pick % self.flows[of].plan.steps.len())
    }

    fn happen(&mut self, event: &Event) {
        let flows = self.flows.len();
        let flow = |pick: usize| pick % flows;
        match *event {
            Event::DeliverDue(pick) => self.deliver_due(pick),
            Event::DeliverAny(of, pick) => {
                let of = flow(of);
                let workflow = &self.flows[of].workflow;
                let plan = Job::PlanWorkflow { workflow: workflow.id };
                let job = if pick == 7 { plan } else { workflow.step_job(&self.step(of, pick)) };
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
                let lost = self.held.remove(pick % self.held.len());
                self.old.push(lost);
            }
            Event::Crash(_) => {}
            Event::Pass(seconds) => self.now += TimeDelta::seconds(seconds),
            Event::Pause(of) => drop(self.command(flow(of), Command::Pause)),
            Event::Resume(of) => drop(self.command(flow(of), Command::Resume)),
            Event::Cancel(of) => drop(self.command(flow(of), Command::Cancel)),
            Event::Decide(of, pick) => {
                let of = flow(of);
                let step = self.step(of, pick);
                drop(self.command(of, Command::Decide { step, decision: Decision::Done, output: json!({}) }));
            }
            Event::Limit(limit) => {
                self.agents.limit = limit;
                self.let_in();
            }
        }
        self.check_line();
        self.check_liveness();
    }

    fn check(&self, of: usize, before: &Workflow) {
        let Flow { workflow, trail, refunds, .. } = &self.flows[of];
        assert!(legal_workflow(before.status, workflow.status), "{} to {}", before.status, workflow.status);
        for step in &workflow.steps {
            if let Some(old) = before.steps.iter().find(|s| s.id == step.id) {
                assert!(legal_step(old.status, step.status), "{}: {} to {}", step.id, old.status, step.status);
                assert!(step.attempt >= old.attempt);
            }
            let needs = workflow.steps.iter().filter(|s| step.spec.needs.contains(&s.id));
            if matches!(step.status, StepStatus::Running | StepStatus::Waiting | StepStatus::Completed) {
                assert!(needs.clone().all(|s| s.status == StepStatus::Completed), "{} ran too early", step.id);
            }
        }
        assert_eq!(verify(trail, workflow.audit_seq, &workflow.audit_hash), Ok(()));
        let running = workflow.steps.iter().filter(|s| s.status == StepStatus::Running);
        let cost = workflow.cost + running.map(|s| s.spec.cost).sum::<i64>();
        assert!(workflow.max_cost.is_none_or(|max| cost <= max), "{cost} is over {:?}", workflow.max_cost);
        assert!(*refunds <= 1);
        if *refunds == 1 {
            assert!(workflow.steps.iter().all(|s| s.started_at.is_none()));
            assert_eq!(workflow.status, WorkflowStatus::Cancelled);
        }
    }

    /// Whatever can still move has something that moves it.
    fn check_liveness(&self) {
        let row = |key: &String| self.outbox.contains_key(key);
        for Flow { workflow, .. } in &self.flows {
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
                WorkflowStatus::Completed | WorkflowStatus::Cancelled => {
                    let id = workflow.id.to_string();
                    assert!(!self.outbox.keys().any(|key| key.contains(&id)), "left-over work");
                }
                WorkflowStatus::Paused | WorkflowStatus::Failed => {}
            }
        }
    }

    /// From here on everything goes well.
    fn run_out(&mut self) {
        for _ in 0..400 {
            self.held.clear();
            for of in 0..self.flows.len() {
                self.bring_on(of);
            }
            self.now += TimeDelta::seconds(61);
            for pick in 0..8 * self.flows.len() {
                self.happen(&Event::DeliverDue(pick));
            }
            let over = |status: WorkflowStatus| matches!(status, WorkflowStatus::Completed | WorkflowStatus::Cancelled);
            if self.flows.iter().all(|flow| over(flow.workflow.status)) {
                assert_eq!((self.agents.in_use.agents, self.agents.in_use.waiting), (0, 0));
                return;
            }
        }
        panic!("not over: {:?}", self.flows.iter().map(|flow| &flow.workflow).collect::<Vec<_>>());
    }

    /// Resumes a workflow if need be, and ends what runs or waits for a person.
    fn bring_on(&mut self, of: usize) {
        if matches!(self.flows[of].workflow.status, WorkflowStatus::Paused | WorkflowStatus::Failed) {
            self.happen(&Event::Resume(of));
        }
        let is_running = |s: &&Step| s.status == StepStatus::Running;
        let running: Vec<_> = self.flows[of].workflow.steps.iter().filter(is_running).cloned().collect();
        for step in running {
            let at = Attempt { step: step.id, number: step.attempt };
            drop(self.command(of, Command::Complete { at, output: json!({}) }));
        }
        for i in 0..self.flows[of].plan.steps.len() {
            self.happen(&Event::Decide(of, i));
        }
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
        plans in proptest::collection::vec(plan(), 1..4),
        max_cost in proptest::option::of(0..8_i64),
        limit in limit(),
        take_next in any::<bool>(),
        events in proptest::collection::vec(event(), 0..80),
    ) {
        let mut world = World::new(plans, max_cost, limit, take_next);
        for event in &events {
            world.happen(event);
        }
        world.run_out();
    }
}
