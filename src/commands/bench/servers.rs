//! Postgres and Redis of the benchmark's own, with the settings that people have: the defaults of Postgres, and Redis
//! with its file flushed each second.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::{Process, free_address, run};

/// How long a server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Starts Postgres with its data in `folder`; gives it with the URL of its first database.
pub async fn postgres(folder: &Path) -> anyhow::Result<(Process, String)> {
    let home = folder.join("postgres");
    fs::create_dir(&home).context("the folder of Postgres")?;
    let as_root = is_root()?;
    if as_root {
        run(Command::new("chown").arg("postgres:postgres").arg(&home))?;
    }
    let data = home.join("data");
    let mut initdb = postgres_command("initdb", &home, as_root)?;
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata"]).arg(&data);
    run(&mut initdb)?;
    let address = free_address()?;
    let mut server = postgres_command("postgres", &home, as_root)?;
    server.arg("-D").arg(&data).args(["-k", ""]);
    // More processes of ours than the default of 100 connections is good for; all else is as it comes.
    server.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-c", "max_connections=200"]);
    // SIGQUIT: at once, but unlike SIGKILL without shared memory that stays.
    let mut process = Process::spawn("postgres", &mut server, folder, "QUIT")?;
    let deadline = Instant::now() + PATIENCE;
    while !says_ready(&data) {
        process.must_run_until(deadline)?;
        tokio::time::sleep(POLL).await;
    }
    Ok((process, format!("postgres://postgres@{address}/postgres")))
}

/// Starts Redis with its data in `folder`; gives it with its URL.
pub async fn redis(folder: &Path) -> anyhow::Result<(Process, String)> {
    let home = folder.join("redis");
    fs::create_dir(&home).context("the folder of Redis")?;
    let address = free_address()?;
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    server.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir"]).arg(&home);
    let mut process = Process::spawn("redis-server", &mut server, folder, "TERM")?;
    let deadline = Instant::now() + PATIENCE;
    while !answers_ping(address).await {
        process.must_run_until(deadline)?;
        tokio::time::sleep(POLL).await;
    }
    Ok((process, format!("redis://{address}/0")))
}

/// Reads the state that the server keeps in the eighth line of its pid file, as `pg_ctl` does.
fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready"))
}

async fn answers_ping(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0_u8; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    asked.await.is_ok_and(|answer| answer == *b"+PONG")
}

/// Postgres refuses to run as root, so that root hands over to the user that its packages make.
fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("asking who runs this")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn postgres_command(program: &str, home: &Path, as_root: bool) -> anyhow::Result<Command> {
    let program = find(program)?;
    let mut command = if as_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(home);
    Ok(command)
}

/// A program of Postgres from `PATH`, or from where Debian keeps those that are not for `PATH`, the newest first.
fn find(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut debian: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
        debian.sort();
        places.extend(debian.into_iter().rev());
    }
    let found = places.into_iter().map(|place| place.join(program)).find(|file| file.is_file());
    found.with_context(|| format!("{program} is not installed; give --database-url and --redis-url instead"))
}
