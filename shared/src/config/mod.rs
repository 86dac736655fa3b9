//! What a deployment can decide, and the only place that reads the environment.
//!
//! A setting has one name: `SMTP_PORT` in the environment, `smtp_port` in the file; a section of the file is a prefix
//! (`[worker] lease_s` is `WORKER_LEASE_S`). The environment wins over the file, the file over the defaults; a secret
//! can also be read from the file that `NAME_FILE` names. All faults are reported together.
//!
//! To add a setting: a field here, its line in `read.rs`, its comment and default in `config.default.toml`.

mod fault;
mod network;
mod read;
mod secret;
mod source;
mod stores;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lettre::Address;
use lettre::message::Mailbox;
use secrecy::SecretString;
use url::Url;

use self::source::Source;
use crate::domain::tier::Tiers;
use crate::job::Lane;

pub use self::fault::{Fault, Faults};
pub use self::network::TrustedProxies;

/// The commented defaults: every setting, its meaning, its unit.
pub const DEFAULTS: &str = include_str!("../../../config.default.toml");

/// A whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is stored.
    pub database: Database,
    /// The URL of Redis, when there is one.
    pub redis: Option<SecretString>,
    /// The address that the API listens on.
    pub bind: SocketAddr,
    /// The folder for what is kept outside of a server database.
    pub data_dir: PathBuf,
    /// The address that people reach this deployment at; links in mails begin with it.
    pub base_url: Url,
    /// Proxies that are believed when they say whom they speak for.
    pub trusted_proxies: TrustedProxies,
    /// Origins whose pages may call the API, as browsers write them.
    pub cors_origins: Vec<String>,
    /// Access and refresh tokens.
    pub jwt: JwtConfig,
    /// The key that stored secrets are encrypted with, when there is one of its own.
    pub encryption_key: Option<SecretString>,
    /// Outgoing mail.
    pub mail: MailConfig,
    /// Payments through Stripe.
    pub stripe: StripeConfig,
    /// The language model that plans and writes.
    pub llm: LlmConfig,
    /// The UPI address that payments by QR code go to.
    pub upi_vpa: Option<String>,
    /// Whether `http.request` may reach private addresses.
    pub http_allow_private: bool,
    /// The folder of recipes, when there is one.
    pub recipes_dir: Option<PathBuf>,
    /// Which log lines are written, as a filter of `tracing-subscriber`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Seconds after which a silent worker's step is given to another.
    pub lease_s: u64,
    /// Seconds that running steps have to end when the process is told to stop.
    pub shutdown_s: u64,
    /// How much work each lane does at once.
    pub lanes: Lanes,
    /// What each tier costs and allows.
    pub tiers: Tiers,
    /// What a new account starts with.
    pub trial: TrialConfig,
    /// Passwords hashed at once, at most.
    pub hash_threads: usize,
}

/// Where everything is stored.
#[derive(Debug, Clone)]
pub enum Database {
    /// One file, one process.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A server, any number of processes.
    Postgres {
        /// Its URL, which holds the password.
        url: SecretString,
    },
}

/// How tokens are signed.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// The algorithm.
    pub algorithm: JwtAlgorithm,
    /// The secret, when it was given: see [`Config::jwt_secret`].
    pub secret: Option<SecretString>,
    /// The secret before it; what was signed with it is still accepted.
    pub previous: Option<SecretString>,
    /// The `iss` claim.
    pub issuer: String,
}

/// An algorithm that signs tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256, by a secret.
    Hs256,
    /// Ed25519, by keys that the program makes.
    EdDsa,
}

/// How mail leaves.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// The sender's address.
    pub from_email: Address,
    /// The sender's name.
    pub from_name: String,
    /// The mail server; none: mails become files in the data folder.
    pub smtp: Option<SmtpSettings>,
}

impl MailConfig {
    /// The sender, as mails show it.
    pub fn sender(&self) -> Mailbox {
        Mailbox::new(Some(self.from_name.clone()), self.from_email.clone())
    }
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Its host name.
    pub host: String,
    /// Its port, which also decides on TLS: 465 from the start, 587 by STARTTLS, others where offered.
    pub port: u16,
    /// The account there, together with `password`.
    pub user: Option<String>,
    /// The account's password.
    pub password: Option<SecretString>,
}

/// Keys for Stripe. Without a secret key its routes answer that payments are not configured.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// The secret or restricted API key.
    pub secret_key: Option<SecretString>,
    /// The key that browsers may see.
    pub publishable_key: Option<String>,
    /// The secrets that webhooks may be signed with; without one none is accepted.
    pub webhook_secrets: Vec<SecretString>,
    /// Where the API is.
    pub api_base: Url,
}

/// An OpenAI-compatible language model.
#[derive(Debug, Clone)]
pub struct LlmConfig {
    /// Where its API is; none: no language model.
    pub base_url: Option<Url>,
    /// The key to it.
    pub api_key: Option<SecretString>,
    /// The model's name there.
    pub model: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Coloured lines for people.
    Pretty,
    /// One JSON object per line.
    Json,
    /// Pretty on a terminal, else JSON.
    Auto,
}

/// How much work each lane does at once, in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Workflows.
    pub interactive: LaneConfig,
    /// Outgoing mail.
    pub mail: LaneConfig,
    /// Housekeeping.
    pub maintenance: LaneConfig,
}

impl Lanes {
    /// The settings of a lane.
    pub const fn get(&self, lane: Lane) -> LaneConfig {
        match lane {
            Lane::Interactive => self.interactive,
            Lane::Mail => self.mail,
            Lane::Maintenance => self.maintenance,
        }
    }
}

/// How much work one lane does at once, in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneConfig {
    /// Workers that take jobs.
    pub workers: usize,
    /// Jobs that each of them runs at once.
    pub concurrency: usize,
}

/// What a new account starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialConfig {
    /// How many days the trial lasts.
    pub days: i64,
    /// How many credits it has.
    pub credits: i64,
}

impl Config {
    /// Reads a configuration from a file and an environment that is given as a function.
    pub fn load(file: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut source = Source::new(file, env);
        let config = read::config(&mut source);
        match source.into_faults() {
            None => Ok(config),
            Some(faults) => Err(faults),
        }
    }

    /// Reads the configuration of this process.
    pub fn from_process(file: Option<&Path>) -> Result<Self, Faults> {
        Self::load(file, &|name| std::env::var(name).ok())
    }

    /// The full URL of a path that begins with `/`.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.as_str().trim_end_matches('/'))
    }

    /// The page where a plan is chosen.
    pub fn plans_link(&self) -> String {
        self.link("/payments/pricing")
    }

    /// The key that tokens are signed with: the one given, else one that is made once and kept in the data folder.
    pub fn jwt_secret(&self) -> std::io::Result<SecretString> {
        match &self.jwt.secret {
            Some(secret) => Ok(secret.clone()),
            None => secret::kept(&self.data_dir),
        }
    }
}
