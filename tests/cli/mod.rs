//! The command line as an operator meets it: exit codes, messages, and what each command leaves behind.
//!
//! Every test runs the built program; where it needs stored data it writes that through `shared::store` first. For one
//! more command: a test that calls [`autoos`] and reads code and output.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::clock::Clock;
use shared::domain::audit::{Entry, GENESIS};
use shared::domain::status::{Charged, Priority};
use shared::email::Mail;
use shared::ids::{UserId, WorkflowId};
use shared::job::Lane;
use shared::store::users::{self, User};
use shared::store::workflows::{self, NewWorkflow};
use shared::store::{Db, account_events, credits, mfa, outbox};
use sqlx::{Connection, SqliteConnection};

use crate::harness::child::{Autoos, temp_dir};

/// Runs a command on a data folder to its end: the exit code and all that it wrote.
async fn autoos(args: &[&str], data: &Path) -> (Option<i32>, String) {
    autoos_with(args, &[("DATA_DIR", &data.to_string_lossy())]).await
}

async fn autoos_with(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut program = Autoos::spawn(args, env);
    let code = program.exit_code().await;
    (code, program.output())
}

/// Runs a command that reads its input to its end: the exit code and all that it wrote.
fn autoos_told(args: &[&str], data: &Path, input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autoos"));
    command.args(args).env_clear().env("DATA_DIR", data).current_dir(data);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Dropped at once, which is the end of the input.
    program.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    let written = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&written).into_owned())
}

fn file(data: &Path) -> PathBuf {
    data.join("autoos.db")
}

async fn store(data: &Path) -> anyhow::Result<Db> {
    let db = Db::sqlite(&file(data)).await?;
    db.migrate().await?;
    Ok(db)
}

/// Changes rows behind the program's back.
async fn tamper(data: &Path, sql: &'static str) -> anyhow::Result<u64> {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file(data).display())).await?;
    let done = sqlx::query(sql).execute(&mut connection).await?.rows_affected();
    connection.close().await?;
    Ok(done)
}

fn user(now: DateTime<Utc>) -> User {
    User {
        id: UserId::new(now),
        email: "ada@example.com".into(),
        username: "ada".into(),
        password_hash: "none".into(),
        full_name: "Ada Lovelace".into(),
        role: "student".into(),
        organization: None,
        student_id: None,
        employee_id: None,
        email_verified: true,
        mfa_enabled: false,
        disabled: false,
        mail_on_finish: false,
        mail_on_failure: false,
        mail_on_signin: true,
        created_at: now,
        deleted_at: None,
    }
}

/// A student with a workflow that nobody works on: its first job is missing from the outbox.
async fn forgotten_workflow(data: &Path) -> anyhow::Result<WorkflowId> {
    let now = Clock::System.now();
    let user = user(now);
    let new = NewWorkflow {
        id: WorkflowId::new(now),
        user_id: user.id,
        intent: "Remind me to drink water".into(),
        context: json!({}),
        priority: Priority::Normal,
        plan: None,
        max_cost: None,
        callback_url: None,
        charged: Charged::Trial,
        run_at: None,
    };
    let mut first = Entry {
        seq: 1,
        at: now,
        event: "workflow.accepted".into(),
        actor: format!("user:{}", user.id),
        step: None,
        detail: json!({"charged": "trial"}),
        hash: String::new(),
    };
    first.hash = first.hash_after(GENESIS);
    let db = store(data).await?;
    let mut tx = db.begin().await?;
    users::insert(&mut tx, &user).await?;
    workflows::insert(&mut tx, &[(&new, first)]).await?;
    tx.commit().await?;
    db.close().await;
    Ok(new.id)
}

async fn role(data: &Path, email: &str) -> anyhow::Result<Option<String>> {
    let db = store(data).await?;
    let user = users::by_email(&mut db.read().await?, email).await?;
    db.close().await;
    Ok(user.map(|user| user.role))
}

#[tokio::test]
async fn all_faults_of_a_configuration_are_told_at_once_without_any_secret() {
    let faulty = [
        ("BIND", "nowhere"),
        ("SMTP_PORT", "many"),
        ("DATABASE_URL", "mysql://root:hidden-password@db/autoos"),
        ("JWT_SECRET", "changeme-hidden"),
        ("TRIAL_DAYS", "-1"),
    ];
    for command in ["serve", "worker", "migrate", "doctor"] {
        let (code, output) = autoos_with(&[command], &faulty).await;
        assert_eq!(code, Some(2), "{command}: {output}");
        for (name, _) in faulty {
            assert_eq!(output.matches(&format!("  {name}: ")).count(), 1, "{command}: {name} in {output}");
        }
        assert!(!output.contains("hidden"), "{command}: {output}");
    }
}

#[tokio::test]
async fn a_faulty_recipe_is_a_fault_of_the_configuration() {
    let recipes = temp_dir();
    std::fs::write(recipes.path().join("broken.toml"), "name = ").unwrap();
    let (code, output) = autoos_with(&[], &[("RECIPES_DIR", &recipes.path().to_string_lossy())]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("RECIPES_DIR") && output.contains("broken.toml"), "{output}");
}

#[tokio::test]
async fn a_role_alone_is_refused_where_processes_share_nothing() {
    for command in ["api", "worker", "scheduler"] {
        let (code, output) = autoos_with(&[command], &[]).await;
        assert_eq!(code, Some(2), "{command}: {output}");
        assert!(output.contains("DATABASE_URL") && output.contains(&format!("autoos {command}")), "{output}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_before_anything_is_touched() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let mut program = Autoos::spawn(&[], &[("BIND", &address)]);
    assert_eq!(program.exit_code().await, Some(1), "{}", program.output());
    assert!(program.output().contains(&format!("autoos: cannot listen on {address}: ")), "{}", program.output());
    assert!(!program.data_dir().exists());
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_ends_with_code_two() {
    let (code, output) = autoos_with(&["fly"], &[]).await;
    assert_eq!(code, Some(2), "{output}");
    let (code, output) = autoos_with(&["scheduler", "--now", "2026-01-01T00:00:00Z"], &[]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("--once"), "{output}");
}

#[tokio::test]
async fn told_to_stop_the_program_ends_well_and_leaves_one_sound_file() {
    let mut program = Autoos::start(&[]).await;
    assert_eq!(program.term().await, Some(0), "{}", program.output());
    assert!(program.output().contains("\"address\":\"127.0.0.1:"), "{}", program.output());
    // A closed database has its write-ahead log folded in.
    assert!(!program.data_dir().join("autoos.db-wal").exists());
    let (code, output) = autoos(&["doctor"], &program.data_dir()).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_a_new_deployment() {
    let data = temp_dir();
    let (code, output) = autoos(&["doctor"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(" to apply, by the next start"), "{output}");

    let (code, output) = autoos(&["migrate"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    forgotten_workflow(data.path()).await.unwrap();
    let (code, output) = autoos(&["doctor"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    for line in [
        "ok   schema: up to date",
        "ok   credits: ",
        "ok   agents and storage: ",
        "ok   audit trails: none of 1 was changed",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
}

#[tokio::test]
async fn the_doctor_finds_an_audit_entry_that_was_changed_or_removed() {
    let ways = [
        ("update audit set detail = '{\"charged\":\"nothing\"}'", "entry 1 was changed"),
        ("delete from audit", "the trail ends at entry 0"),
    ];
    for (sql, found) in ways {
        let data = temp_dir();
        let workflow = forgotten_workflow(data.path()).await.unwrap();
        assert_eq!(tamper(data.path(), sql).await.unwrap(), 1);
        let (code, output) = autoos(&["doctor"], data.path()).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(&format!("FAIL audit trails: workflow {workflow}: {found}")), "{output}");
        assert!(output.contains("ok   credits: ") && output.contains("autoos: 1 of "), "{output}");
    }
}

#[tokio::test]
async fn the_doctor_finds_a_balance_that_is_not_the_sum_of_its_ledger() {
    let data = temp_dir();
    let (code, output) = autoos(&["admin", "create", "--email", "root@example.com"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(tamper(data.path(), "update trials set credits = credits + 90").await.unwrap(), 1);
    let (code, output) = autoos(&["doctor"], data.path()).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("FAIL credits: account "), "{output}");
    assert!(output.contains("has 100, its ledger says 10"), "{output}");
}

#[tokio::test]
async fn the_doctor_finds_what_was_counted_wrongly_and_it_is_counted_again() {
    let data = temp_dir();
    forgotten_workflow(data.path()).await.unwrap();
    assert_eq!(tamper(data.path(), "update in_use set agents = 3, storage = 40").await.unwrap(), 1);
    let (code, output) = autoos(&["doctor"], data.path()).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("FAIL agents and storage: `autoos admin recount` counts again: account "), "{output}");
    let told = "counts 3 running, 0 waiting, 40 bytes, but has 0 running, 0 waiting, 0 bytes";
    assert!(output.contains(told), "{output}");
    for accounts in [1, 0] {
        let (code, output) = autoos(&["admin", "recount"], data.path()).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains(&format!("Accounts that were counted again: {accounts}.")), "{output}");
    }
    let (code, output) = autoos(&["doctor"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test]
async fn admins_are_made_promoted_and_demoted_but_one_always_stays() {
    let data = temp_dir();
    forgotten_workflow(data.path()).await.unwrap();
    let admin = async |command: &str, email: &str| autoos(&["admin", command, "--email", email], data.path()).await;

    let (code, output) = admin("create", "root@example.com").await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("shown only now: "), "{output}");
    assert_eq!(role(data.path(), "ROOT@example.com").await.unwrap().as_deref(), Some("admin"));
    let (code, output) = admin("create", "Root@Example.com").await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("has an account already"), "{output}");

    let (code, output) = admin("demote", "root@example.com").await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("is the last admin"), "{output}");

    let (code, output) = admin("promote", "ada@example.com").await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(role(data.path(), "ada@example.com").await.unwrap().as_deref(), Some("admin"));
    let (code, output) = admin("demote", "root@example.com").await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(role(data.path(), "root@example.com").await.unwrap().as_deref(), Some("professional"));

    let (code, output) = admin("promote", "nobody@example.com").await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("there is no account with the address nobody@example.com"), "{output}");
}

#[tokio::test]
async fn a_user_name_that_is_taken_does_not_keep_an_admin_from_being_made() {
    let data = temp_dir();
    forgotten_workflow(data.path()).await.unwrap();
    let (code, output) = autoos(&["admin", "create", "--email", "ada@example.org"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("ada@example.org is an admin now, with the user name ada-"), "{output}");
}

#[tokio::test]
async fn a_password_that_is_too_short_makes_no_admin() {
    let data = temp_dir();
    let args = ["admin", "create", "--email", "root@example.com", "--password-stdin"];
    // The harness gives the program an empty input.
    let (code, output) = autoos(&args, data.path()).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("12 to 256 characters"), "{output}");
    assert_eq!(role(data.path(), "root@example.com").await.unwrap(), None);
}

#[tokio::test]
async fn an_admins_password_must_be_as_good_as_anybodys() {
    let data = temp_dir();
    let args = ["admin", "create", "--email", "root@example.com", "--password-stdin"];
    for (password, fault) in [
        ("Password1234!", "too easy to guess"),
        // Made of the name that an admin has by default.
        ("Administrator-26!", "too easy to guess"),
        ("correct-horse7-battery", "an upper-case letter"),
    ] {
        let (code, output) = autoos_told(&args, data.path(), password);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(fault) && !output.contains(password), "{output}");
        assert_eq!(role(data.path(), "root@example.com").await.unwrap(), None);
    }
    let (code, output) = autoos_told(&args, data.path(), "Correct-Horse7-Battery\r\n");
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("Correct-Horse7-Battery"), "{output}");
    assert_eq!(role(data.path(), "root@example.com").await.unwrap().as_deref(), Some("admin"));
}

#[tokio::test]
async fn the_operator_turns_off_a_second_factor_that_was_lost() {
    let data = temp_dir();
    forgotten_workflow(data.path()).await.unwrap();
    let disable = async |email: &str| autoos(&["admin", "disable-mfa", "--email", email], data.path()).await;
    let (code, output) = disable("ada@example.com").await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("has no second factor; nothing was changed"), "{output}");

    let db = store(data.path()).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let ada = users::by_email(&mut tx, "ada@example.com").await.unwrap().unwrap().id;
    assert!(mfa::set_secret(&mut tx, ada, "sealed").await.unwrap());
    assert!(mfa::enable(&mut tx, ada, ("sealed", 1)).await.unwrap());
    tx.commit().await.unwrap();
    db.close().await;
    let (code, output) = disable("ada@example.com").await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("signs in with the password alone now"), "{output}");

    let db = store(data.path()).await.unwrap();
    let mut reader = db.read().await.unwrap();
    assert!(!users::by_id(&mut reader, ada).await.unwrap().unwrap().mfa_enabled);
    let events = account_events::list(&mut reader, &account_events::Filter::default(), 10).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.actor.as_str(), event.user_id)).collect();
    assert_eq!(told, [("mfa_disabled", "operator", Some(ada))]);
    drop(reader);
    db.close().await;
    let (code, output) = disable("nobody@example.com").await;
    assert_eq!(code, Some(1), "{output}");
}

#[tokio::test]
async fn granted_credits_are_in_the_balance_and_in_the_ledger() {
    let data = temp_dir();
    forgotten_workflow(data.path()).await.unwrap();
    let grant = async |email: &str, credits: &str| {
        let args =
            ["admin", "grant-credits", "--email", email, "--credits", credits, "--reason", "sorry for the outage"];
        autoos(&args, data.path()).await
    };
    let (code, output) = autoos(&["admin", "create", "--email", "root@example.com"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    for balance in [15, 20] {
        let (code, output) = grant("root@example.com", "5").await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains(&format!("has {balance} credits now")), "{output}");
    }
    let (code, output) = grant("ada@example.com", "5").await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("has no trial yet"), "{output}");
    let (code, output) = grant("root@example.com", "0").await;
    assert_eq!(code, Some(2), "{output}");
    let db = store(data.path()).await.unwrap();
    assert!(credits::unbalanced(&mut db.read().await.unwrap()).await.unwrap().is_empty());
    db.close().await;
}

#[tokio::test]
async fn a_forgotten_workflow_is_handed_to_the_workers_again() {
    let data = temp_dir();
    let workflow = forgotten_workflow(data.path()).await.unwrap().to_string();
    let (code, output) = autoos(&["admin", "requeue"], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("0 jobs are due now"), "{output}");
    let (code, output) = autoos(&["admin", "requeue", "--workflow", &workflow], data.path()).await;
    assert_eq!(code, Some(0), "{output}");
    let db = store(data.path()).await.unwrap();
    assert_eq!(outbox::count(&mut db.read().await.unwrap(), Lane::Interactive).await.unwrap(), 1);
    db.close().await;

    let unknown = "0199e0a4-0000-7000-8000-000000000001";
    let (code, output) = autoos(&["admin", "requeue", "--workflow", unknown], data.path()).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(&format!("there is no workflow {unknown}")), "{output}");
}

#[tokio::test]
async fn the_preview_has_every_sample_of_every_mail() {
    let folder = temp_dir();
    let out = folder.path().join("preview");
    let (code, output) = autoos_with(&["email", "preview", "--out", &out.to_string_lossy()], &[]).await;
    assert_eq!(code, Some(0), "{output}");
    let index = std::fs::read_to_string(out.join("index.html")).unwrap();
    for (sample, mail) in Mail::samples() {
        let name = format!("{}.{sample}", mail.kind());
        for end in ["html", "txt", "subject.txt"] {
            let text = std::fs::read_to_string(out.join(format!("{name}.{end}"))).unwrap();
            assert!(!text.trim().is_empty(), "{name}.{end}");
        }
        assert!(index.contains(&format!("href=\"{name}.html\"")), "{name} in {index}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_is_printed_as_json() {
    let (code, output) = autoos_with(&["openapi"], &[]).await;
    assert_eq!(code, Some(0), "{output}");
    let document: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(document["paths"]["/api/v1/intents"].is_object(), "{output}");
}

#[tokio::test]
async fn a_duty_runs_once_at_any_time_and_an_unknown_one_is_refused() {
    let data = temp_dir();
    for duty in ::scheduler::names() {
        let args = ["scheduler", "--once", duty, "--now", "2026-01-01T00:00:00Z"];
        let (code, output) = autoos(&args, data.path()).await;
        assert_eq!(code, Some(0), "{duty}: {output}");
    }
    let (code, output) = autoos(&["scheduler", "--once", "no_such_duty"], data.path()).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("no_such_duty"), "{output}");
}
