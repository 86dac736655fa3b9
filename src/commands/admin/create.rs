//! `autoos admin create`: the first admin of a deployment, and any further one.
//!
//! The address counts as verified, since the operator vouches for it, and the account's trial begins.

use std::io::stdin;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::json;
use shared::config::TrialConfig;
use shared::email::Mailbox;
use shared::ids::UserId;
use shared::password_rules;
use shared::passwords::Passwords;
use shared::store::account_events::EventKind;
use shared::store::credits::{self, Trial};
use shared::store::users::{self, User};
use shared::store::{Db, StoreResult, Tx};
use shared::tokens;

use super::ADMIN;

/// The new account.
#[derive(Debug, Args)]
pub struct Options {
    /// The address, which then counts as verified
    #[arg(long)]
    email: String,
    /// The person's name
    #[arg(long, value_name = "NAME", default_value = "Administrator")]
    full_name: String,
    /// Reads the password from the first line of the input instead of making one
    #[arg(long)]
    password_stdin: bool,
}

/// Makes the account.
pub async fn run(db: &Db, trial: TrialConfig, options: Options, now: DateTime<Utc>) -> anyhow::Result<String> {
    let address = options.email.parse::<Mailbox>();
    let email = address.with_context(|| format!("\"{}\" is not an address", options.email))?.email.to_string();
    let password =
        if options.password_stdin { given_password(&[&email, &options.full_name])? } else { tokens::random()?.0 };
    let password_hash = Passwords::new(1)?.hash(password.clone()).await?;
    let mut user = new_admin(email, options.full_name, password_hash, now);
    let mut tx = db.begin().await?;
    if users::by_email(&mut tx, &user.email).await?.is_some() {
        bail!("{} has an account already; use `autoos admin promote`", user.email);
    }
    if !insert(&mut tx, &mut user).await? {
        bail!("no free user name was found for {}", user.email);
    }
    let credits = trial.credits;
    let trial = Trial { started_at: now, ends_at: now + TimeDelta::days(trial.days), credits_total: credits, credits };
    credits::start_trial(&mut tx, user.id, &trial).await?;
    super::record(&mut tx, EventKind::SignedUp, &user, (json!({"role": ADMIN}), now)).await?;
    tx.commit().await?;
    let made = format!("{} is an admin now, with the user name {}.", user.email, user.username);
    Ok(if options.password_stdin { made } else { format!("{made}\nThe password, shown only now: {password}") })
}

/// The password must be as good as anybody's; one that is made is random and needs no check.
fn given_password(about: &[&str]) -> anyhow::Result<String> {
    let mut line = String::new();
    stdin().read_line(&mut line).context("the password cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    let faults: Vec<_> =
        password_rules::check("password", password, about).into_iter().map(|fault| fault.message).collect();
    if !faults.is_empty() {
        bail!("the password {}", faults.join(", "));
    }
    Ok(password.to_owned())
}

fn new_admin(email: String, full_name: String, password_hash: String, now: DateTime<Utc>) -> User {
    User {
        id: UserId::new(now),
        username: username(&email),
        email,
        password_hash,
        full_name,
        role: ADMIN.to_owned(),
        organization: None,
        student_id: None,
        employee_id: None,
        email_verified: true,
        mfa_enabled: false,
        disabled: false,
        mail_on_finish: false,
        mail_on_failure: true,
        mail_on_signin: true,
        created_at: now,
        deleted_at: None,
    }
}

/// What stands before the `@`, as far as it is plain.
fn username(email: &str) -> String {
    let local = email.split('@').next().unwrap_or_default();
    let plain: String = local.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    if plain.is_empty() { ADMIN.to_owned() } else { plain }
}

/// Stores the account; if the user name is taken, with a random end of the account's id behind it.
async fn insert(tx: &mut Tx, user: &mut User) -> StoreResult<bool> {
    if users::insert(tx, user).await? {
        return Ok(true);
    }
    let end = user.id.0.as_u128() & 0xffff_ffff;
    user.username = format!("{}-{end:08x}", user.username);
    users::insert(tx, user).await
}

#[cfg(test)]
mod tests {
    use super::username;

    #[test]
    fn a_user_name_is_the_plain_part_of_the_address() {
        assert_eq!(username("ada.l@example.com"), "ada.l");
        assert_eq!(username("ada+work@example.com"), "adawork");
        assert_eq!(username("+@example.com"), "admin");
    }
}
