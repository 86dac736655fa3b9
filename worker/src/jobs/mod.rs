//! The jobs, one file each. A job that returns an error, or never returns, comes again when its outbox row is due.

pub mod account_link;
pub mod callback;
pub mod close_account;
pub mod let_in;
pub mod plan_workflow;
pub mod run_step;
pub mod send_email;
pub mod sync_customer;

use shared::domain::workflow::{Circumstances, Claim, Command, Refusal};
use shared::engine::Order;
use shared::ids::WorkflowId;

use crate::Worker;

impl Worker {
    /// Gives a command on behalf of this worker, which takes the next ready step unless it is about to stop.
    async fn order(&self, workflow: WorkflowId, command: Command) -> Option<Claim> {
        let with = Circumstances {
            take_next: !self.stop.is_cancelled(),
            ..self.services.circumstances("engine".into(), self.services.clock.now())
        };
        match self.advance.order(Order { workflow, command, with }).await? {
            Ok(claim) => claim,
            Err(Refusal::NotClaimable) => None,
            Err(refusal) => {
                tracing::info!(%refusal, workflow.id = %workflow, "refused");
                None
            }
        }
    }
}
