//! Delivers mails: into a folder, where nothing needs to be installed, or to a mail server.
//!
//! A delivery may be repeated after a crash. In the folder the second copy replaces the first; over SMTP the reader's
//! side recognises it by the Message-ID. To add a way of delivery: a variant of [`Mailer`], its constructor, and its
//! arms in `send` and `check`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::response::Category;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::message::{Email, Mailbox};
use crate::clock::Clock;
use crate::config::SmtpSettings;

/// How long a delivery may take, from the connection to the server's last word.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A mail that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Trying again would end the same way.
    #[error("the mail was refused: {0}")]
    Permanent(String),
    /// Worth another try later.
    #[error("the mail could not be delivered now: {0}")]
    Transient(String),
}

/// The way out for mails.
#[derive(Debug, Clone)]
pub enum Mailer {
    /// A file for each mail.
    Files(FileDrop),
    /// A mail server.
    Smtp(SmtpDelivery),
}

/// Writes each mail to `<message id>.eml`.
#[derive(Debug, Clone)]
pub struct FileDrop {
    dir: PathBuf,
    from: Mailbox,
    clock: Clock,
}

/// Hands each mail to a server, over connections that are kept for a while.
#[derive(Debug, Clone)]
pub struct SmtpDelivery {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    clock: Clock,
}

impl Mailer {
    /// Mails become files in `dir`, which is made when the first one arrives.
    pub fn files(dir: &Path, from: Mailbox, clock: Clock) -> Self {
        Self::Files(FileDrop { dir: dir.to_owned(), from, clock })
    }

    /// Mails go to a server: TLS from the start on port 465, STARTTLS demanded on 587, and on any other port STARTTLS
    /// where the server offers it. Must be called, and dropped, inside a Tokio runtime, which the pool of connections
    /// uses for its upkeep.
    pub fn smtp(settings: &SmtpSettings, from: Mailbox, clock: Clock) -> Result<Self, MailError> {
        let parameters = TlsParameters::new(settings.host.clone()).map_err(|error| smtp_error(&error))?;
        let tls = match settings.port {
            465 => Tls::Wrapper(parameters),
            587 => Tls::Required(parameters),
            _ => Tls::Opportunistic(parameters),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(settings.host.clone())
            .port(settings.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self::Smtp(SmtpDelivery { transport: builder.build(), from, clock }))
    }

    /// Delivers a mail.
    pub async fn send(&self, email: &Email) -> Result<(), MailError> {
        match self {
            Self::Files(folder) => {
                let message = email.message(&folder.from, folder.clock.now())?;
                folder.put(&email.message_id, &message.formatted()).await
            }
            Self::Smtp(smtp) => smtp.hand_over(email.message(&smtp.from, smtp.clock.now())?).await,
        }
    }

    /// Whether mails could be delivered now: the folder can be written to, or the server answers and knows us.
    pub async fn check(&self) -> Result<(), MailError> {
        match self {
            Self::Files(folder) => folder.check().await,
            Self::Smtp(smtp) => smtp.check().await,
        }
    }
}

impl FileDrop {
    /// Written under another name first: whoever watches the folder never sees half a mail.
    async fn put(&self, message_id: &str, bytes: &[u8]) -> Result<(), MailError> {
        let unique = getrandom::u64().map_err(|error| MailError::Transient(error.to_string()))?;
        let draft = self.dir.join(format!(".{unique:016x}.draft"));
        let result = async {
            tokio::fs::create_dir_all(&self.dir).await?;
            tokio::fs::write(&draft, bytes).await?;
            tokio::fs::rename(&draft, self.dir.join(file_name(message_id))).await
        };
        result.await.map_err(|error| MailError::Transient(format!("{}: {error}", self.dir.display())))
    }

    async fn check(&self) -> Result<(), MailError> {
        let probe = "check";
        self.put(probe, b"").await?;
        let path = self.dir.join(file_name(probe));
        tokio::fs::remove_file(&path)
            .await
            .map_err(|error| MailError::Transient(format!("{}: {error}", path.display())))
    }
}

impl SmtpDelivery {
    async fn hand_over(&self, message: Message) -> Result<(), MailError> {
        // The transport's own timeout covers connecting only; a server that falls silent later must not hold a worker.
        match timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(smtp_error(&error)),
            Err(_) => Err(no_answer()),
        }
    }

    async fn check(&self) -> Result<(), MailError> {
        match timeout(TIMEOUT, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(MailError::Transient("the mail server hung up".into())),
            Ok(Err(error)) => Err(smtp_error(&error)),
            Err(_) => Err(no_answer()),
        }
    }
}

fn no_answer() -> MailError {
    MailError::Transient(format!("the mail server did not answer within {} seconds", TIMEOUT.as_secs()))
}

/// A `5xx` is final, except the group `53x`: there the server rejects our credentials, which an operator can put right,
/// and no mail should be lost over it.
fn smtp_error(error: &lettre::transport::smtp::Error) -> MailError {
    let credentials = error.status().is_some_and(|code| code.category == Category::Unspecified3);
    let kind = if error.is_permanent() && !credentials { MailError::Permanent } else { MailError::Transient };
    kind(error.to_string())
}

/// The message id with everything replaced that could lead out of the folder or that a file system may refuse.
fn file_name(message_id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '_' };
    let name: String = message_id.chars().map(safe).take(200).collect();
    format!("{name}.eml")
}

#[cfg(test)]
mod tests;
