//! Every setting by its name, with what it must look like and its default; the rules between settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use lettre::Address;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::secret::weakness;
use super::source::{Source, flag, whole, whole_or};
use super::{
    Config, Database, JwtAlgorithm, JwtConfig, LaneConfig, Lanes, LlmConfig, LogFormat, MailConfig, SmtpSettings,
    StripeConfig, TrialConfig, TrustedProxies, network, stores,
};
use crate::domain::tier::{Limits, Prices, Terms, Tier, Tiers};
use crate::passwords;

/// Everything. Faults are in the source; what is faulty has its default here.
pub(super) fn config(source: &mut Source<'_>) -> Config {
    let bind = source.value("BIND", SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)), address);
    let data_dir = source.value("DATA_DIR", PathBuf::from("./data"), |text| Ok(PathBuf::from(text)));
    let database = stores::database(source, &data_dir);
    let redis = stores::redis(source);
    let scaled = matches!(database, Database::Postgres { .. });
    if scaled && redis.is_none() && !source.is_faulty("REDIS_URL") {
        source.fault(
            "REDIS_URL",
            "is required together with Postgres (or REDIS_HOST); it carries jobs between processes",
        );
    }
    Config {
        database,
        redis,
        bind,
        data_dir,
        base_url: base_url(source, bind),
        trusted_proxies: source.value("TRUSTED_PROXIES", TrustedProxies::default(), str::parse),
        cors_origins: source.value("CORS_ORIGINS", Vec::new(), network::origins),
        jwt: jwt(source, scaled),
        encryption_key: key(source, "ENCRYPTION_KEY"),
        mail: mail(source),
        stripe: stripe(source),
        llm: llm(source),
        upi_vpa: source.optional("UPI_VPA", vpa),
        http_allow_private: source.value("HTTP_ALLOW_PRIVATE", false, flag),
        recipes_dir: source.optional("RECIPES_DIR", folder),
        log: source.value("LOG", "info".into(), log_filter),
        log_format: source.value("LOG_FORMAT", LogFormat::Auto, log_format),
        lease_s: source.value("WORKER_LEASE_S", 15, whole(1..=3_600)),
        shutdown_s: source.value("WORKER_SHUTDOWN_S", 20, whole(0..=3_600)),
        lanes: Lanes {
            interactive: lane(source, "INTERACTIVE", LaneConfig { workers: 2, concurrency: 64 }),
            mail: lane(source, "MAIL", LaneConfig { workers: 1, concurrency: 8 }),
            maintenance: lane(source, "MAINTENANCE", LaneConfig { workers: 1, concurrency: 4 }),
        },
        tiers: tiers(source),
        trial: TrialConfig {
            days: source.value("TRIAL_DAYS", 30, whole(1..=3_650)),
            credits: source.value("TRIAL_CREDITS", 10, whole(0..=1_000_000)),
        },
        hash_threads: source.value("HASH_THREADS", passwords::default_threads(), whole(1..=1_024)),
    }
}

/// The default is the address of `BIND`, so that a deployment on one machine has links that work.
fn base_url(source: &mut Source<'_>, bind: SocketAddr) -> Url {
    let host = if bind.ip().is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { bind.ip() };
    let mut default = parsed("http://127.0.0.1:8000");
    // Neither fails: the URL has a host and a port.
    let _set = default.set_ip_host(host).and_then(|()| default.set_port(Some(bind.port())));
    source.value("BASE_URL", default, http_url)
}

fn jwt(source: &mut Source<'_>, scaled: bool) -> JwtConfig {
    let algorithm = source.value("JWT_ALGORITHM", JwtAlgorithm::Hs256, algorithm);
    let secret = key(source, "JWT_SECRET");
    if scaled && secret.is_none() && !source.is_faulty("JWT_SECRET") {
        source.fault(
            "JWT_SECRET",
            "is required together with Postgres, with at least 32 bytes; make one with: openssl rand -base64 48",
        );
    }
    let previous = key(source, "JWT_SECRET_PREVIOUS");
    let issuer = source.text("JWT_ISSUER").unwrap_or_else(|| "autoos".into());
    JwtConfig { algorithm, secret, previous, issuer }
}

/// A key that tokens are signed with, or stored secrets encrypted.
fn key(source: &mut Source<'_>, name: &str) -> Option<SecretString> {
    let text = source.secret_text(name)?;
    if let Some(problem) = weakness(&text) {
        source.fault(name, problem);
    }
    Some(text.into())
}

fn mail(source: &mut Source<'_>) -> MailConfig {
    let local = |text: &str| text.parse::<Address>().map_err(|error| format!("\"{text}\" is not an address: {error}"));
    let from_email = source.optional("FROM_EMAIL", local);
    MailConfig {
        from_email: from_email.unwrap_or_else(|| Address::new_dangerous("autoos", "localhost")),
        from_name: source.text("FROM_NAME").unwrap_or_else(|| "AUTOOS".into()),
        smtp: smtp(source),
    }
}

fn smtp(source: &mut Source<'_>) -> Option<SmtpSettings> {
    let host = source.text("SMTP_HOST");
    let port = source.value("SMTP_PORT", 587, whole(1..=u16::MAX));
    let user = source.text("SMTP_USER");
    let password = source.secret("SMTP_PASSWORD");
    if user.is_some() != password.is_some() && !source.is_faulty("SMTP_PASSWORD") {
        let missing = if user.is_some() { "SMTP_PASSWORD" } else { "SMTP_USER" };
        source.fault(missing, "is missing; SMTP_USER and SMTP_PASSWORD go together");
    }
    Some(SmtpSettings { host: host?, port, user, password })
}

fn stripe(source: &mut Source<'_>) -> StripeConfig {
    let secret_key = source.secret_text("STRIPE_SECRET_KEY");
    if secret_key.as_ref().is_some_and(|key| !key.starts_with("sk_") && !key.starts_with("rk_")) {
        source.fault(
            "STRIPE_SECRET_KEY",
            "must begin with sk_ or rk_; the key that begins with pk_ is the publishable one",
        );
    }
    StripeConfig {
        secret_key: secret_key.map(SecretString::from),
        publishable_key: source.optional("STRIPE_PUBLISHABLE_KEY", publishable),
        webhook_secrets: webhook_secrets(source),
        api_base: source.value("STRIPE_API_BASE", parsed("https://api.stripe.com"), http_url),
    }
}

/// One or more, separated by commas: while a secret is replaced, Stripe signs with both.
fn webhook_secrets(source: &mut Source<'_>) -> Vec<SecretString> {
    let text = source.secret_text("STRIPE_WEBHOOK_SECRET").unwrap_or_default();
    text.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(SecretString::from).collect()
}

fn llm(source: &mut Source<'_>) -> LlmConfig {
    LlmConfig {
        base_url: source.optional("LLM_BASE_URL", http_url),
        api_key: source.secret("LLM_API_KEY"),
        model: source.text("LLM_MODEL"),
    }
}

fn lane(source: &mut Source<'_>, name: &str, default: LaneConfig) -> LaneConfig {
    LaneConfig {
        workers: source.value(&format!("LANES_{name}_WORKERS"), default.workers, whole(1..=256)),
        concurrency: source.value(&format!("LANES_{name}_CONCURRENCY"), default.concurrency, whole(1..=4_096)),
    }
}

fn tiers(source: &mut Source<'_>) -> Tiers {
    let defaults = Tiers::default();
    Tiers::new(|tier| terms(source, tier, defaults.terms(tier)))
}

fn terms(source: &mut Source<'_>, tier: Tier, default: &Terms) -> Terms {
    let Terms { prices, limits } = default;
    let name = |key: &str| format!("TIERS_{}_{key}", tier.name().to_ascii_uppercase());
    let mut price = |key, default| source.value(&name(key), default, whole_or("by agreement"));
    let prices = Prices {
        usd_month: price("USD_MONTH", prices.usd_month),
        usd_year: price("USD_YEAR", prices.usd_year),
        inr_month: price("INR_MONTH", prices.inr_month),
        inr_year: price("INR_YEAR", prices.inr_year),
    };
    let mut amount = |key, default| source.value(&name(key), default, whole_or("unlimited"));
    let workflows_per_month = amount("WORKFLOWS_PER_MONTH", limits.workflows_per_month);
    let agents = amount("AGENTS", limits.agents);
    let storage_gb = amount("STORAGE_GB", limits.storage_gb);
    let mut rate = |key, default| source.value(&name(key), default, whole(1..=1_000_000));
    let limits = Limits {
        workflows_per_month,
        agents,
        storage_gb,
        intents_per_minute: rate("INTENTS_PER_MINUTE", limits.intents_per_minute),
        intents_per_hour: rate("INTENTS_PER_HOUR", limits.intents_per_hour),
        requests_per_minute: rate("REQUESTS_PER_MINUTE", limits.requests_per_minute),
    };
    Terms { prices, limits }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("must be an address and a port, such as 127.0.0.1:8000, not \"{text}\""))
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("\"{text}\" is not a URL: {error}"))?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if matches!(url.scheme(), "http" | "https") && plain {
        Ok(url)
    } else {
        Err("must begin with http:// or https://, without a user, a query or a fragment".into())
    }
}

fn algorithm(text: &str) -> Result<JwtAlgorithm, String> {
    match text.to_ascii_uppercase().as_str() {
        "HS256" => Ok(JwtAlgorithm::Hs256),
        "EDDSA" => Ok(JwtAlgorithm::EdDsa),
        _ => Err(format!("must be HS256 or EdDSA, not \"{text}\"")),
    }
}

fn publishable(text: &str) -> Result<String, String> {
    if text.starts_with("pk_") {
        Ok(text.to_owned())
    } else {
        // The value is not repeated: it may well be the secret key.
        Err("must begin with pk_; never put the secret key here, browsers can see this one".into())
    }
}

fn vpa(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match text.split_once('@') {
        Some((name, bank)) if !name.is_empty() && !bank.is_empty() && (name.to_owned() + bank).chars().all(allowed) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("must be a UPI address, such as name@bank, not \"{text}\"")),
    }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_dir() { Ok(PathBuf::from(text)) } else { Err(format!("\"{text}\" is not a folder")) }
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| format!("\"{text}\" is not a filter: {error}"))
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        "auto" => Ok(LogFormat::Auto),
        _ => Err(format!("must be pretty, json or auto, not \"{text}\"")),
    }
}

/// For URLs that stand in this file; a test reads each of them.
#[expect(clippy::expect_used, reason = "the text is a constant of this file")]
fn parsed(url: &'static str) -> Url {
    Url::parse(url).expect("a constant URL")
}
