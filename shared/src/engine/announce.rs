//! Telling owners that their workflows have ended.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::domain::status::{StepStatus, WorkflowStatus};
use crate::domain::workflow::{Circumstances, Workflow};
use crate::email::{Mail, WorkflowFailed, WorkflowFinished};
use crate::store::users::User;
use crate::store::{StoreResult, Tx, mails, users};

/// Mails to the owners of ended workflows who want them; whether there is one to deliver.
pub(super) async fn announce_ends(
    tx: &mut Tx,
    config: &Config,
    ended: &[(&Workflow, &Circumstances)],
) -> StoreResult<bool> {
    let mut announced = false;
    let owners = users::by_ids(tx, ended.iter().map(|(workflow, _)| workflow.user_id)).await?;
    let owners: BTreeMap<_, _> = owners.into_iter().map(|user| (user.id, user)).collect();
    for (workflow, with) in ended {
        let wants = |user: &&User| match workflow.status {
            WorkflowStatus::Failed => user.mail_on_failure,
            _ => user.mail_on_finish,
        };
        if let Some(user) = owners.get(&workflow.user_id).filter(wants) {
            announce_end(tx, config, (workflow, user), with).await?;
            announced = true;
        }
    }
    Ok(announced)
}

async fn announce_end(
    tx: &mut Tx,
    config: &Config,
    (workflow, user): (&Workflow, &User),
    with: &Circumstances,
) -> StoreResult<()> {
    let Some(origin) = crate::store::workflows::origin(tx, workflow.id).await? else { return Ok(()) };
    let link = config.link(&format!("/api/v1/workflows/{}", workflow.id));
    let mail = if workflow.status == WorkflowStatus::Failed {
        let step = workflow.steps.iter().find(|s| s.status == StepStatus::Failed);
        Mail::WorkflowFailed(WorkflowFailed {
            name: user.full_name.clone(),
            link,
            intent: origin.intent,
            failed_step: step.map(|s| s.id.clone()),
            error: workflow.error.clone().unwrap_or_default(),
            failed_at: with.now,
        })
    } else {
        let done = workflow.steps.iter().filter(|s| s.status == StepStatus::Completed).count();
        Mail::WorkflowFinished(WorkflowFinished {
            name: user.full_name.clone(),
            link,
            intent: origin.intent,
            steps_completed: done as i64,
            finished_at: with.now,
        })
    };
    // A resumed workflow may end again: each end has its own mail.
    let occasion = format!("{}:{}", workflow.id, workflow.audit_seq);
    mails::put(tx, (workflow.user_id, &user.email), &mail, &occasion, with.now).await?;
    Ok(())
}
