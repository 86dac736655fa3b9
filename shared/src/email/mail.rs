//! What each mail is about, as a type, with samples to look at.
//!
//! A mail is stored as JSON between the decision to send it and its delivery, so a field is only ever added with a
//! default. Links are full URLs, built by the caller from the base URL. Templates see the fields by their names; the
//! layout uses `name`, which every mail has, and `link`, which a mail has if there is a page to go to.

mod account;
mod payment;
mod subscription;

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};

pub use account::{AccountDeleted, NewSignIn, PasswordChanged, ResetPassword, SessionEnded, VerifyEmail, Welcome};
pub use payment::{InvoicePaid, PaymentConfirmed, PaymentFailed, QrReceived};
pub use subscription::{Change, CreditsLow, SubscriptionChanged, SubscriptionEnded, SubscriptionEnding};

/// A mail to one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mail {
    /// Asks a new user to confirm the address.
    VerifyEmail(VerifyEmail),
    /// Greets a user whose address is confirmed and whose trial began.
    Welcome(Welcome),
    /// Lets a user who forgot the password choose a new one.
    ResetPassword(ResetPassword),
    /// Says that the password was changed or reset.
    PasswordChanged(PasswordChanged),
    /// Says that somebody signed in from an unknown device; users may opt out.
    NewSignIn(NewSignIn),
    /// Says that a session was ended because a spent refresh token came back.
    SessionEnded(SessionEnded),
    /// Says goodbye to the address that a deleted account had.
    AccountDeleted(AccountDeleted),
    /// Says ahead of time that a trial will end.
    TrialEnding(TrialEnding),
    /// Says that a trial has ended.
    TrialEnded(TrialEnded),
    /// Says that a subscription has begun, and what was paid for it.
    PaymentConfirmed(PaymentConfirmed),
    /// Says that a payment by QR code was found, and what it has bought.
    QrReceived(QrReceived),
    /// Says that an invoice after a subscription's first was paid.
    InvoicePaid(InvoicePaid),
    /// Says that an invoice could not be paid, and what follows from that.
    PaymentFailed(PaymentFailed),
    /// Says that the credits of a trial run low.
    CreditsLow(CreditsLow),
    /// Says what has changed about a subscription, and why.
    SubscriptionChanged(SubscriptionChanged),
    /// Says ahead of time that a subscription will end.
    SubscriptionEnding(SubscriptionEnding),
    /// Says that a subscription has ended.
    SubscriptionEnded(SubscriptionEnded),
    /// Says that a workflow has completed.
    WorkflowFinished(WorkflowFinished),
    /// Says that a workflow has failed.
    WorkflowFailed(WorkflowFailed),
}

/// See [`Mail::TrialEnding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialEnding {
    /// The user's full name.
    pub name: String,
    /// The page where a plan is chosen.
    pub link: String,
    /// Whole days until the end, at least 1.
    pub days_left: i64,
    /// When the trial ends.
    pub ends_at: DateTime<Utc>,
    /// The credits that are left.
    pub credits_left: i64,
}

/// See [`Mail::TrialEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialEnded {
    /// The user's full name.
    pub name: String,
    /// The page where a plan is chosen.
    pub link: String,
    /// When the trial ended.
    pub ended_at: DateTime<Utc>,
}

/// See [`Mail::WorkflowFinished`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowFinished {
    /// The user's full name.
    pub name: String,
    /// The workflow's page.
    pub link: String,
    /// The intent, as it was given; templates shorten it.
    pub intent: String,
    /// How many steps completed.
    pub steps_completed: i64,
    /// When the workflow ended.
    pub finished_at: DateTime<Utc>,
}

/// See [`Mail::WorkflowFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowFailed {
    /// The user's full name.
    pub name: String,
    /// The workflow's page.
    pub link: String,
    /// The intent, as it was given; templates shorten it.
    pub intent: String,
    /// The step that failed; none when planning failed.
    pub failed_step: Option<String>,
    /// Why, in one sentence.
    pub error: String,
    /// When the workflow failed.
    pub failed_at: DateTime<Utc>,
}

impl Mail {
    /// The stable name of this sort of mail: its JSON tag, its folder of templates, its label in metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::VerifyEmail(_) => "verify_email",
            Self::Welcome(_) => "welcome",
            Self::ResetPassword(_) => "reset_password",
            Self::PasswordChanged(_) => "password_changed",
            Self::NewSignIn(_) => "new_sign_in",
            Self::SessionEnded(_) => "session_ended",
            Self::AccountDeleted(_) => "account_deleted",
            Self::TrialEnding(_) => "trial_ending",
            Self::TrialEnded(_) => "trial_ended",
            Self::PaymentConfirmed(_) => "payment_confirmed",
            Self::QrReceived(_) => "qr_received",
            Self::InvoicePaid(_) => "invoice_paid",
            Self::PaymentFailed(_) => "payment_failed",
            Self::CreditsLow(_) => "credits_low",
            Self::SubscriptionChanged(_) => "subscription_changed",
            Self::SubscriptionEnding(_) => "subscription_ending",
            Self::SubscriptionEnded(_) => "subscription_ended",
            Self::WorkflowFinished(_) => "workflow_finished",
            Self::WorkflowFailed(_) => "workflow_failed",
        }
    }

    /// Mails to look at and to test with: `(sample name, mail)`, one for every text that a kind can have.
    pub fn samples() -> Vec<(&'static str, Self)> {
        let mut samples = account::samples();
        samples.extend(trial_samples());
        samples.extend(payment::samples());
        samples.extend(subscription::samples());
        samples.extend(workflow_samples());
        samples
    }
}

fn trial_samples() -> Vec<(&'static str, Mail)> {
    let ending = |days_left: i64, credits_left: i64| {
        Mail::TrialEnding(TrialEnding {
            name: "Ada Lovelace".into(),
            link: "https://autoos.example/plans".into(),
            days_left,
            ends_at: day(31),
            credits_left,
        })
    };
    let ended = Mail::TrialEnded(TrialEnded {
        name: "Ada Lovelace".into(),
        link: "https://autoos.example/plans".into(),
        ended_at: day(31),
    });
    vec![("seven_days", ending(7, 4)), ("one_day", ending(1, 1)), ("no_credits", ending(3, 0)), ("default", ended)]
}

fn workflow_samples() -> Vec<(&'static str, Mail)> {
    let finished = |intent: &str, steps_completed: i64| {
        Mail::WorkflowFinished(WorkflowFinished {
            name: "Ada Lovelace".into(),
            link: "https://autoos.example/workflows/0199e0a4-0000-7000-8000-000000000001".into(),
            intent: intent.into(),
            steps_completed,
            finished_at: day(1),
        })
    };
    let failed = |failed_step: Option<&str>, error: &str| {
        Mail::WorkflowFailed(WorkflowFailed {
            name: "Ada Lovelace".into(),
            link: "https://autoos.example/workflows/0199e0a4-0000-7000-8000-000000000002".into(),
            intent: "Send the weekly sales report to the team".into(),
            failed_step: failed_step.map(Into::into),
            error: error.into(),
            failed_at: day(1),
        })
    };
    let long = "Collect the sales of last week from the shop & the <b>web</b> store,\nadd them up by region, and mail \
                the table to everyone in the team before nine";
    vec![
        ("default", finished("Send the weekly sales report to the team", 3)),
        ("one_step_long_intent", finished(long, 1)),
        ("step", failed(Some("report"), "The server answered 500 five times.")),
        ("planning", failed(None, "No plan could be made for this intent.")),
    ]
}

/// A quarter past nine on a day of January 2026.
fn day(number: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, number, 9, 15, 0).single().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_survives_being_stored_as_json() {
        for (sample, mail) in Mail::samples() {
            let json = serde_json::to_value(&mail).unwrap();
            assert_eq!(json["kind"], mail.kind(), "{sample}");
            assert_eq!(serde_json::from_value::<Mail>(json).unwrap(), mail, "{sample}");
        }
    }

    #[test]
    fn no_two_samples_share_a_name() {
        let mut names: Vec<_> = Mail::samples().iter().map(|(sample, mail)| (mail.kind(), *sample)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
