//! `human.task`: stops the branch until a person has done something.
//!
//! That it is done comes in through the API, which records the step's output; nothing runs here a second time.

use shared::actions::params::HumanTask;

use super::{ActionError, Done, Run};

/// Says what is to be done, and by whom.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: HumanTask = run.params()?;
    let who = params.assignee.as_deref().unwrap_or("you");
    Ok(Done::WaitForHuman { reason: format!("Waiting for {who} to do this: {}", params.instructions.trim()) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::actions::tests::run_of;

    fn reason(with: Value) -> String {
        match run(&run_of("human.task", with)).unwrap() {
            Done::WaitForHuman { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_task_waits_for_you_or_for_whom_it_names() {
        assert_eq!(reason(json!({"instructions": "Call Bob.\n"})), "Waiting for you to do this: Call Bob.");
        let with = json!({"instructions": "Call Bob.", "assignee": "Grace"});
        assert_eq!(reason(with), "Waiting for Grace to do this: Call Bob.");
    }
}
