//! `email.send`: sends a mail in the name of a workflow.
//!
//! The Message-ID is made from the step, not from the attempt: if a delivery is repeated after a crash, the reader's
//! side can tell that both are the same mail.

use serde_json::json;
use shared::actions::params::EmailSend;
use shared::email::{Email, MailError, Mailer};

use super::{ActionError, Done, Run};

/// Hands the mail over to the mailer.
pub(super) async fn run(run: &Run, mailer: &Mailer) -> Result<Done, ActionError> {
    let params: EmailSend = run.params()?;
    let email = Email {
        message_id: format!("{}@autoos", run.idempotency_key().replace(':', ".")),
        to: params.to.into_list(),
        subject: params.subject,
        text: params.body,
        html: params.html,
        headers: Vec::new(),
    };
    mailer.send(&email).await.map_err(|error| match error {
        MailError::Permanent(_) => ActionError::Fail(error.to_string()),
        MailError::Transient(_) => ActionError::Retry(error.to_string()),
    })?;
    Ok(Done::Output(json!({"message_id": email.message_id, "to": email.to})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::{file_mailer, run_of};

    const ID: &str = "00000000-0000-0000-0000-000000000000.step@autoos";

    #[tokio::test]
    async fn a_mail_goes_out_under_an_id_that_is_the_same_for_every_attempt() {
        let (mailer, dir) = file_mailer();
        let with = json!({"to": ["ada@example.com", "bob@example.com"], "subject": "Sales", "body": "Total: 42"});
        let first = run_of("email.send", with);
        let second = Run { attempt: 2, ..first.clone() };
        for attempt in [first, second] {
            let done = run(&attempt, &mailer).await.unwrap();
            assert_eq!(done, Done::Output(json!({"message_id": ID, "to": ["ada@example.com", "bob@example.com"]})));
        }
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "the second delivery replaces the first: {files:?}");
        let mail = std::fs::read_to_string(&files[0]).unwrap();
        for part in [format!("Message-ID: <{ID}>").as_str(), "Subject: Sales", "bob@example.com", "Total: 42"] {
            assert!(mail.contains(part), "{part} is not in {mail}");
        }
    }

    #[tokio::test]
    async fn an_address_that_no_mail_can_go_to_fails_for_good() {
        let (mailer, _) = file_mailer();
        let result =
            run(&run_of("email.send", json!({"to": "not an address", "subject": "x", "body": "y"})), &mailer).await;
        assert!(matches!(result, Err(ActionError::Fail(_))), "{result:?}");
    }
}
