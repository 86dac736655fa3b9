//! What workers do to steps: claim, complete, fail, skip, wait, hand back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Attempt, Changes, Circumstances, MAX_CRASHES, Refusal, Workflow};
use crate::domain::plan::OnFailure;
use crate::domain::status::{StepStatus, WorkflowStatus};

impl Workflow {
    pub(super) fn claim(&mut self, step: &str, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        let key = self.step_job(step).key();
        let Ok(index) = self.index(step) else {
            out.delete.push(key);
            return Err(Refusal::NoSuchStep(step.to_owned()));
        };
        let step = &self.steps[index];
        let due = |at: Option<DateTime<Utc>>| at.is_none_or(|at| at <= with.now);
        match step.status {
            StepStatus::Running if due(step.lease_until) => self.take_over(index, with, out),
            StepStatus::Running => return Err(Refusal::NotClaimable),
            _ if self.status != WorkflowStatus::Running => {
                out.delete.push(key);
                return Err(Refusal::NotClaimable);
            }
            StepStatus::Ready if due(step.wake_at) && self.finds_agent(index, with) => self.start(index, with, out),
            StepStatus::Ready if due(step.wake_at) => self.wait_for_agent(index, with, out),
            StepStatus::Waiting if step.wake_at.is_some_and(|at| at <= with.now) => self.wake(index, with, out),
            // The message came early: the row goes back to the time that the step waits for.
            StepStatus::Ready | StepStatus::Waiting => match step.wake_at {
                Some(at) => out.put.push((self.step_job(&self.steps[index].id), at)),
                None => out.delete.push(key),
            },
            _ => {
                out.delete.push(key);
                return Err(Refusal::NotClaimable);
            }
        }
        Ok(())
    }

    /// The holder of the lease died: the next attempt is the asking worker's, unless this step kills its workers.
    fn take_over(&mut self, index: usize, with: &Circumstances, out: &mut Changes) {
        out.touch(index, &self.steps[index]);
        let step = &mut self.steps[index];
        step.crashes += 1;
        let (id, attempt, crashes) = (step.id.clone(), step.attempt, step.crashes);
        self.note("step.worker_lost", Some(&id), json!({"attempt": attempt, "crashes": crashes}), with, out);
        if crashes >= MAX_CRASHES {
            let error = format!("the worker died {crashes} times while this step ran");
            self.fail_for_good(index, &error, with, out);
            return;
        }
        // Ready first: whatever keeps it from starting again must not leave it with a lease that is over.
        self.release(index, StepStatus::Ready);
        if self.status == WorkflowStatus::Running {
            // It goes on with the agent that it had: those in line wait for a step that ends.
            self.start(index, with, out);
        } else {
            // Paused or failed meanwhile: it waits for the resume like any other ready step.
            out.delete.push(self.step_job(&id).key());
        }
    }

    /// A durable wait is over.
    fn wake(&mut self, index: usize, with: &Circumstances, out: &mut Changes) {
        let output = json!({"waited_until": self.steps[index].wake_at});
        self.finish_well(index, output, with, out);
    }

    /// The running attempt, or why it no longer counts.
    fn attempt(&mut self, at: &Attempt, out: &mut Changes) -> Result<usize, Refusal> {
        let index = self.index(&at.step)?;
        let step = &self.steps[index];
        if step.status != StepStatus::Running || step.attempt != at.number {
            return Err(Refusal::Stale(at.number));
        }
        out.touch(index, step);
        Ok(index)
    }

    /// Ends the lease.
    fn release(&mut self, index: usize, status: StepStatus) {
        let step = &mut self.steps[index];
        step.status = status;
        step.lease_until = None;
    }

    fn spend(&mut self, index: usize) {
        let cost = self.steps[index].spec.cost;
        self.steps[index].cost += cost;
        self.cost += cost;
    }

    pub(super) fn complete(
        &mut self,
        at: &Attempt,
        output: Value,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        let index = self.attempt(at, out)?;
        self.spend(index);
        self.finish_well(index, output, with, out);
        Ok(())
    }

    pub(super) fn finish_well(&mut self, index: usize, output: Value, with: &Circumstances, out: &mut Changes) {
        out.touch(index, &self.steps[index]);
        self.release(index, StepStatus::Completed);
        let step = &mut self.steps[index];
        step.finished_at = Some(with.now);
        step.reason = None;
        step.error = None;
        step.wake_at = None;
        step.output_bytes = output.to_string().len() as i64;
        let (id, attempt) = (step.id.clone(), step.attempt);
        out.output = Some((index, output));
        out.delete.push(self.step_job(&id).key());
        self.note("step.completed", Some(&id), json!({"attempt": attempt}), with, out);
        self.settle(with, out);
    }

    pub(super) fn fail_attempt(
        &mut self,
        at: &Attempt,
        (error, retry, jitter): (&str, Option<Duration>, f64),
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        let index = self.attempt(at, out)?;
        self.spend(index);
        let step = &mut self.steps[index];
        step.failures += 1;
        let (failures, most) = (step.failures, i64::from(step.spec.retry.max_attempts));
        let Some(least) = retry.filter(|_| failures < most) else {
            self.fail_for_good(index, error, with, out);
            return Ok(());
        };
        let pause = step.spec.retry.pause(failures as u32).mul_f64(jitter.clamp(0.0, 1.0)).max(least);
        let wake_at = with.now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero());
        step.wake_at = Some(wake_at);
        step.reason =
            Some(format!("Retry {} of {} at {} after: {error}", failures + 1, most, wake_at.format("%H:%M:%S")));
        step.error = Some(error.to_owned());
        let id = step.id.clone();
        self.release(index, StepStatus::Ready);
        let detail = json!({"attempt": at.number, "error": error, "retry_at": wake_at});
        self.note("step.retrying", Some(&id), detail, with, out);
        if self.status == WorkflowStatus::Running {
            out.put.push((self.step_job(&id), wake_at));
        } else {
            out.delete.push(self.step_job(&id).key());
        }
        Ok(())
    }

    pub(super) fn fail_for_good(&mut self, index: usize, error: &str, with: &Circumstances, out: &mut Changes) {
        out.touch(index, &self.steps[index]);
        self.release(index, StepStatus::Failed);
        let step = &mut self.steps[index];
        step.finished_at = Some(with.now);
        step.error = Some(error.to_owned());
        step.reason = None;
        step.wake_at = None;
        let (id, attempt, on_failure) = (step.id.clone(), step.attempt, step.spec.on_failure);
        out.delete.push(self.step_job(&id).key());
        self.note("step.failed", Some(&id), json!({"attempt": attempt, "error": error}), with, out);
        match on_failure {
            OnFailure::Continue => self.settle(with, out),
            _ if !matches!(self.status, WorkflowStatus::Running | WorkflowStatus::Paused) => {}
            OnFailure::Fail => {
                self.error = Some(format!("Step \"{id}\" failed: {error}"));
                self.end(WorkflowStatus::Failed, with, out);
            }
            OnFailure::Pause => {
                self.pause_because(format!("Step \"{id}\" failed: {error}. Resume to try it again"), with, out);
            }
        }
    }

    pub(super) fn skip(&mut self, at: &Attempt, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        let index = self.attempt(at, out)?;
        self.release(index, StepStatus::Skipped);
        self.steps[index].finished_at = Some(with.now);
        self.steps[index].reason = Some("Skipped: its condition was false".into());
        out.delete.push(self.step_job(&at.step).key());
        self.note("step.skipped", Some(&at.step), json!({"because": "when"}), with, out);
        self.settle(with, out);
        Ok(())
    }

    pub(super) fn wait(
        &mut self,
        at: &Attempt,
        until: Option<DateTime<Utc>>,
        reason: String,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        let index = self.attempt(at, out)?;
        self.spend(index);
        self.release(index, StepStatus::Waiting);
        self.steps[index].wake_at = until;
        self.note("step.waiting", Some(&at.step), json!({"reason": reason, "until": until}), with, out);
        self.steps[index].reason = Some(reason);
        match until.filter(|_| self.status == WorkflowStatus::Running) {
            Some(until) => out.put.push((self.step_job(&at.step), until)),
            None => out.delete.push(self.step_job(&at.step).key()),
        }
        Ok(())
    }

    pub(super) fn hand_back(&mut self, at: &Attempt, with: &Circumstances, out: &mut Changes) -> Result<(), Refusal> {
        let index = self.attempt(at, out)?;
        self.release(index, StepStatus::Ready);
        self.note("step.handed_back", Some(&at.step), json!({"attempt": at.number}), with, out);
        if self.status == WorkflowStatus::Running {
            out.put.push((self.step_job(&at.step), with.now));
        } else {
            out.delete.push(self.step_job(&at.step).key());
        }
        Ok(())
    }
}
