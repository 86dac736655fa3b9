//! Planning, and what follows from a step's end: who is ready now, who is skipped, whether the workflow is done.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use super::{Changes, Circumstances, Claim, Refusal, Step, StepSpec, Workflow};
use crate::domain::plan::{OnFailure, Plan};
use crate::domain::status::{Priority, StepStatus, WorkflowStatus};
use crate::job::Job;

/// How the reason of a pause for money ends; no other reason ends so, whatever a step's error says.
pub(super) const OVER_BUDGET: &str = "would go over max_cost; resume to allow it";

impl Workflow {
    pub(super) fn planned(
        &mut self,
        plan: Plan,
        costs: &[i64],
        by: String,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        if self.planner.is_some() || self.status.ended() {
            out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
            return Err(Refusal::NotClaimable);
        }
        if self.status == WorkflowStatus::Paused {
            // Kept for the resume, which puts the job back.
            out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
            return Err(Refusal::WrongState("the workflow is paused".into()));
        }
        self.status = WorkflowStatus::Running;
        self.reason = None;
        self.started_at = Some(with.now);
        self.note("workflow.planned", None, json!({"by": by, "steps": plan.steps.len()}), with, out);
        self.planner = Some(by);
        self.steps = plan.steps.into_iter().enumerate().map(|(i, s)| new_step(s, costs.get(i).copied())).collect();
        out.planned = true;
        out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
        self.settle(with, out);
        Ok(())
    }

    pub(super) fn refuse_plan(
        &mut self,
        error: String,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
        if self.status != WorkflowStatus::Pending {
            return Err(Refusal::NotClaimable);
        }
        self.note("workflow.planning_failed", None, json!({"error": error}), with, out);
        out.refund = true;
        self.error = Some(error);
        self.end(WorkflowStatus::Failed, with, out);
        Ok(())
    }

    /// Moves the graph as far as it goes by itself: blocked steps become ready or skipped, ready ones are handed out,
    /// and a workflow without open steps ends.
    pub(super) fn settle(&mut self, with: &Circumstances, out: &mut Changes) {
        while let Some((index, status)) = self.next_unblocked() {
            out.touch(index, &self.steps[index]);
            self.steps[index].status = status;
            if status == StepStatus::Skipped {
                self.steps[index].reason = Some("Skipped: a step that it needs did not end well".into());
                self.steps[index].finished_at = Some(with.now);
                let id = self.steps[index].id.clone();
                self.note("step.skipped", Some(&id), json!({"because": "needs"}), with, out);
            } else if self.status == WorkflowStatus::Running {
                self.hand_out(index, with, out);
            }
        }
        if self.status == WorkflowStatus::Running && self.steps.iter().all(|s| s.status.ended()) {
            self.end(WorkflowStatus::Completed, with, out);
        }
    }

    /// A blocked step whose needs have all ended, and what that makes of it.
    fn next_unblocked(&self) -> Option<(usize, StepStatus)> {
        self.steps.iter().enumerate().filter(|(_, s)| s.status == StepStatus::Blocked).find_map(|(i, step)| {
            let mut needs = self.steps.iter().filter(|s| step.spec.needs.contains(&s.id));
            if needs.clone().all(|s| s.status == StepStatus::Completed) {
                return Some((i, StepStatus::Ready));
            }
            let lost = |s: &Step| match s.status {
                StepStatus::Skipped => true,
                StepStatus::Failed => s.spec.on_failure == OnFailure::Continue,
                _ => false,
            };
            needs.any(lost).then_some((i, StepStatus::Skipped))
        })
    }

    /// Gives a ready step to the asking worker if it takes one, else to the queue; without an agent it gets in line.
    pub(super) fn hand_out(&mut self, index: usize, with: &Circumstances, out: &mut Changes) {
        let job = self.step_job(&self.steps[index].id);
        match self.steps[index].wake_at {
            Some(at) => out.put.push((job, at)),
            None if !self.finds_agent(index, with) => self.wait_for_agent(index, with, out),
            None if with.take_next && out.claim.is_none() => self.start(index, with, out),
            None => out.put.push((job, self.priority.due(with.now))),
        }
    }

    /// Starts an attempt for the asking worker with an agent that is known to be there, unless the workflow's budget
    /// forbids it.
    pub(super) fn start(&mut self, index: usize, with: &Circumstances, out: &mut Changes) {
        let lease = TimeDelta::from_std(with.lease).unwrap_or(TimeDelta::MAX);
        let lease_until = with.now + lease;
        let step = &self.steps[index];
        if self.max_cost.is_some_and(|max| self.cost + self.under_way() + step.spec.cost > max) {
            self.pause_because(format!("Step \"{}\" {OVER_BUDGET}", step.id), with, out);
            return;
        }
        out.touch(index, &self.steps[index]);
        let step = &mut self.steps[index];
        step.status = StepStatus::Running;
        step.attempt += 1;
        step.lease_until = Some(lease_until);
        step.wake_at = None;
        step.waiting_since = None;
        step.reason = None;
        step.started_at.get_or_insert(with.now);
        let (id, attempt, spec) = (step.id.clone(), step.attempt, step.spec.clone());
        self.note("step.started", Some(&id), json!({"attempt": attempt}), with, out);
        // The same row is the lease's alarm: if nobody moves it, the step is handed out again.
        out.put.push((self.step_job(&id), lease_until));
        out.claim = Some(Claim { at: super::Attempt { step: id, number: attempt }, spec, lease_until });
    }

    /// What the attempts that run now will have cost when they end.
    fn under_way(&self) -> i64 {
        self.steps.iter().filter(|s| s.status == StepStatus::Running).map(|s| s.spec.cost).sum()
    }

    pub(super) fn end(&mut self, status: WorkflowStatus, with: &Circumstances, out: &mut Changes) {
        self.status = status;
        self.reason = None;
        self.completed_at = Some(with.now);
        self.note(&format!("workflow.{status}"), None, json!({"error": self.error}), with, out);
        out.ended = true;
        self.stop_deliveries(out);
        if self.callback {
            out.put.push((Job::Callback { workflow: self.id }, with.now));
        }
    }

    /// Takes the open steps' rows out of the outbox, but for the leases of running ones: their holders report.
    fn stop_deliveries(&mut self, out: &mut Changes) {
        for index in 0..self.steps.len() {
            if matches!(self.steps[index].status, StepStatus::Ready | StepStatus::Waiting) {
                out.delete.push(self.step_job(&self.steps[index].id).key());
                self.leave_line(index, out);
            }
        }
    }

    pub(super) fn pause_because(&mut self, reason: String, with: &Circumstances, out: &mut Changes) {
        self.status = WorkflowStatus::Paused;
        self.note("workflow.paused", None, json!({"reason": reason}), with, out);
        self.reason = Some(reason);
        self.stop_deliveries(out);
    }
}

impl Priority {
    /// The due time of work that may start now. The head start is bounded, so that nothing waits for ever behind it.
    pub fn due(self, now: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
        match self {
            Self::Low => now,
            Self::Normal => now - TimeDelta::minutes(5),
            Self::High => now - TimeDelta::minutes(10),
        }
    }
}

fn new_step(step: crate::domain::plan::PlanStep, cost: Option<i64>) -> Step {
    Step {
        id: step.id,
        spec: Arc::new(StepSpec {
            action: step.action,
            needs: step.needs,
            with: step.with,
            when: step.when,
            retry: step.retry,
            timeout_s: step.timeout_s,
            on_failure: step.on_failure,
            cost: cost.unwrap_or(0),
        }),
        status: StepStatus::Blocked,
        attempt: 0,
        failures: 0,
        crashes: 0,
        lease_until: None,
        wake_at: None,
        waiting_since: None,
        reason: None,
        error: None,
        cost: 0,
        output_bytes: 0,
        started_at: None,
        finished_at: None,
    }
}
