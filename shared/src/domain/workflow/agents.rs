//! Agents: how many steps of an owner run at once, and which starts when one of them ends.
//!
//! A step that finds no free agent gets in line: it stays ready, says why, and is called when an agent is free, so
//! nothing is polled. A step that is not in line leaves as many agents free as there are steps in line, so whoever came
//! first starts first: when a step ends and others wait, its agent is theirs, and what its end made ready gets in line
//! behind them, also in the same workflow. Only who is in line already, and comes by itself, may pass others; they keep
//! their places. To count one more thing: a field of [`InUse`], and its sum in [`Workflow::in_use`].

use std::ops::{Add, Sub};

use chrono::TimeDelta;
use serde_json::json;
use sqlx::FromRow;

use super::{Changes, Circumstances, Command, Refusal, Step, Workflow};
use crate::domain::status::StepStatus;

/// When a step in line looks for an agent although nobody has called it. Only a net, for limits that somebody raises in
/// the configuration.
const NET: TimeDelta = TimeDelta::minutes(5);

/// What is used of what an owner's plan allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromRow)]
pub struct InUse {
    /// Steps that run.
    pub agents: i64,
    /// Steps that wait for a free agent.
    pub waiting: i64,
    /// The size of all step outputs, in bytes of JSON without spaces.
    pub storage: i64,
}

impl Add for InUse {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            agents: self.agents + more.agents,
            waiting: self.waiting + more.waiting,
            storage: self.storage + more.storage,
        }
    }
}

impl Sub for InUse {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self {
            agents: self.agents - less.agents,
            waiting: self.waiting - less.waiting,
            storage: self.storage - less.storage,
        }
    }
}

/// The agents of an owner: how many there may be, and what the owner's workflows do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agents {
    /// How many steps may run at once; none: any number.
    pub limit: Option<i64>,
    /// What is used.
    pub in_use: InUse,
}

impl Agents {
    /// Gives a command to one of the owner's workflows, and counts what it does; a refusal changes nothing.
    pub fn give(
        &mut self,
        workflow: &mut Workflow,
        command: Command,
        with: &Circumstances,
        out: &mut Changes,
    ) -> Result<(), Refusal> {
        let others = self.in_use - workflow.in_use();
        let with = Circumstances { others: Self { in_use: others, ..*self }, ..with.clone() };
        workflow.handle(command, &with, out)?;
        self.in_use = others + workflow.in_use();
        Ok(())
    }

    /// How many agents are free; as many as anybody could want if there is no limit.
    pub fn free(&self) -> i64 {
        self.limit.map_or(i64::MAX, |limit| limit - self.in_use.agents)
    }

    /// Whether more are free than so many orders can take, each of which takes one, so that none of them gets a step in
    /// line; and whether nobody is in line.
    pub fn are_plenty(&self, orders: i64) -> bool {
        self.in_use.waiting <= 0 && self.free() > orders
    }

    /// How many of the steps in line can start: those that came first are to be called.
    pub fn to_call(&self) -> i64 {
        self.free().clamp(0, self.in_use.waiting.max(0))
    }
}

impl Workflow {
    /// What this workflow uses of what its owner's plan allows.
    pub fn in_use(&self) -> InUse {
        let count = |is: fn(&Step) -> bool| self.steps.iter().filter(|step| is(step)).count() as i64;
        InUse {
            agents: count(|step| step.status == StepStatus::Running),
            waiting: count(|step| step.waiting_since.is_some()),
            storage: self.steps.iter().map(|step| step.output_bytes).sum(),
        }
    }

    /// Whether there is an agent for a step that wants to start now.
    pub(super) fn finds_agent(&self, index: usize, with: &Circumstances) -> bool {
        let all = Agents { in_use: with.others.in_use + self.in_use(), ..with.others };
        let spoken_for = if self.steps[index].waiting_since.is_some() { 0 } else { all.in_use.waiting };
        all.free() > spoken_for
    }

    /// Gets a ready step in line, or lets it keep its place there.
    pub(super) fn wait_for_agent(&mut self, index: usize, with: &Circumstances, out: &mut Changes) {
        let limit = with.others.limit.unwrap_or_default();
        // Those that do not run are spoken for by steps that came first.
        let reason = Some(format!("Waiting for a free agent: {limit} of {limit} busy"));
        let is_new = self.steps[index].waiting_since.is_none();
        if is_new || self.steps[index].reason != reason {
            out.touch(index, &self.steps[index]);
        }
        let step = &mut self.steps[index];
        step.waiting_since.get_or_insert(with.now);
        step.wake_at = None;
        step.reason = reason;
        let id = step.id.clone();
        if is_new {
            self.note("step.waiting_for_agent", Some(&id), json!({"agents": limit}), with, out);
        }
        out.put.push((self.step_job(&id), with.now + NET));
    }

    /// Takes a step out of the line, if it is there.
    pub(super) fn leave_line(&mut self, index: usize, out: &mut Changes) {
        if self.steps[index].waiting_since.is_some() {
            out.touch(index, &self.steps[index]);
            self.steps[index].waiting_since = None;
            self.steps[index].reason = None;
        }
    }
}
