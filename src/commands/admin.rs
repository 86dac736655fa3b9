//! `autoos admin`: what the operator of a deployment does to accounts, credits and stuck work.
//!
//! It works on the database, also beside a running AUTOOS, and takes effect there at once. To add a command: a variant of
//! [`Admin`], its arm in [`run`], and a function that gives what to tell the operator.

mod create;
mod requeue;

use std::path::Path;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::ids;
use shared::store::account_events::{self, Event, EventKind};
use shared::store::users::User;
use shared::store::{Db, StoreResult, Tx, accounts, credits, mfa, usage, users};
use uuid::Uuid;

use crate::boot;

/// The role that may do everything.
const ADMIN: &str = "admin";
/// The role that a former admin has.
const FORMER_ADMIN: &str = "professional";

/// What the operator wants.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Makes an account with the role admin and prints its password, unless one is given
    Create(create::Options),
    /// Gives an account the role admin
    Promote(Account),
    /// Takes the role admin from an account; the last admin keeps it
    Demote(Account),
    /// Turns an account's second factor off, for somebody who has lost the app and the backup codes
    DisableMfa(Account),
    /// Adds credits to an account's trial
    GrantCredits(Grant),
    /// Hands open work to the workers again at once
    Requeue {
        /// Only this workflow's; without it, everything that has been handed out and not been dealt with
        #[arg(long, value_name = "ID")]
        workflow: Option<Uuid>,
    },
    /// Counts again what accounts use of agents and storage, where `autoos doctor` finds that it was counted wrongly
    Recount,
}

/// Names an account.
#[derive(Debug, Args)]
pub struct Account {
    /// The account's address
    #[arg(long)]
    email: String,
}

/// Credits for an account.
#[derive(Debug, Args)]
pub struct Grant {
    /// The account's address
    #[arg(long)]
    email: String,
    /// How many credits
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    credits: i64,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Does what the operator wants and tells what was done.
pub async fn run(file: Option<&Path>, command: Admin) -> anyhow::Result<()> {
    let config = boot::config(file)?;
    let db = boot::database(&config).await?;
    boot::migrate(&db).await?;
    let now = Clock::System.now();
    let done = match command {
        Admin::Create(options) => create::run(&db, config.trial, options, now).await,
        Admin::Promote(account) => set_role(&db, &account.email, ADMIN, now).await,
        Admin::Demote(account) => set_role(&db, &account.email, FORMER_ADMIN, now).await,
        Admin::DisableMfa(account) => disable_mfa(&db, &account.email, now).await,
        Admin::GrantCredits(grant) => grant_credits(&db, &grant, now).await,
        Admin::Requeue { workflow } => requeue::run(&db, workflow, now).await,
        Admin::Recount => recount(&db, now).await,
    };
    db.close().await;
    println!("{}", done?);
    Ok(())
}

async fn account(tx: &mut Tx, email: &str) -> anyhow::Result<User> {
    users::by_email(tx, email).await?.with_context(|| format!("there is no account with the address {email}"))
}

/// Tells the account audit what the operator did.
async fn record(tx: &mut Tx, kind: EventKind, user: &User, (detail, at): (Value, DateTime<Utc>)) -> StoreResult<()> {
    let event = Event::new(kind, "operator".to_owned(), user.id, at);
    account_events::record(tx, &Event { detail, ..event }).await
}

async fn set_role(db: &Db, email: &str, role: &str, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let user = account(&mut tx, email).await?;
    if (user.role == ADMIN) == (role == ADMIN) {
        return Ok(format!("{} has the role {} already; nothing was changed.", user.email, user.role));
    }
    if !accounts::set_role(&mut tx, user.id, role).await? {
        bail!("{} is the last admin; promote somebody else first", user.email);
    }
    let detail = json!({"from": user.role, "to": role});
    record(&mut tx, EventKind::RoleChanged, &user, (detail, now)).await?;
    tx.commit().await?;
    Ok(format!("{} has the role {role} now.", user.email))
}

async fn disable_mfa(db: &Db, email: &str, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let user = account(&mut tx, email).await?;
    if !mfa::disable(&mut tx, user.id).await? {
        return Ok(format!("{} has no second factor; nothing was changed.", user.email));
    }
    record(&mut tx, EventKind::MfaDisabled, &user, (json!({}), now)).await?;
    tx.commit().await?;
    Ok(format!("{} signs in with the password alone now.", user.email))
}

async fn grant_credits(db: &Db, grant: &Grant, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let user = account(&mut tx, &grant.email).await?;
    let reason = format!("admin: {}", grant.reason.trim());
    // A reference of its own: the same reason may be good for another grant later.
    if !credits::grant(&mut tx, user.id, grant.credits, (&reason, ids::new(now)), now).await? {
        bail!("{} has no trial yet; it begins when the address is verified", user.email);
    }
    let detail = json!({"credits": grant.credits, "reason": grant.reason.trim()});
    record(&mut tx, EventKind::CreditsGranted, &user, (detail, now)).await?;
    let trial = credits::trial(&mut tx, user.id).await?;
    tx.commit().await?;
    let left = trial.map_or(0, |trial| trial.credits);
    Ok(format!("{} has {left} credits now.", user.email))
}

async fn recount(db: &Db, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut tx = db.begin().await?;
    let wrong = usage::recount(&mut tx, now).await?;
    tx.commit().await?;
    Ok(format!("Accounts that were counted again: {}.", wrong.len()))
}
