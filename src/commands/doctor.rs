//! `autoos doctor`: checks the configuration, every connection, and that the stored data is sound.
//!
//! One line for each check, `ok` or `FAIL`; the exit code is 1 if any failed. Nothing is changed, and a running AUTOOS is
//! not disturbed. To add a check: a function that gives what it found in a few words, and its line in [`run`] or
//! [`check_stored`].

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use shared::clock::Clock;
use shared::config::{Config, Database};
use shared::domain::audit::{self, Entry};
use shared::ids::WorkflowId;
use shared::store::usage::{self, InUse, Miscount};
use shared::store::{Db, StoreResult, Tx, credits, workflows};
use uuid::Uuid;

use super::one_line;
use crate::boot;

/// Workflows or entries that are read at once.
const PAGE: i64 = 500;
/// How many of many faults of one check are told.
const TOLD: usize = 5;

/// What the checks came to.
#[derive(Default)]
struct Report {
    checks: usize,
    failed: usize,
}

impl Report {
    fn line(&mut self, name: &str, result: anyhow::Result<String>) {
        self.checks += 1;
        match result {
            Ok(found) => println!("ok   {name}: {found}"),
            Err(error) => {
                self.failed += 1;
                println!("FAIL {name}: {}", one_line(&error));
            }
        }
    }
}

/// Runs every check.
pub async fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let config = boot::config(file)?;
    let mut report = Report::default();
    report.line("configuration", Ok(overview(&config)));
    report.line("recipes", check_recipes(&config));
    report.line("mail", check_mail(&config).await);
    report.line("queue", check_queue(&config).await);
    match boot::database(&config).await {
        Ok(db) => {
            check_stored(&db, &mut report).await;
            db.close().await;
        }
        Err(error) => report.line("database", Err(error)),
    }
    if report.failed > 0 {
        bail!("{} of {} checks failed", report.failed, report.checks);
    }
    Ok(())
}

fn overview(config: &Config) -> String {
    match &config.database {
        Database::Sqlite { path } => format!("embedded, everything in {}", path.display()),
        Database::Postgres { .. } => "scaled, with Postgres and Redis".to_owned(),
    }
}

fn check_recipes(config: &Config) -> anyhow::Result<String> {
    boot::planner(config)?;
    Ok(match &config.recipes_dir {
        Some(folder) => format!("the built-in ones and those of {}", folder.display()),
        None => "the built-in ones".to_owned(),
    })
}

async fn check_mail(config: &Config) -> anyhow::Result<String> {
    boot::mailer(config, &Clock::System)?.check().await?;
    Ok(match &config.mail.smtp {
        Some(smtp) => format!("{}:{} accepts us", smtp.host, smtp.port),
        None => format!("becomes files in {}", config.data_dir.join("mail").display()),
    })
}

async fn check_queue(config: &Config) -> anyhow::Result<String> {
    boot::queue(config).await?.ping().await?;
    Ok(if config.redis.is_some() { "Redis answers" } else { "within the process" }.to_owned())
}

/// The database; what is stored in it is checked only if the schema is the one that this program knows.
async fn check_stored(db: &Db, report: &mut Report) {
    report.line("database", db.ping().await.map(|()| "answers".to_owned()).map_err(Into::into));
    let missing = db.missing_migrations().await;
    let current = matches!(missing, Ok(0));
    let told = missing.map(|missing| match missing {
        0 => "up to date".to_owned(),
        missing => format!("{missing} to apply, by the next start or by `autoos migrate`; the data was not checked"),
    });
    report.line("schema", told.map_err(Into::into));
    if current {
        report.line("credits", check_credits(db).await);
        report.line("agents and storage", check_usage(db).await);
        report.line("audit trails", check_trails(db).await);
    }
}

async fn check_credits(db: &Db) -> anyhow::Result<String> {
    let unbalanced = credits::unbalanced(&mut db.snapshot().await?).await?;
    let tell = |(user, balance, sum)| format!("account {user} has {balance}, its ledger says {sum}");
    all_sound(unbalanced.into_iter().map(tell).collect())?;
    Ok("every balance is the sum of its ledger".to_owned())
}

async fn check_usage(db: &Db) -> anyhow::Result<String> {
    let miscounts = usage::miscounts(&mut db.snapshot().await?).await?;
    let words = |of: InUse| format!("{} running, {} waiting, {} bytes", of.agents, of.waiting, of.storage);
    let tell = |of: Miscount| format!("account {} counts {}, but has {}", of.user, words(of.counted), words(of.stored));
    let faults: Vec<_> = miscounts.into_iter().map(tell).collect();
    all_sound(faults).context("`autoos admin recount` counts again")?;
    Ok("each account has what was counted".to_owned())
}

async fn check_trails(db: &Db) -> anyhow::Result<String> {
    let mut tx = db.read().await?;
    let (mut checked, mut faults, mut last) = (0, Vec::new(), None);
    loop {
        let page = workflows::audit_heads(&mut tx, last, PAGE).await?;
        let Some((newest, ..)) = page.last() else { break };
        last = Some(*newest);
        checked += page.len();
        for (id, seq, hash) in page {
            if let Err(fault) = check_trail(&mut tx, id, (seq, hash)).await? {
                faults.push(format!("workflow {id}: {fault}"));
            }
        }
    }
    all_sound(faults)?;
    Ok(format!("none of {checked} was changed"))
}

/// Checks one trail. The workflow may be running: a fault counts once its head has not moved while the trail was read.
async fn check_trail(tx: &mut Tx, id: WorkflowId, mut head: (i64, String)) -> StoreResult<Result<(), String>> {
    loop {
        let result = audit::verify(&trail(tx, id).await?, head.0, &head.1);
        if result.is_ok() {
            return Ok(result);
        }
        match head_of(tx, id).await? {
            Some(moved) if moved != head => head = moved,
            _ => return Ok(result),
        }
    }
}

async fn trail(tx: &mut Tx, id: WorkflowId) -> StoreResult<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.seq);
        let page = workflows::audit(tx, id, after, PAGE).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

/// The head of one workflow's trail: the first one after the id before it.
async fn head_of(tx: &mut Tx, id: WorkflowId) -> StoreResult<Option<(i64, String)>> {
    let before = WorkflowId(Uuid::from_u128(id.0.as_u128().saturating_sub(1)));
    let heads = workflows::audit_heads(tx, Some(before), 1).await?;
    Ok(heads.into_iter().find(|(found, ..)| *found == id).map(|(_, seq, hash)| (seq, hash)))
}

fn all_sound(mut faults: Vec<String>) -> anyhow::Result<()> {
    let total = faults.len();
    if total == 0 {
        return Ok(());
    }
    if total > TOLD {
        faults.truncate(TOLD);
        faults.push(format!("and {} more", total - TOLD));
    }
    Err(anyhow!(faults.join("; ")))
}
