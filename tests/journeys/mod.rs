//! Journeys: what users do, over HTTP, against the built program, with both ways to run it.
//!
//! `journey!` makes two tests of one function: `name::embedded` (one process, SQLite, mails as files) and
//! `name::scaled` (`autoos api`, `worker` and `scheduler` as processes that share a Postgres and a Redis, mails over
//! SMTP). To add one: a function in the file it belongs to. A setting that differs from the default is named behind
//! `with`.

use std::time::Duration;

use crate::harness::child::Autoos;
use crate::harness::engines::Settings;
use crate::harness::smtp::SmtpServer;
use crate::harness::{postgres, redis};

use client::{Client, Mail, Mailbox, PASSWORD, eventually};
use serde_json::{Value, json};

/// Makes the tests `name::embedded` and `name::scaled` of each function.
macro_rules! journey {
    ($(async fn $name:ident($site:ident: Site $(with $settings:expr)?) $body:block)+) => { $(
        async fn $name(engine: $crate::journeys::Engine) {
            let $site = $crate::journeys::Site::start(engine, &[$($settings)?]).await;
            $body
        }

        mod $name {
            use $crate::journeys::Engine;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                super::$name(Engine::Embedded).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn scaled() {
                super::$name(Engine::Scaled).await;
            }
        }
    )+ };
}

mod accounts;
mod admins;
mod agents;
pub mod client;
mod closing;
mod first_intent;
mod flood;
pub mod here;
mod keys;
mod kill;
mod limits;
mod mails;
mod mfa;
mod passwords;
mod payments;
mod refunds;
mod rush;
mod scaled;
mod sessions;
mod subscriptions;
mod ten_thousand;
mod weak_hashes;
pub mod webhooks;
mod without_stripe;
mod workflows;

/// How long anything may take before the test fails; far more than it should, for slow machines.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(40);
const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";

/// Lets workflows call the stand-in on this machine.
const PRIVATE: Settings = &[("HTTP_ALLOW_PRIVATE", "true")];
/// Lets a test submit as fast as it can: the limit of intents has tests of its own, the others do not wait a minute.
const UNPACED: Settings = &[("TIERS_FREE_TRIAL_INTENTS_PER_MINUTE", "1000")];
/// Polling must not run into the limit of requests.
const POLLING: Settings = &[("TIERS_FREE_TRIAL_REQUESTS_PER_MINUTE", "1000000")];

/// Settings, some of which may be known only when the test runs.
type Group<'a> = &'a [(&'a str, &'a str)];

/// The two ways to run it.
#[derive(Clone, Copy)]
enum Engine {
    Embedded,
    Scaled,
}

/// A running deployment of its own for one test.
struct Site {
    /// All of it when embedded, the API when scaled.
    api: Autoos,
    worker: Option<Autoos>,
    _scheduler: Option<Autoos>,
    settings: Vec<(String, String)>,
    mailbox: Mailbox,
}

impl Site {
    async fn start(engine: Engine, groups: &[Group<'_>]) -> Self {
        match engine {
            Engine::Embedded => Self::embedded(groups).await,
            Engine::Scaled => Self::scaled(&redis::shared().url, groups).await,
        }
    }

    async fn embedded(groups: &[Group<'_>]) -> Self {
        let settings = all(groups, &[]);
        let api = Autoos::start(&borrow(&settings)).await;
        let mailbox = Mailbox::Folder(api.data_dir().join("mail"));
        Self { api, worker: None, _scheduler: None, settings, mailbox }
    }

    /// With a Redis of the test's choice.
    async fn scaled(redis: &str, groups: &[Group<'_>]) -> Self {
        let (database, smtp) = (postgres::database().await, SmtpServer::start());
        let port = smtp.port().to_string();
        let own = [
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", redis),
            ("JWT_SECRET", SECRET),
            ("SMTP_HOST", "127.0.0.1"),
            ("SMTP_PORT", port.as_str()),
        ];
        let settings = all(groups, &own);
        let mut api = Autoos::spawn(&["api"], &borrow(&settings));
        api.ready().await;
        let worker = Some(Autoos::spawn(&["worker"], &borrow(&settings)));
        let scheduler = Some(Autoos::spawn(&["scheduler"], &borrow(&settings)));
        Self { api, worker, _scheduler: scheduler, settings, mailbox: Mailbox::Server(smtp) }
    }

    /// Somebody who is not signed in.
    fn client(&self) -> Client {
        Client::new(self.api.base_url())
    }

    /// Signs somebody up who has not verified the address yet; gives the whole answer.
    async fn sign_up(&self, name: &str) -> Value {
        let body = json!({
            "email": address(name), "username": name, "password": PASSWORD,
            "full_name": "Ada Lovelace", "role": "professional",
        });
        self.client().post("/auth/signup", &body).await.must(201)
    }

    /// The token that the verification mail carries.
    async fn verification_token(&self, name: &str) -> String {
        self.mail(&address(name), "Confirm your address").await.token()
    }

    /// Somebody who has signed up and verified the address, and may submit.
    async fn user(&self, name: &str) -> Client {
        let signed_up = self.sign_up(name).await;
        let token = self.verification_token(name).await;
        self.client().post("/auth/verify-email", &json!({ "token": token })).await.must(200);
        self.client().with_tokens(&signed_up["tokens"])
    }

    /// An admin, made on the command line.
    async fn admin(&self, name: &str) -> Client {
        let email = address(name);
        let (code, output) = self.command(&["admin", "create", "--email", &email]).await;
        assert_eq!(code, Some(0), "{output}");
        let (_, rest) = output.split_once("shown only now: ").unwrap_or_else(|| panic!("no password in {output}"));
        let password = rest.lines().next().unwrap_or_default();
        let nobody = self.client();
        nobody.with_tokens(&nobody.sign_in(&email, password).await.must(200)["tokens"])
    }

    /// All mails so far.
    fn mails(&self) -> Vec<Mail> {
        self.mailbox.mails()
    }

    /// Waits for a mail to an address whose subject contains a text.
    async fn mail(&self, to: &str, subject: &str) -> Mail {
        eventually(async || {
            let mails = self.mails();
            let seen = mails.iter().map(|mail| (mail.to.clone(), mail.subject.clone())).collect::<Vec<_>>();
            let found = mails.into_iter().find(|mail| mail.to == to && mail.subject.contains(subject));
            found.ok_or_else(|| format!("no mail \"{subject}\" to {to}, only {seen:?}"))
        })
        .await
    }

    /// Kills the process that runs steps, as a crash would, and starts it again.
    async fn crash_worker(&mut self) {
        match &mut self.worker {
            Some(worker) => {
                worker.kill9();
                *worker = Autoos::spawn(&["worker"], &borrow(&self.settings));
            }
            None => self.api.restart().await,
        }
    }

    /// Kills the process that answers HTTP, and starts it again.
    async fn crash_api(&mut self) {
        self.api.restart().await;
    }

    /// What `autoos doctor` says about this deployment: its exit code and its words.
    async fn doctor(&self) -> (Option<i32>, String) {
        self.command(&["doctor"]).await
    }

    /// Runs a command on this deployment to its end: its exit code and its words.
    async fn command(&self, args: &[&str]) -> (Option<i32>, String) {
        let data = self.api.data_dir().to_string_lossy().into_owned();
        let mut settings = borrow(&self.settings);
        settings.push(("DATA_DIR", data.as_str()));
        let mut command = Autoos::spawn(args, &settings);
        (command.exit_code().await, command.output())
    }
}

/// The address of somebody.
pub fn address(name: &str) -> String {
    format!("{name}@example.com")
}

fn all(groups: &[Group<'_>], own: Group<'_>) -> Vec<(String, String)> {
    let given = groups.iter().copied().flatten().copied();
    let all = POLLING.iter().copied().chain(given).chain(own.iter().copied());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn borrow(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
