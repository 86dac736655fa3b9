//! `approval`: stops the branch until a person says yes or no.
//!
//! The decision comes in through the API, which records the step's output; nothing runs here a second time.

use shared::actions::params::Approval;

use super::{ActionError, Done, Run};

/// Says what is to be approved.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: Approval = run.params()?;
    Ok(Done::WaitForHuman { reason: format!("Waiting for you to approve: {}", params.message.trim()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::tests::run_of;

    #[test]
    fn an_approval_waits_for_a_person() {
        let done = run(&run_of("approval", json!({"message": "Send it to all?"}))).unwrap();
        assert_eq!(done, Done::WaitForHuman { reason: "Waiting for you to approve: Send it to all?".into() });
    }
}
