//! Mails about an account itself: its address, its password, its sessions, its end.
//!
//! None of them says a secret, except for the links that confirm an address or reset a password. `address` and
//! `device` are ready to show, `unknown` where nothing is known; whoever sent the request chose the device's words, so
//! templates shorten them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Mail, day};

/// See [`Mail::VerifyEmail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyEmail {
    /// The user's full name.
    pub name: String,
    /// The page that confirms the address; it carries the token.
    pub link: String,
    /// When the link stops working.
    pub expires_at: DateTime<Utc>,
}

/// See [`Mail::Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The user's full name.
    pub name: String,
    /// The console.
    pub link: String,
    /// The trial's credits.
    pub credits: i64,
    /// When the trial ends.
    pub trial_ends_at: DateTime<Utc>,
}

/// See [`Mail::ResetPassword`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetPassword {
    /// The user's full name.
    pub name: String,
    /// The page where the new password is chosen; it carries the token.
    pub link: String,
    /// When the link stops working, one hour after it was asked for.
    pub expires_at: DateTime<Utc>,
}

/// See [`Mail::PasswordChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// The user's full name.
    pub name: String,
    /// When the password was changed.
    pub at: DateTime<Utc>,
    /// The network address that the change came from.
    pub address: String,
    /// The device or program that the change came from.
    pub device: String,
    /// The page where a reset is asked for, without a token.
    pub link: String,
}

/// See [`Mail::NewSignIn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSignIn {
    /// The user's full name.
    pub name: String,
    /// When somebody signed in.
    pub at: DateTime<Utc>,
    /// The network address that the sign-in came from.
    pub address: String,
    /// The device or program that the sign-in came from.
    pub device: String,
    /// The page where a reset is asked for, without a token.
    pub link: String,
}

/// See [`Mail::SessionEnded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// The user's full name.
    pub name: String,
    /// When the spent token was presented.
    pub at: DateTime<Utc>,
    /// The network address that presented it.
    pub address: String,
    /// The device or program that presented it.
    pub device: String,
}

/// See [`Mail::AccountDeleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDeleted {
    /// The full name that the user had.
    pub name: String,
    /// When the account was deleted.
    pub at: DateTime<Utc>,
}

/// The samples of the mails in this file.
pub(super) fn samples() -> Vec<(&'static str, Mail)> {
    let mut samples = link_samples();
    samples.extend(notice_samples());
    samples.extend(sign_in_samples());
    samples
}

fn link_samples() -> Vec<(&'static str, Mail)> {
    let verify = Mail::VerifyEmail(VerifyEmail {
        name: "Ada Lovelace".into(),
        link: "https://autoos.example/verify-email?token=7f3kQx-sample".into(),
        expires_at: day(2),
    });
    let welcome = Mail::Welcome(Welcome {
        name: "Ada Lovelace".into(),
        link: "https://autoos.example/".into(),
        credits: 10,
        trial_ends_at: day(31),
    });
    let reset = Mail::ResetPassword(ResetPassword {
        name: "Ada Lovelace".into(),
        link: "https://autoos.example/auth/reset-password?token=7f3kQx-sample".into(),
        expires_at: day(1),
    });
    vec![("default", verify), ("default", welcome), ("default", reset)]
}

fn notice_samples() -> Vec<(&'static str, Mail)> {
    let changed = Mail::PasswordChanged(PasswordChanged {
        name: "Ada Lovelace".into(),
        at: day(1),
        address: "192.0.2.7".into(),
        device: "Firefox on Linux".into(),
        link: "https://autoos.example/auth/reset-password".into(),
    });
    let ended = Mail::SessionEnded(SessionEnded {
        name: "Ada Lovelace".into(),
        at: day(1),
        address: "2001:db8::7".into(),
        device: "curl/8.9.1".into(),
    });
    let deleted = Mail::AccountDeleted(AccountDeleted { name: "Ada Lovelace".into(), at: day(1) });
    vec![("default", changed), ("default", ended), ("default", deleted)]
}

fn sign_in_samples() -> Vec<(&'static str, Mail)> {
    let signed_in = |address: &str, device: &str| {
        Mail::NewSignIn(NewSignIn {
            name: "Ada Lovelace".into(),
            at: day(1),
            address: address.into(),
            device: device.into(),
            link: "https://autoos.example/auth/reset-password".into(),
        })
    };
    let odd = "Mozilla/5.0 (X11; Linux x86_64) <b>AppleWebKit/537.36</b> (KHTML, like Gecko) Chrome/126.0.0.0 \
               Safari/537.36 and more words than anybody wants to read";
    vec![("default", signed_in("192.0.2.7", "Firefox on Linux")), ("odd_device", signed_in("unknown", odd))]
}
