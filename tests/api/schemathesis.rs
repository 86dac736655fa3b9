//! Schemathesis: thousands of requests made from the `OpenAPI` document, right ones and wrong ones, to the built
//! program. No answer may be a 5xx, every answer has to be as the document says, and every route has to succeed at some
//! time.
//!
//! `schemathesis.toml` says what is tested and how. For a route that needs something that exists: a dictionary there,
//! filled by [`World::make`] here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use chrono::DateTime;
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::{Db, stripe_customers};

use crate::harness::child::{Autoos, Guarded, temp_dir};
use crate::harness::engines::Settings;
use crate::harness::installed;
use crate::journeys::client::{Client, Mailbox, PASSWORD, eventually, planned, send};
use crate::journeys::webhooks::v1;

/// Limits have tests of their own; here nothing may run into one.
const SETTINGS: Settings = &[
    ("TRUSTED_PROXIES", "127.0.0.1"),
    ("UPI_VPA", "autoos@bank"),
    ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ("TRIAL_CREDITS", "1000000"),
    ("TIERS_FREE_TRIAL_AGENTS", "1000000"),
    ("TIERS_FREE_TRIAL_INTENTS_PER_MINUTE", "1000000"),
    ("TIERS_FREE_TRIAL_INTENTS_PER_HOUR", "1000000"),
    ("TIERS_FREE_TRIAL_REQUESTS_PER_MINUTE", "1000000"),
];
const WEBHOOK_SECRET: &str = "whsec_of_the_tests";
/// What succeeds only with a code of an authenticator app, or after one, with a signature of Stripe or with Stripe
/// itself, or with a payment, an amount and a reference that fit each other; journeys do that. And the address that the
/// document comes from, which schemathesis leaves out.
const NEVER: [&str; 10] = [
    "GET /openapi.json",
    "POST /auth/mfa/backup-codes",
    "POST /auth/mfa/verify",
    "POST /payments/change-plan",
    "POST /payments/change-plan/preview",
    "POST /payments/portal",
    "POST /payments/reactivate",
    "POST /payments/refunds",
    "POST /payments/subscribe",
    "POST /webhooks/stripe",
];

const ADMIN: &str = "root@example.com";
/// How many there are of each thing that requests use up.
const EACH: usize = 4;
const STEPS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Access tokens live hardly longer.
const PATIENCE: Duration = Duration::from_mins(14);
const POLL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_document_says_and_every_route_succeeds() {
    let schemathesis = installed::schemathesis().join("bin/schemathesis");
    let program = Autoos::start(SETTINGS).await;
    let world = World::make(&program).await;
    let report = run(&schemathesis, &program, &world).await;
    assert_eq!(report["complete"], true, "{report:#}");
    assert_eq!(never_succeeded(&report), NEVER, "{:#}", report["valid_rates"]);
    // Otherwise most requests would have been refused, and nothing else said so.
    world.admin.get("/auth/me").await.must(200);
}

/// Runs it to its end and gives its report.
async fn run(schemathesis: &Path, program: &Autoos, world: &World) -> Value {
    let dir = temp_dir();
    let (config, report) = (dir.path().join("schemathesis.toml"), dir.path().join("report.json"));
    fs::write(&config, world.config()).expect("the configuration");
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(&config).arg("run").arg(format!("{}/openapi.json", program.base_url()));
    command.args(["--no-color", "--report", "json", "--report-json-path"]).arg(&report);
    command.env_clear().env("PATH", env::var("PATH").unwrap_or_default()).env("HOME", dir.path());
    command.envs(&world.tokens).current_dir(dir.path());
    let mut process = Guarded::spawn(&mut command, dir.path(), "KILL");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = process.ended() {
            break status;
        }
        assert!(Instant::now() < deadline, "schemathesis does not end:\n{}", process.output());
        tokio::time::sleep(POLL).await;
    };
    assert!(status.success(), "{}", process.output());
    let report = fs::read_to_string(&report).expect("a report");
    serde_json::from_str(&report).expect("JSON")
}

/// The operations of which no valid request succeeded.
fn never_succeeded(report: &Value) -> Vec<String> {
    let document: Value = serde_json::from_str(&::api::openapi()).expect("JSON");
    let mut never = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let name = format!("{} {path}", method.to_uppercase());
            let phases = report["valid_rates"][name.as_str()].as_object();
            let mut phases = phases.into_iter().flat_map(serde_json::Map::values);
            if !phases.any(|phase| phase["accepted"].as_u64().is_some_and(|accepted| accepted > 0)) {
                never.push(name);
            }
        }
    }
    never.sort();
    never
}

/// What the requests find.
struct World {
    admin: Client,
    /// What parameters and fields can be.
    dictionaries: BTreeMap<&'static str, Vec<String>>,
    /// Access tokens by the names of variables.
    tokens: BTreeMap<&'static str, String>,
}

impl World {
    async fn make(program: &Autoos) -> Self {
        let nobody = Client::new(program.base_url());
        let password = make_admin(program).await;
        let tokens = sign_in(&nobody, &password).await;
        let admin = nobody.with_tokens(&tokens);
        let tokens = BTreeMap::from([("ADMIN", text(&tokens["access_token"]))]);
        let mut this = Self { admin, dictionaries: BTreeMap::new(), tokens };
        this.add_sessions(&nobody, &password).await;
        let mailbox = Mailbox::Folder(program.data_dir().join("mail"));
        this.add_users(&nobody, &mailbox).await;
        this.add_subscribers(&nobody, &mailbox).await;
        this.add_workflows().await;
        this.add_payments(&nobody).await;
        this.add_events(program, &nobody).await;
        this
    }

    /// Sessions of the admin.
    async fn add_sessions(&mut self, nobody: &Client, password: &str) {
        for _ in 0..EACH {
            sign_in(nobody, password).await;
        }
        let sessions = self.admin.get("/auth/sessions").await.must(200);
        let others = sessions["items"].as_array().expect("items").iter().filter(|session| session["current"] == false);
        self.dictionaries.insert("sessions", others.map(|session| text(&session["session_id"])).collect());
        for name in ["to_refresh", "to_sign_out"] {
            let tokens = sign_in(nobody, password).await;
            self.dictionaries.insert(name, vec![text(&tokens["refresh_token"])]);
        }
    }

    /// Accounts of others, and what was mailed to them.
    async fn add_users(&mut self, nobody: &Client, mailbox: &Mailbox) {
        for name in ["users", "users_to_delete"] {
            let mut ids = Vec::new();
            for number in 0..EACH {
                ids.push(text(&sign_up(nobody, &format!("{name}-{number}")).await["user"]["user_id"]));
            }
            self.dictionaries.insert(name, ids);
        }
        for name in ["DELETES_ITSELF", "CHANGES_PASSWORD", "SIGNS_OUT", "DISABLES_MFA", "RENEWS_CODES"] {
            let signed_up = sign_up(nobody, name).await;
            self.tokens.insert(name, text(&signed_up["tokens"]["access_token"]));
        }
        let (mut to_verify, mut to_reset) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            // Nobody shuts these, as happens to those above.
            let name = format!("mailed-{number}");
            sign_up(nobody, &name).await;
            let email = address(&name);
            let asked = nobody.post("/auth/forgot-password", &json!({ "email": email })).await;
            assert_eq!(asked.status, 202, "{}", asked.text);
            to_verify.push(mailed(mailbox, &email, "/auth/verify-email").await);
            to_reset.push(mailed(mailbox, &email, "/auth/reset-password").await);
        }
        let passwords = vec!["Another-Horse8-Battery".to_owned()];
        self.dictionaries.extend([("to_verify", to_verify), ("to_reset", to_reset), ("passwords", passwords)]);
    }

    /// Accounts that have both a trial and a subscription.
    async fn add_subscribers(&mut self, nobody: &Client, mailbox: &Mailbox) {
        let given = json!({"tier": "student", "current_period_end": "2099-01-01T00:00:00Z", "reason": "To be changed"});
        let mut ids = Vec::new();
        for number in 0..EACH {
            let name = format!("subscriber-{number}");
            let id = text(&sign_up(nobody, &name).await["user"]["user_id"]);
            let token = mailed(mailbox, &address(&name), "/auth/verify-email").await;
            nobody.post("/auth/verify-email", &json!({ "token": token })).await.must(200);
            self.admin.post(&format!("/payments/subscriptions/{id}/adjust"), &given).await.must(200);
            ids.push(id);
        }
        self.dictionaries.insert("subscribers", ids);
        let signed_up = sign_up(nobody, "CANCELS").await;
        let path = format!("/payments/subscriptions/{}/adjust", text(&signed_up["user"]["user_id"]));
        self.admin.post(&path, &given).await.must(200);
        self.tokens.insert("CANCELS", text(&signed_up["tokens"]["access_token"]));
    }

    /// Workflows of the admin that wait for a person in every step.
    async fn add_workflows(&mut self) {
        let approval = json!({"action": "approval", "with": {"message": "Go on?"}});
        let task = json!({"action": "human.task", "with": {"instructions": "Do it."}});
        for (name, step) in [
            ("workflows", &approval),
            ("to_cancel", &approval),
            ("to_approve", &approval),
            ("to_reject", &approval),
            ("to_complete", &task),
        ] {
            let steps = STEPS.map(|id| {
                let (action, with) = (&step["action"], &step["with"]);
                json!({"id": id, "action": action, "with": with, "on_failure": "continue"})
            });
            let mut ids = Vec::new();
            for _ in 0..EACH {
                ids.push(self.admin.submit(&planned(&json!(steps))).await);
            }
            self.dictionaries.insert(name, ids);
        }
        self.dictionaries.insert("steps", STEPS.map(str::to_owned).to_vec());
    }

    /// Payments of the admin to look at in every form, and somebody else's to confirm and to give back: the plan that
    /// begins has limits.
    async fn add_payments(&mut self, nobody: &Client) {
        let payer = nobody.with_tokens(&sign_up(nobody, "payer").await["tokens"]);
        let month = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "upi"});
        let (mut to_confirm, mut to_refund) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            to_confirm.push(text(&payer.post("/payments/qr-code", &month).await.must(201)["payment_id"]));
            let paid = text(&payer.post("/payments/qr-code", &month).await.must(201)["payment_id"]);
            let reference = json!({"reference": format!("WORLD-{number}")});
            self.admin.post(&format!("/payments/qr-code/{paid}/confirm"), &reference).await.must(200);
            to_refund.push(paid);
        }
        let payment = text(&self.admin.post("/payments/qr-code", &month).await.must(201)["payment_id"]);
        let forms = ["", ".svg", ".png"].map(|ending| format!("{payment}{ending}"));
        let payments = [("to_confirm", to_confirm), ("to_refund", to_refund), ("payments", forms.to_vec())];
        self.dictionaries.extend(payments);
    }

    /// Something that Stripe has told, as old as the server's clock says.
    async fn add_events(&mut self, program: &Autoos, nobody: &Client) {
        let live = nobody.get("/health/live").await;
        let now = DateTime::parse_from_rfc2822(live.header("date")).expect("a time").to_utc();
        let admin = self.admin.get("/auth/me").await.must(200);
        let admin = serde_json::from_value(admin["user_id"].clone()).expect("an id");
        // Only Stripe makes customers, and there is none here.
        let db = Db::sqlite(&program.data_dir().join("autoos.db")).await.expect("a database");
        let mut tx = db.begin().await.expect("a transaction");
        stripe_customers::put(&mut tx, "cus_1", admin, false, now).await.expect("a customer");
        tx.commit().await.expect("a commit");
        db.close().await;
        let mut events = Vec::new();
        for number in 0..EACH {
            let id = format!("evt_{number}");
            let data = json!({"object": {"id": "cus_1", "object": "customer"}});
            let event = json!({"id": id, "type": "customer.created", "created": now.timestamp(), "data": data});
            let (event, time) = (event.to_string(), now.timestamp());
            let signature = format!("t={time},v1={}", v1(WEBHOOK_SECRET, time, &event));
            let request = nobody.request(Method::POST, "/webhooks/stripe").header("Stripe-Signature", signature);
            send(request.body(event)).await.must(200);
            events.push(id);
        }
        self.dictionaries.insert("events", events);
    }

    /// The configuration with the dictionaries; lists of plain texts look the same in JSON and TOML.
    fn config(&self) -> String {
        let mut config = include_str!("schemathesis.toml").to_owned();
        for (name, values) in &self.dictionaries {
            write!(config, "\n[dictionaries.{name}]\nvalues = {}\n", json!(values)).expect("a string takes it");
        }
        config
    }
}

/// Makes the admin beside the running program, as an operator does; gives the password.
async fn make_admin(program: &Autoos) -> String {
    let data = program.data_dir().to_string_lossy().into_owned();
    let settings: Vec<_> = SETTINGS.iter().copied().chain([("DATA_DIR", data.as_str())]).collect();
    let mut command = Autoos::spawn(&["admin", "create", "--email", ADMIN], &settings);
    assert_eq!(command.exit_code().await, Some(0), "{}", command.output());
    let output = command.output();
    let (_, password) = output.split_once("shown only now: ").unwrap_or_else(|| panic!("no password in {output}"));
    password.split_whitespace().next().expect("a password").to_owned()
}

/// Signs the admin in; gives the pair of tokens.
async fn sign_in(nobody: &Client, password: &str) -> Value {
    let body = json!({"email": ADMIN, "password": password});
    nobody.post("/auth/signin", &body).await.must(200)["tokens"].clone()
}

/// Signs somebody up with the password that the document's examples have.
async fn sign_up(nobody: &Client, name: &str) -> Value {
    let body = json!({
        "email": address(name), "username": name, "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "professional",
    });
    nobody.post("/auth/signup", &body).await.must(201)
}

/// The token of the link to this page that was mailed to an address.
async fn mailed(mailbox: &Mailbox, to: &str, page: &str) -> String {
    let link = format!("{page}?token=");
    eventually(async || {
        let mails = mailbox.mails();
        let mut found =
            mails.iter().filter(|mail| mail.to == to).filter_map(|mail| mail.text.split_once(link.as_str()));
        let (_, rest) = found.next().ok_or_else(|| format!("no mail to {to} with {link}"))?;
        Ok(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect())
    })
    .await
}

fn address(name: &str) -> String {
    format!("{name}@example.com")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
