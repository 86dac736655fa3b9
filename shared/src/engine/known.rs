//! What a worker knows of workflows without reading it again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::status::StepStatus;
use crate::domain::workflow::{Step, Workflow};
use crate::ids::WorkflowId;

/// The steps of workflows that have steps running, as this process wrote them last. They need not be read again if
/// nobody has changed the workflow meanwhile, which the locked row tells: every change adds to the audit trail, whose
/// head stands for all of it, but for heartbeats and for what a step in line says it waits for. Nothing but a claim asks
/// until when a lease runs, so workflows with a claim are read.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<WorkflowId, (AuditHead, Vec<Step>)>>);

/// The hash of a workflow's newest audit entry.
type AuditHead = String;

impl Known {
    /// The most workflows: as many as one process works on at once by default.
    const MOST: usize = 128;

    pub(super) fn take(&self, workflow: WorkflowId, head: &str) -> Option<Vec<Step>> {
        self.all().remove(&workflow).filter(|(known, _)| known == head).map(|(_, steps)| steps)
    }

    pub(super) fn keep(&self, written: impl Iterator<Item = Workflow>) {
        let mut all = self.all();
        for workflow in written.filter(|w| w.steps.iter().any(|step| step.status == StepStatus::Running)) {
            if all.len() >= Self::MOST
                && !all.contains_key(&workflow.id)
                && let Some(other) = all.keys().next().copied()
            {
                all.remove(&other);
            }
            all.insert(workflow.id, (workflow.audit_hash, workflow.steps));
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<WorkflowId, (AuditHead, Vec<Step>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
