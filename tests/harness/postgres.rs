//! One real Postgres server for the whole test process, and a fresh database in it for each test.
//!
//! The server starts with the first call of `database` and is stopped by its guard when the process ends. We run the tests
//! by plain `cargo test`: cargo-nextest gives each test a process of its own, hence a server of its own, which is too
//! slow. Nothing survives the tests, so all that makes Postgres durable is off. For another setting add a `-c` in `start`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use super::child::{Guarded, free_port, temp_dir};

static SERVER: LazyLock<Server> = LazyLock::new(start);

/// The URL of a new, empty database that belongs to the calling test alone.
pub async fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    create(&name).await.unwrap_or_else(|error| panic!("creating the database {name}: {error}"));
    SERVER.url(&name)
}

async fn create(name: &str) -> Result<(), sqlx::Error> {
    let mut admin = PgConnection::connect(&SERVER.url("postgres")).await?;
    // Nobody can connect to template0, so that tests may copy it at the same time.
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name} template template0"))).execute(&mut admin).await?;
    admin.close().await
}

struct Server {
    port: u16,
    _process: Guarded,
    _dir: TempDir,
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

fn start() -> Server {
    let dir = temp_dir();
    let user = ServerUser::owning(dir.path());
    let data = dir.path().join("data");
    let mut initdb = user.command("initdb", dir.path());
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
    run(initdb.arg(&data));

    let port = free_port();
    let mut postgres = user.command("postgres", dir.path());
    postgres.arg("-D").arg(&data).arg("-k").arg(dir.path()).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"] {
        postgres.args(["-c", setting]);
    }
    // SIGQUIT is the immediate shutdown, which unlike SIGKILL leaves no shared memory behind.
    let mut process = Guarded::spawn(&mut postgres, dir.path(), "QUIT");
    process.wait_until(|| says_ready(&data));
    Server { port, _process: process, _dir: dir }
}

/// Reads the state that the server keeps in the eighth line of its pid file, as `pg_ctl` does.
fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready"))
}

/// Who runs the server: Postgres refuses root, so that root hands over to the user of Debian's package.
#[derive(Clone, Copy)]
enum ServerUser {
    Ourselves,
    Postgres,
}

impl ServerUser {
    /// Decides by the owner of our fresh directory, and gives the directory to the one who needs it.
    fn owning(dir: &Path) -> Self {
        if !fs::metadata(dir).is_ok_and(|meta| meta.uid() == 0) {
            return Self::Ourselves;
        }
        run(Command::new("chown").arg("postgres:postgres").arg(dir));
        Self::Postgres
    }

    fn command(self, program: &str, dir: &Path) -> Command {
        let program = find(program);
        let mut command = match self {
            Self::Ourselves => Command::new(program),
            Self::Postgres => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
                command
            }
        };
        command.current_dir(dir);
        command
    }
}

/// A program of Postgres from `PATH`, or from where Debian keeps those that are not for `PATH`, the newest first.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut debian: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
        debian.sort();
        places.extend(debian.into_iter().rev());
    }
    let found = places.into_iter().map(|place| place.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed: .ci/test installs what the tests need"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tables(url: &str) -> i64 {
        let mut connection = PgConnection::connect(url).await.expect("connects");
        sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
            .fetch_one(&mut connection)
            .await
            .expect("counts")
    }

    #[tokio::test]
    async fn each_test_gets_an_empty_database_of_its_own() {
        let (first, second) = tokio::join!(database(), database());
        let mut connection = PgConnection::connect(&first).await.expect("connects");
        sqlx::raw_sql("create table note (text text)").execute(&mut connection).await.expect("creates");
        assert_eq!((tables(&first).await, tables(&second).await), (1, 0));
    }
}
