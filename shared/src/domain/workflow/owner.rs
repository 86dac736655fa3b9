//! What people do to workflows: pause, resume, cancel, and decide waiting steps.

use serde_json::{Value, json};

use super::graph::OVER_BUDGET;
use super::{Changes, Circumstances, Decision, Refusal, Workflow};
use crate::domain::status::{StepStatus, WorkflowStatus};
use crate::job::Job;

impl Workflow {
    pub(super) fn pause(&mut self, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        if !matches!(self.status, WorkflowStatus::Pending | WorkflowStatus::Running) {
            return Err(Refusal::WrongState(format!("a {} workflow cannot be paused", self.status)));
        }
        self.pause_because("Paused by a person; resume to go on".into(), with, out);
        if self.planner.is_none() {
            out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        if !matches!(self.status, WorkflowStatus::Paused | WorkflowStatus::Failed) {
            return Err(Refusal::WrongState(format!("a {} workflow cannot be resumed", self.status)));
        }
        if self.planner.is_none() {
            return self.resume_planning(with, out);
        }
        self.status = WorkflowStatus::Running;
        self.completed_at = None;
        self.error = None;
        if self.reason.take().is_some_and(|reason| reason.ends_with(OVER_BUDGET)) {
            // Whoever resumes has seen the reason and allows it.
            self.max_cost = None;
        }
        self.note("workflow.resumed", None, json!({}), with, out);
        for index in 0..self.steps.len() {
            self.reopen(index, out);
            match (self.steps[index].status, self.steps[index].wake_at) {
                // A step before this one was too dear, which pauses the workflow again.
                _ if self.status != WorkflowStatus::Running => {}
                (StepStatus::Ready, _) => self.hand_out(index, with, out),
                (StepStatus::Waiting, Some(at)) => out.put.push((self.step_job(&self.steps[index].id), at)),
                _ => {}
            }
        }
        self.settle(with, out);
        Ok(())
    }

    fn resume_planning(&mut self, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        if self.status == WorkflowStatus::Failed {
            return Err(Refusal::WrongState("this intent could not be planned; submit it again in other words".into()));
        }
        self.status = WorkflowStatus::Pending;
        self.reason = None;
        self.note("workflow.resumed", None, json!({}), with, out);
        let due = self.run_at.filter(|at| *at > with.now).unwrap_or_else(|| self.priority.due(with.now));
        out.put.push((Job::PlanWorkflow { workflow: self.id }, due));
        Ok(())
    }

    /// A failed step gets all its attempts again, unless its failure was allowed for.
    fn reopen(&mut self, index: usize, out: &mut Changes) {
        let step = &self.steps[index];
        if step.status != StepStatus::Failed || step.spec.on_failure == crate::domain::plan::OnFailure::Continue {
            return;
        }
        out.touch(index, step);
        let step = &mut self.steps[index];
        step.status = StepStatus::Ready;
        step.failures = 0;
        step.crashes = 0;
        step.finished_at = None;
    }

    pub(super) fn cancel(&mut self, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        if self.status.ended() {
            return Err(Refusal::WrongState(format!("a {} workflow cannot be cancelled", self.status)));
        }
        out.refund = self.steps.iter().all(|s| s.started_at.is_none());
        out.delete.push(Job::PlanWorkflow { workflow: self.id }.key());
        for index in 0..self.steps.len() {
            if self.steps[index].status.ended() {
                continue;
            }
            out.touch(index, &self.steps[index]);
            out.delete.push(self.step_job(&self.steps[index].id).key());
            let step = &mut self.steps[index];
            step.status = StepStatus::Cancelled;
            step.lease_until = None;
            step.wake_at = None;
            step.waiting_since = None;
            step.reason = None;
            step.finished_at = Some(with.now);
        }
        self.end(WorkflowStatus::Cancelled, with, out);
        Ok(())
    }

    pub(super) fn decide(
        &mut self,
        step: &str,
        decision: Decision,
        output: Value,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        let index = self.index(step)?;
        let wanted = if decision == Decision::Done { "human.task" } else { "approval" };
        let step = &self.steps[index];
        if step.status != StepStatus::Waiting || step.spec.action != wanted {
            return Err(Refusal::WrongState(format!("step \"{}\" is not a waiting {wanted}", step.id)));
        }
        if !matches!(self.status, WorkflowStatus::Running | WorkflowStatus::Paused) {
            return Err(Refusal::WrongState(format!("a {} workflow takes no decisions", self.status)));
        }
        if decision == Decision::Rejected {
            self.reject(index, &output, with, out);
        } else {
            self.finish_well(index, output, with, out);
        }
        Ok(())
    }

    fn reject(&mut self, index: usize, output: &Value, with: &Circumstances, out: &mut Changes) {
        out.touch(index, &self.steps[index]);
        let id = self.steps[index].id.clone();
        self.note("step.rejected", Some(&id), output.clone(), with, out);
        let note = output.get("note").and_then(Value::as_str).map_or(String::new(), |note| format!(": {note}"));
        self.fail_for_good(index, &format!("rejected{note}"), with, out);
    }
}
