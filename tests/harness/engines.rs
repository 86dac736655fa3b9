//! A whole service in process, with a clock that tests move: on SQLite with the in-process queue, and on PostgreSQL
//! with Redis.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::actions::Catalogue;
use shared::clock::Clock;
use shared::config::{Config, Database, JwtAlgorithm};
use shared::domain::audit;
use shared::domain::status::{Charged, Priority};
use shared::email::Mailer;
use shared::engine;
use shared::ids::{UserId, WorkflowId};
use shared::limiter::Limiter;
use shared::on;
use shared::passwords::Passwords;
use shared::planner::Planner;
use shared::queue::Queue;
use shared::seal::Seal;
use shared::services::Services;
use shared::store::users::User;
use shared::store::workflows::{NewWorkflow, StepView, WorkflowView};
use shared::store::{Db, credits, usage, users, workflows};
use shared::stripe::Stripe;
use shared::template::Templates;
use shared::tokens::Tokens;
use shared::tokens::keyring::{self, Keyring};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use worker::Worker;

/// Makes `name::sqlite` and `name::postgres` of one test. Settings that differ from the default are named behind
/// `with`.
macro_rules! both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: App $(with $settings:expr)?) $body:block)+) => { $(
        $(#[$meta])*
        mod $name {
            #[allow(clippy::wildcard_imports, unused_imports, reason = "not every test needs all of its file")]
            use super::*;

            async fn body($app: $crate::harness::engines::App) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::harness::engines::App::sqlite(&[$($settings)?]).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::harness::engines::App::postgres(&[$($settings)?]).await).await;
            }
        }
    )+ };
}
pub(crate) use both_engines;

/// Names and values of settings.
pub type Settings = &'static [(&'static str, &'static str)];

/// Lets a trial run as many steps at once as a test wants: the limit has tests of its own.
pub const MANY_AGENTS: Settings = &[("TIERS_FREE_TRIAL_AGENTS", "1000")];

/// The service.
pub struct App {
    pub services: Services,
    pub clock: Clock,
    _dir: tempfile::TempDir,
}

/// Long enough that a slow machine is not taken for an outage.
const LIMITER_PATIENCE: Duration = Duration::from_secs(10);

/// When every test begins.
pub fn start() -> DateTime<Utc> {
    "2026-01-15T09:00:00Z".parse().expect("a time")
}

/// Answers HTTP in this process until the test ends; gives the address. The clock is that of the services.
pub async fn serve(services: Services) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(::api::serve(listener, services, ::api::Bounds::default(), CancellationToken::new()));
    format!("http://{address}")
}

impl App {
    pub async fn sqlite(groups: &[Settings]) -> Self {
        Self::sqlite_with(groups, Vec::new()).await
    }

    /// With settings besides that are known only when the test runs.
    pub async fn sqlite_with(groups: &[Settings], own: Vec<(&'static str, String)>) -> Self {
        Self::new(groups, own).await
    }

    pub async fn postgres(groups: &[Settings]) -> Self {
        Self::postgres_with(groups, Vec::new()).await
    }

    /// With settings besides that are known only when the test runs.
    pub async fn postgres_with(groups: &[Settings], mut own: Vec<(&'static str, String)>) -> Self {
        let redis = super::redis::shared();
        own.extend([
            ("DATABASE_URL", super::postgres::database().await),
            ("REDIS_URL", redis.url.clone()),
            ("JWT_SECRET", "a secret for tests only, 7b1c95d24e".to_owned()),
        ]);
        Self::new(groups, own).await
    }

    async fn new(groups: &[Settings], mut env: Vec<(&'static str, String)>) -> Self {
        env.extend(groups.iter().copied().flatten().map(|(name, value)| (*name, (*value).to_owned())));
        let dir = super::child::temp_dir();
        env.push(("DATA_DIR", dir.path().display().to_string()));
        env.push(("HTTP_ALLOW_PRIVATE", "true".to_owned()));
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
        let config = Config::load(None, &get).expect("a configuration");
        let db = match &config.database {
            Database::Sqlite { path } => Db::sqlite(path).await,
            Database::Postgres { url } => Db::postgres(secrecy::ExposeSecret::expose_secret(url), 8).await,
        }
        .expect("a database");
        db.migrate().await.expect("a schema");
        let queue = match &config.redis {
            None => Queue::memory(),
            Some(url) => {
                let namespace = super::redis::shared().namespace;
                Queue::redis(url, &namespace).await.expect("a queue")
            }
        };
        let limiter = match &config.redis {
            None => Limiter::memory(),
            Some(url) => Limiter::redis(url, "limit:", LIMITER_PATIENCE).await.expect("a limiter"),
        };
        let clock = Clock::manual(start());
        let secret = SecretString::from("a secret for tests only, 7b1c95d24e");
        let seal = Seal::new(&secret, None);
        let keyring = match config.jwt.algorithm {
            JwtAlgorithm::Hs256 => Keyring::hs256(&secret, None),
            JwtAlgorithm::EdDsa => keyring::load(&db, &seal, clock.now()).await.expect("keys"),
        };
        let services = Services {
            mailer: Arc::new(Mailer::files(&dir.path().join("mail"), config.mail.sender(), clock.clone())),
            catalogue: Arc::new(Catalogue::new()),
            planner: Arc::new(Planner::new(None).expect("recipes")),
            templates: Templates::default(),
            tokens: Arc::new(Tokens::with("autoos", keyring)),
            seal: Arc::new(seal),
            passwords: Passwords::new(1).expect("a hash"),
            stripe: Stripe::new(&config.stripe).expect("a connection to Stripe").map(Arc::new),
            config: Arc::new(config),
            clock: clock.clone(),
            db,
            queue,
            limiter,
        };
        Self { services, clock, _dir: dir }
    }

    /// A worker whose jobs are run by hand.
    pub fn worker(&self) -> Worker {
        Worker::new(self.services.clone(), CancellationToken::new()).expect("a worker")
    }

    /// Does all that is due.
    pub async fn run_until_idle(&self) {
        worker::dispatch::run_until_idle(&self.worker()).await.expect("the jobs");
    }

    /// An account with a verified address and a trial that starts now.
    pub async fn verified_user(&self, email: &str) -> UserId {
        let now = self.clock.now();
        let user = User {
            id: UserId::new(now),
            email: email.to_owned(),
            username: email.replace('@', "-"),
            password_hash: "none".to_owned(),
            full_name: "Ada Lovelace".to_owned(),
            role: "professional".to_owned(),
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
        };
        let trial =
            credits::Trial { started_at: now, ends_at: now + TimeDelta::days(30), credits_total: 10, credits: 10 };
        let mut tx = self.services.db.begin().await.expect("a transaction");
        assert!(users::insert(&mut tx, &user).await.expect("a user"));
        assert!(credits::start_trial(&mut tx, user.id, &trial).await.expect("a trial"));
        tx.commit().await.expect("a commit");
        user.id
    }

    /// Submits a plan as the API does.
    pub async fn submit(&self, user: UserId, plan: Value) -> WorkflowId {
        let now = self.clock.now();
        let new = NewWorkflow {
            id: WorkflowId::new(now),
            user_id: user,
            intent: "a test".to_owned(),
            context: json!({}),
            priority: Priority::Normal,
            plan: Some(serde_json::from_value(plan).expect("a plan")),
            max_cost: None,
            callback_url: None,
            charged: Charged::Trial,
            run_at: None,
        };
        let mut tx = self.services.db.begin().await.expect("a transaction");
        let charged = credits::charge_trials(&mut tx, &[(user, new.id)], None, now).await.expect("a charge");
        assert!(charged[0].is_some(), "a credit");
        let with = self.services.circumstances(format!("user:{user}"), now);
        engine::accept(&mut tx, &[(&new, with)]).await.expect("a workflow");
        tx.commit().await.expect("a commit");
        new.id
    }

    /// A workflow as its owner sees it.
    pub async fn view(&self, id: WorkflowId) -> (WorkflowView, Vec<StepView>) {
        let mut tx = self.services.db.read().await.expect("a reader");
        let view = workflows::view(&mut tx, id).await.expect("a row").expect("a workflow");
        (view, workflows::step_views(&mut tx, &[id]).await.expect("steps"))
    }

    /// Address and occasion of every mail of a kind that was decided on, in the order of deciding.
    pub async fn mails(&self, kind: &str) -> Vec<(String, String)> {
        let mut tx = self.services.db.read().await.expect("a reader");
        on!(tx, |c| {
            sqlx::query_as("select address, occasion from mails where kind = $1 order by created_at, id")
                .bind(kind)
                .fetch_all(&mut *c)
                .await
                .expect("mails")
        })
    }

    /// Trial credits left.
    pub async fn credits(&self, user: UserId) -> i64 {
        let mut tx = self.services.db.read().await.expect("a reader");
        credits::trial(&mut tx, user).await.expect("a row").expect("a trial").credits
    }

    /// Every ledger adds up, what is used was counted rightly, and no audit entry was changed or removed.
    pub async fn check_invariants(&self) {
        let mut tx = self.services.db.read().await.expect("a reader");
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), Vec::new());
        assert_eq!(usage::miscounts(&mut tx).await.expect("counts"), Vec::new());
        for (id, seq, hash) in workflows::audit_heads(&mut tx, None, 1_000).await.expect("heads") {
            let entries = workflows::audit(&mut tx, id, 0, i64::MAX).await.expect("entries");
            assert_eq!(audit::verify(&entries, seq, &hash), Ok(()));
        }
    }
}
