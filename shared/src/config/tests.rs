//! Configurations as deployments have them, right and wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::tier::Tier;

/// 48 bytes as `openssl rand -base64 48` makes them.
const KEY: &str = "q9mX2vT7bK4sLw8ZpR1nYc6HdJ3fGu5AeQ0iVoBkMxNzSrWt";

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("autoos-config-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn load(file: Option<&str>, env: &[(&str, &str)]) -> Result<Config, Faults> {
    let folder = Folder::new();
    let path = file.map(|text| folder.file("autoos.toml", text));
    Config::load(path.as_deref(), &|name| {
        env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn faults(file: Option<&str>, env: &[(&str, &str)]) -> Vec<String> {
    load(file, env).unwrap_err().0.into_iter().map(|fault| fault.name).collect()
}

fn url(config: &Config) -> &str {
    match &config.database {
        Database::Postgres { url } => url.expose_secret(),
        Database::Sqlite { path } => path.to_str().unwrap(),
    }
}

/// The names that reading asks the environment for.
fn names() -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let config = Config::load(None, &|name| {
        names.borrow_mut().insert(name.to_owned());
        None
    });
    config.unwrap();
    names.into_inner()
}

/// Keys of the file as names of the environment.
fn keys(prefix: &str, table: toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let name = format!("{prefix}{}", key.to_uppercase());
        match value {
            toml::Value::Table(section) => found.extend(keys(&format!("{name}_"), section)),
            _ => assert!(found.insert(name)),
        }
    }
    found
}

#[test]
fn nothing_needs_to_be_configured() {
    let config = load(None, &[]).unwrap();
    assert_eq!(url(&config), "./data/autoos.db");
    assert!(config.redis.is_none() && config.mail.smtp.is_none() && !config.http_allow_private);
    assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
    assert_eq!(config.link("/verify"), "http://127.0.0.1:8000/verify");
    assert_eq!(config.mail.sender().to_string(), "AUTOOS <autoos@localhost>");
    assert_eq!((config.lease_s, config.shutdown_s), (15, 20));
    assert_eq!(config.trial, TrialConfig { days: 30, credits: 10 });
    assert_eq!(config.tiers, Tiers::default());
}

#[test]
fn the_default_file_says_what_happens_without_it() {
    let with = load(Some(DEFAULTS), &[]).unwrap();
    assert_eq!(format!("{with:#?}"), format!("{:#?}", load(None, &[]).unwrap()));
}

#[test]
fn the_default_file_explains_every_setting_and_no_other() {
    let setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncommented: Vec<&str> =
        DEFAULTS.lines().map(|line| line.strip_prefix("# ").filter(|rest| setting(rest)).unwrap_or(line)).collect();
    let explained = keys("", uncommented.join("\n").parse().unwrap());
    let known: BTreeSet<String> = names().into_iter().filter(|name| !name.ends_with("_FILE")).collect();
    assert_eq!(explained, known);
}

#[test]
fn the_names_of_the_contract_are_known() {
    let names = names();
    for name in [
        "JWT_SECRET JWT_ALGORITHM SMTP_HOST SMTP_PORT SMTP_USER SMTP_PASSWORD FROM_EMAIL FROM_NAME BASE_URL",
        "STRIPE_SECRET_KEY STRIPE_PUBLISHABLE_KEY STRIPE_WEBHOOK_SECRET POSTGRES_USER POSTGRES_PASSWORD POSTGRES_HOST",
        "POSTGRES_PORT POSTGRES_DB REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD DATABASE_URL REDIS_URL BIND DATA_DIR",
        "STRIPE_API_BASE HTTP_ALLOW_PRIVATE LLM_BASE_URL LLM_API_KEY LLM_MODEL UPI_VPA LOG LOG_FORMAT",
        "JWT_SECRET_FILE SMTP_PASSWORD_FILE STRIPE_SECRET_KEY_FILE STRIPE_WEBHOOK_SECRET_FILE POSTGRES_PASSWORD_FILE",
        "ENCRYPTION_KEY_FILE REDIS_PASSWORD_FILE DATABASE_URL_FILE REDIS_URL_FILE LLM_API_KEY_FILE JWT_SECRET_PREVIOUS_FILE RECIPES_DIR",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn all_faults_are_reported_together_each_on_a_line_of_its_own() {
    let file = "jwt_algorithm = \"RS256\"\nsmtp_prot = 25\nlog = 1.5\n[worker]\nlease_s = 0";
    let env = [("DATABASE_URL", "postgres://db/autoos"), ("BIND", "8000"), ("SMTP_USER", "autoos")];
    let faults = load(Some(file), &env).unwrap_err();
    let names: BTreeSet<_> = faults.0.iter().map(|fault| fault.name.as_str()).collect();
    let expected =
        ["LOG", "REDIS_URL", "JWT_SECRET", "JWT_ALGORITHM", "SMTP_PROT", "WORKER_LEASE_S", "BIND", "SMTP_PASSWORD"];
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(faults.to_string().lines().count(), expected.len());
    assert!(faults.to_string().contains("JWT_ALGORITHM: must be HS256 or EdDSA"), "{faults}");
}

#[test]
fn a_server_database_demands_redis_and_a_key() {
    assert_eq!(faults(None, &[("POSTGRES_HOST", "db")]), ["REDIS_URL", "JWT_SECRET"]);
    let short = [("POSTGRES_HOST", "db"), ("REDIS_HOST", "redis"), ("JWT_SECRET", "9k3mXq")];
    assert_eq!(faults(None, &short), ["JWT_SECRET"]);
    load(None, &[("POSTGRES_HOST", "db"), ("REDIS_HOST", "redis"), ("JWT_SECRET", KEY)]).unwrap();
}

#[test]
fn tokens_can_be_signed_in_two_ways() {
    let algorithm = |env: &[(&str, &str)]| load(None, env).unwrap().jwt.algorithm;
    assert_eq!(algorithm(&[]), JwtAlgorithm::Hs256);
    assert_eq!(algorithm(&[("JWT_ALGORITHM", "hs256")]), JwtAlgorithm::Hs256);
    assert_eq!(algorithm(&[("JWT_ALGORITHM", "EdDSA")]), JwtAlgorithm::EdDsa);
    for other in ["none", "HS512", "RS256", "ES256", "Ed448"] {
        assert_eq!(faults(None, &[("JWT_ALGORITHM", other)]), ["JWT_ALGORITHM"], "{other}");
    }
    // The secret is needed with either: it seals the keys.
    let scaled = [("POSTGRES_HOST", "db"), ("REDIS_HOST", "redis"), ("JWT_ALGORITHM", "EdDSA")];
    assert_eq!(faults(None, &scaled), ["JWT_SECRET"]);
}

#[test]
fn a_key_that_others_know_is_refused_and_not_repeated() {
    for weak in ["secret", "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME", "your-secret-key-change-in-production", "short9X"]
    {
        let faults = load(None, &[("JWT_SECRET", weak)]).unwrap_err();
        assert_eq!(faults.0[0].name, "JWT_SECRET", "{weak}");
        assert!(weak == "secret" || !faults.to_string().contains(weak), "{faults}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "from_name = \"File\"\nsmtp_port = 2525\nsmtp_host = \"mail\"\n[lanes.mail]\nworkers = 3";
    let config = load(Some(file), &[("FROM_NAME", "Env"), ("SMTP_PORT", ""), ("LANES_MAIL_CONCURRENCY", "5")]).unwrap();
    assert_eq!(config.mail.from_name, "Env");
    assert_eq!(config.mail.smtp.unwrap().port, 2525);
    assert_eq!(config.lanes.get(Lane::Mail), LaneConfig { workers: 3, concurrency: 5 });
    assert_eq!(config.lanes.get(Lane::Interactive), LaneConfig { workers: 2, concurrency: 64 });
}

#[test]
fn a_secret_can_stand_in_a_file_of_its_own_but_not_in_two_places() {
    let folder = Folder::new();
    let path = folder.file("jwt", &format!("{KEY}\n"));
    let path = path.to_str().unwrap();
    let config = load(Some("jwt_secret = \"in the file, which it wins over\""), &[("JWT_SECRET_FILE", path)]).unwrap();
    assert_eq!(config.jwt_secret().unwrap().expose_secret(), KEY);
    assert_eq!(faults(None, &[("JWT_SECRET_FILE", path), ("JWT_SECRET", KEY)]), ["JWT_SECRET"]);
    assert_eq!(faults(None, &[("REDIS_URL_FILE", "/nowhere/at/all")]), ["REDIS_URL_FILE"]);
}

#[test]
fn parts_become_urls_that_survive_any_password() {
    let password = "p@ss:w/rd#?%41";
    let parts = [
        ("POSTGRES_HOST", "::1"),
        ("POSTGRES_USER", "me"),
        ("POSTGRES_PASSWORD", password),
        ("POSTGRES_DB", "my db"),
        ("REDIS_HOST", "redis"),
        ("REDIS_DB", "3"),
        ("REDIS_PASSWORD", password),
        ("JWT_SECRET", KEY),
    ];
    let config = load(None, &parts).unwrap();
    assert_eq!(url(&config), "postgres://me:p%40ss%3Aw%2Frd%23%3F%2541@[::1]:5432/my%20db");
    let redis = config.redis.unwrap();
    assert_eq!(redis.expose_secret(), "redis://:p%40ss%3Aw%2Frd%23%3F%2541@redis:6379/3");
    assert!(Url::parse(redis.expose_secret()).is_ok());
}

#[test]
fn a_url_wins_over_the_parts_and_may_name_a_file() {
    let config = load(None, &[("DATABASE_URL", "sqlite:/var/lib/autoos.db"), ("POSTGRES_HOST", "db")]).unwrap();
    assert_eq!(url(&config), "/var/lib/autoos.db");
    for bad in ["mysql://db/x", "sqlite:", "sqlite::memory:", "postgres"] {
        assert_eq!(faults(None, &[("DATABASE_URL", bad)]), ["DATABASE_URL"], "{bad}");
    }
}

#[test]
fn links_follow_the_address_unless_told_otherwise() {
    let link = |env: &[(&str, &str)]| load(None, env).unwrap().link("/x");
    assert_eq!(link(&[("BIND", "0.0.0.0:9000")]), "http://127.0.0.1:9000/x");
    assert_eq!(link(&[("BIND", "[::1]:9000")]), "http://[::1]:9000/x");
    assert_eq!(link(&[("BASE_URL", "https://example.com/autoos/")]), "https://example.com/autoos/x");
    assert_eq!(faults(None, &[("BASE_URL", "example.com")]), ["BASE_URL"]);
}

#[test]
fn proxies_and_origins_are_lists_and_each_of_them_must_make_sense() {
    let env = [
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,2001:db8::/32, ::ffff:192.0.2.8"),
        ("CORS_ORIGINS", "https://App.example.com/, http://localhost:3000,https://b.example.com:443"),
    ];
    let config = load(None, &env).unwrap();
    for (address, trusted) in
        [("10.1.2.3", true), ("192.0.2.7", true), ("192.0.2.8", true), ("192.0.2.9", false), ("2001:db8::1", true)]
    {
        assert_eq!(config.trusted_proxies.contains(address.parse().unwrap()), trusted, "{address}");
    }
    assert_eq!(config.cors_origins, ["https://app.example.com", "http://localhost:3000", "https://b.example.com"]);
    for bad in ["10.0.0.0/33", "proxy.example.com", "10.0.0.1 10.0.0.2", "*"] {
        assert_eq!(faults(None, &[("TRUSTED_PROXIES", bad)]), ["TRUSTED_PROXIES"], "{bad}");
    }
    for bad in ["*", "null", "app.example.com", "https://a.example.com/app", "https://*", "https://me@a.example.com"] {
        assert_eq!(faults(None, &[("CORS_ORIGINS", bad)]), ["CORS_ORIGINS"], "{bad}");
    }
}

#[test]
fn a_tier_can_be_changed_and_the_others_stay() {
    let file = "[tiers.student]\nagents = \"unlimited\"\nusd_month = 500";
    let tiers = load(Some(file), &[("TIERS_STUDENT_INTENTS_PER_MINUTE", "7")]).unwrap().tiers;
    assert_eq!(tiers.limits(Tier::Student).agents, None);
    assert_eq!(tiers.limits(Tier::Student).intents_per_minute, 7);
    assert_eq!(tiers.prices(Tier::Student).usd_month, Some(500));
    assert_eq!(tiers.terms(Tier::Employee), Tiers::default().terms(Tier::Employee));
    assert_eq!(faults(Some("[tiers.student]\nagents = -1"), &[]), ["TIERS_STUDENT_AGENTS"]);
}

#[test]
fn keys_of_the_wrong_sort_are_refused_without_being_shown() {
    let env = [("STRIPE_SECRET_KEY", "pk_live_123"), ("STRIPE_PUBLISHABLE_KEY", "sk_live_456"), ("UPI_VPA", "nobody")];
    let faults = load(None, &env).unwrap_err();
    assert_eq!(faults.0.len(), 3, "{faults}");
    assert!(!faults.to_string().contains("456"), "{faults}");
}

#[test]
fn a_file_that_is_not_toml_is_one_fault_with_its_line() {
    let text = load(Some("bind = \"127.0.0.1:1\"\nlog ="), &[]).unwrap_err().to_string();
    assert!(text.contains("line 2") && text.lines().count() == 1, "{text}");
    let missing = Config::load(Some(Path::new("/nowhere/autoos.toml")), &|_| None).unwrap_err();
    assert_eq!(missing.0.len(), 1);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let config = load(None, &[("JWT_SECRET", KEY), ("REDIS_URL", "redis://:hunter2@redis/0")]).unwrap();
    let text = format!("{config:?}");
    assert!(!text.contains(KEY) && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_key_is_made_once_and_only_its_owner_can_read_it() {
    let folder = Folder::new();
    let dir = folder.0.join("data");
    let config = load(None, &[("DATA_DIR", dir.to_str().unwrap())]).unwrap();
    let keys: BTreeSet<String> = std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..8).map(|_| scope.spawn(|| config.jwt_secret().unwrap().expose_secret().to_owned())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(dir.join("jwt_secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::write(dir.join("jwt_secret"), "short").unwrap();
    assert!(config.jwt_secret().unwrap_err().to_string().contains("too short"));
}

#[test]
fn a_key_of_its_own_for_stored_secrets_is_as_strong_as_the_others() {
    assert!(load(None, &[]).unwrap().encryption_key.is_none());
    assert_eq!(load(None, &[("ENCRYPTION_KEY", KEY)]).unwrap().encryption_key.unwrap().expose_secret(), KEY);
    assert_eq!(faults(None, &[("ENCRYPTION_KEY", "short9X")]), ["ENCRYPTION_KEY"]);
}
