//! From a configuration to running parts: the only place that chooses an implementation.
//!
//! [`services`] builds everything that a role needs, in the order of dependency; commands that need less take the parts
//! one by one. To add a part: a field of `Services`, a line here, and its own function if there is a choice to make.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::actions::Catalogue;
use shared::clock::Clock;
use shared::config::{Config, Database, Fault, Faults, JwtAlgorithm};
use shared::email::Mailer;
use shared::limiter::Limiter;
use shared::passwords::Passwords;
use shared::planner::Planner;
use shared::queue::Queue;
use shared::seal::Seal;
use shared::services::Services;
use shared::store::Db;
use shared::stripe::Stripe;
use shared::telemetry;
use shared::template::Templates;
use shared::tokens::Tokens;
use shared::tokens::keyring::{self, Keyring};

/// Connections of one process to Postgres, at most; the server's default allows 100 in all.
const POSTGRES_CONNECTIONS: u32 = 16;
/// What every name of ours in Redis begins with.
const REDIS_NAMESPACE: &str = "autoos";
/// How long Redis may take to answer at the start.
const REDIS_PATIENCE: Duration = Duration::from_secs(10);
/// How long a request waits for Redis to count it.
const LIMITER_PATIENCE: Duration = Duration::from_millis(300);

/// Reads the configuration and starts logging.
pub fn config(file: Option<&Path>) -> anyhow::Result<Config> {
    let config = Config::from_process(file)?;
    telemetry::start(&config.log, config.log_format).map_err(anyhow::Error::msg)?;
    Ok(config)
}

/// Everything that a role needs, with a schema that is up to date. What needs no connection comes first, so that its
/// faults are told at once.
pub async fn services(config: Config, clock: Clock) -> anyhow::Result<Services> {
    let planner = planner(&config)?;
    let mailer = mailer(&config, &clock)?;
    let secret = config.jwt_secret().context("the key that signs tokens cannot be read from the data folder")?;
    let seal = seal(&config, &secret);
    let passwords = Passwords::new(config.hash_threads)?;
    let stripe = Stripe::new(&config.stripe).context("the connection to Stripe cannot be set up")?;
    let db = database(&config).await?;
    migrate(&db).await?;
    let keyring = token_keys(&config, &secret, (&db, &seal), clock.now()).await?;
    let tokens = Tokens::with(&config.jwt.issuer, keyring);
    let queue = queue(&config).await?;
    let limiter = limiter(&config).await?;
    Ok(Services {
        config: Arc::new(config),
        clock,
        db,
        queue,
        limiter,
        mailer: Arc::new(mailer),
        catalogue: Arc::new(Catalogue::new()),
        planner: Arc::new(planner),
        templates: Templates::default(),
        tokens: Arc::new(tokens),
        seal: Arc::new(seal),
        passwords,
        stripe: stripe.map(Arc::new),
    })
}

/// What stored secrets are encrypted with: a key of its own, else the one that signs tokens. Whoever sets a key of its
/// own later can still read what was sealed before.
fn seal(config: &Config, jwt_secret: &SecretString) -> Seal {
    let own = config.encryption_key.as_ref();
    Seal::new(own.unwrap_or(jwt_secret), own.map(|_| jwt_secret).into_iter().chain(config.jwt.previous.as_ref()))
}

/// Opens the database; its schema may still be old.
pub async fn database(config: &Config) -> anyhow::Result<Db> {
    match &config.database {
        Database::Sqlite { path } => {
            let cannot = || format!("the database {} cannot be opened", path.display());
            fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).with_context(cannot)?;
            Db::sqlite(path).await.with_context(cannot)
        }
        Database::Postgres { url } => {
            let db = Db::postgres(url.expose_secret(), POSTGRES_CONNECTIONS).await;
            db.context("Postgres cannot be reached")
        }
    }
}

/// Brings the schema of the database up to date.
pub async fn migrate(db: &Db) -> anyhow::Result<()> {
    db.migrate().await.context("the database's schema cannot be brought up to date")
}

/// The keys of tokens: the secrets, or the keys in the database, where the first one is made if there is none.
async fn token_keys(
    config: &Config,
    secret: &SecretString,
    (db, seal): (&Db, &Seal),
    now: DateTime<Utc>,
) -> anyhow::Result<Keyring> {
    match config.jwt.algorithm {
        JwtAlgorithm::Hs256 => Ok(Keyring::hs256(secret, config.jwt.previous.as_ref())),
        JwtAlgorithm::EdDsa => keyring::load(db, seal, now).await.context("the signing keys cannot be read"),
    }
}

/// The transport of jobs: Redis where it is configured, else this process.
pub async fn queue(config: &Config) -> anyhow::Result<Queue> {
    let Some(url) = &config.redis else { return Ok(Queue::memory()) };
    let connected = tokio::time::timeout(REDIS_PATIENCE, Queue::redis(url, REDIS_NAMESPACE)).await;
    connected.context("Redis cannot be reached")?.context("Redis cannot be reached")
}

/// What counts against limits by rate: Redis where it is configured, for all processes together, else this process.
pub async fn limiter(config: &Config) -> anyhow::Result<Limiter> {
    let Some(url) = &config.redis else { return Ok(Limiter::memory()) };
    let prefix = format!("{REDIS_NAMESPACE}:limit:");
    let connected = tokio::time::timeout(REDIS_PATIENCE, Limiter::redis(url, &prefix, LIMITER_PATIENCE)).await;
    connected.context("Redis cannot be reached")?.context("Redis cannot be reached")
}

/// The way out for mails: the mail server where one is configured, else files.
pub fn mailer(config: &Config, clock: &Clock) -> anyhow::Result<Mailer> {
    let sender = config.mail.sender();
    match &config.mail.smtp {
        Some(settings) => {
            Mailer::smtp(settings, sender, clock.clone()).context("the connection to the mail server cannot be set up")
        }
        None => Ok(Mailer::files(&config.data_dir.join("mail"), sender, clock.clone())),
    }
}

/// The planner with the recipes of this deployment. A faulty recipe is a fault of the configuration.
pub fn planner(config: &Config) -> Result<Planner, Faults> {
    Planner::new(config.recipes_dir.as_deref()).map_err(|problems| {
        let fault = |problem| Fault { name: "RECIPES_DIR".to_owned(), problem };
        Faults(problems.into_iter().map(fault).collect())
    })
}
