//! The mails that AUTOOS writes to people: what they say, how they look, and how they leave.
//!
//! [`Mail`] is what a mail is about, [`render`] turns it into subject, text and HTML, [`Mailer`] delivers. Mails are
//! sent only by `Job::SendEmail`, from a row that the deciding transaction wrote. To add one: a variant in `mail.rs`,
//! its struct and a sample there or in a file of `mail/`, a folder in `templates/` with `subject.txt`, `body.txt` and
//! `body.html`, its line in `render.rs`; then run the tests with `UPDATE_SNAPSHOTS=1` and look at
//! `tests/snapshots/mail/`.

mod mail;
mod mailer;
mod message;
mod render;

pub use mail::{AccountDeleted, NewSignIn, PasswordChanged, ResetPassword, SessionEnded, VerifyEmail, Welcome};
pub use mail::{Change, CreditsLow, SubscriptionChanged, SubscriptionEnded, SubscriptionEnding};
pub use mail::{InvoicePaid, PaymentConfirmed, PaymentFailed, QrReceived};
pub use mail::{Mail, TrialEnded, TrialEnding, WorkflowFailed, WorkflowFinished};
pub use mailer::{FileDrop, MailError, Mailer, SmtpDelivery};
pub use message::{Email, Mailbox};
pub use render::{RenderError, Rendered, render};

/// Whether a text is one plain e-mail address (RFC 5321's mailbox, without a display name).
pub fn is_address(text: &str) -> bool {
    email_address::EmailAddress::is_valid(text) && text.parse::<lettre::Address>().is_ok()
}
