//! Database and Redis: one URL, or the parts that the original product had.
//!
//! Parts go into the URL percent-encoded, so that a password may hold any character.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::Database;
use super::source::{Source, whole};
use crate::encoding::percent;

/// `DATABASE_URL`, else `POSTGRES_HOST` and its companions, else a file in the data folder.
pub(super) fn database(source: &mut Source<'_>, data_dir: &Path) -> Database {
    let embedded = Database::Sqlite { path: data_dir.join("autoos.db") };
    let parts = postgres_from_parts(source);
    let Some(url) = source.secret_text("DATABASE_URL") else {
        return parts.map_or(embedded, |url| Database::Postgres { url: url.into() });
    };
    match database_url(&url) {
        Ok(database) => database,
        Err(problem) => {
            source.fault("DATABASE_URL", problem);
            embedded
        }
    }
}

fn database_url(url: &str) -> Result<Database, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("names no file; write sqlite:PATH".into()),
            path if path.contains(":memory:") => {
                Err("a database in memory is not supported, it would lose accepted work; write sqlite:PATH".into())
            }
            path => Ok(Database::Sqlite { path: PathBuf::from(path) }),
        };
    }
    let with_host = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    if with_host {
        Ok(Database::Postgres { url: url.into() })
    } else {
        Err("must begin with postgres:// or sqlite: and be a complete URL; percent-encode special characters".into())
    }
}

fn postgres_from_parts(source: &mut Source<'_>) -> Option<String> {
    let host = source.text("POSTGRES_HOST");
    let port = source.value("POSTGRES_PORT", 5432, whole(1..=u16::MAX));
    let user = source.text("POSTGRES_USER").unwrap_or_else(|| "autoos".into());
    let password = source.secret_text("POSTGRES_PASSWORD");
    let name = source.text("POSTGRES_DB").unwrap_or_else(|| "autoos".into());
    let password = password.map(|password| format!(":{}", percent(&password))).unwrap_or_default();
    Some(format!("postgres://{}{password}@{}:{port}/{}", percent(&user), host_part(&host?), percent(&name)))
}

/// `REDIS_URL`, else `REDIS_HOST` and its companions.
pub(super) fn redis(source: &mut Source<'_>) -> Option<SecretString> {
    let parts = redis_from_parts(source);
    let Some(url) = source.secret_text("REDIS_URL") else { return parts.map(SecretString::from) };
    let valid = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss" | "unix" | "redis+unix"));
    if !valid {
        source.fault("REDIS_URL", "must be a complete URL that begins with redis://");
    }
    Some(url.into())
}

fn redis_from_parts(source: &mut Source<'_>) -> Option<String> {
    let host = source.text("REDIS_HOST");
    let port = source.value("REDIS_PORT", 6379, whole(1..=u16::MAX));
    let number = source.value("REDIS_DB", 0, whole(0..=65_535_u32));
    let password = source.secret_text("REDIS_PASSWORD");
    let password = password.map(|password| format!(":{}@", percent(&password))).unwrap_or_default();
    Some(format!("redis://{password}{}:{port}/{number}", host_part(&host?)))
}

/// An IPv6 address needs brackets in a URL; a path is the folder of a Unix socket.
fn host_part(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { percent(host) }
}
