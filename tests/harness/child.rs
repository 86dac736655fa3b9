//! Child processes that cannot outlive the tests, and the built `autoos` program run as one of them.
//!
//! `Guarded` is any server process: a small shell script watches a pipe from the test process, and when that pipe closes
//! (normal end, panic, or SIGKILL) it stops the server and removes its directory. `Autoos` is the program itself with its
//! own port and data directory, to be killed, drained and started again. For one more server write a module beside this
//! one that spawns a `Guarded`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tempfile::TempDir;

/// How long a process may take to become ready or to end before the test fails.
const PATIENCE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(20);
const LOG: &str = "output.log";

/// Reads the process id, then waits: a second line means that all is over, the end of the pipe that the tests are gone.
const GUARD: &str = r#"
read -r pid || exit 0
read -r word && exit 0
kill -s "$1" "$pid"
for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$pid" || break
    sleep 0.1
done
kill -s KILL "$pid"
rm -rf "$2"
"#;

/// A free port below the range that systems give to outgoing connections, so that no client can take it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let first = std::process::id().wrapping_mul(97);
    (0..20_000)
        .map(|_| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000)
        .filter_map(|offset| u16::try_from(10_000 + offset).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port between 10000 and 30000"))
}

/// A fresh directory of its own for a server.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("autoos-test-")
        .tempdir()
        .unwrap_or_else(|error| panic!("temporary directory: {error}"))
}

/// Sends a signal, such as `TERM` or `STOP`, to a process; that it is gone already is no fault.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "the kill command: {sent:?}");
}

/// A server process that is stopped when this value is dropped or when the test process ends in whatever way.
pub struct Guarded {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts the process with its output in a file in `dir`. If the tests vanish it gets the signal `farewell` (`KILL`
    /// unless it has something to tidy up outside `dir`), and `dir` is removed.
    pub fn spawn(command: &mut Command, dir: &Path, farewell: &str) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        Self::try_spawn(&name, command, dir, farewell).unwrap_or_else(|error| panic!("starting {name}: {error}"))
    }

    fn try_spawn(name: &str, command: &mut Command, dir: &Path, farewell: &str) -> io::Result<Self> {
        let log = dir.join(LOG);
        let output = File::options().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let guard = spawn_guard(dir, farewell)?;
        // A group of its own keeps Ctrl-C in the terminal from reaching the server before its guard.
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).spawn()?;
        let mut this = Self { name: name.to_owned(), child, guard, log };
        this.tell_guard(&this.pid().to_string());
        Ok(this)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the process has written so far.
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How the process ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("waiting for {}: {error}", self.name))
    }

    /// Panics with the output if the process has ended or the deadline is over.
    pub fn must_run_until(&mut self, deadline: Instant) {
        let ended = self.ended();
        assert!(ended.is_none(), "{} ended with {ended:?}:\n{}", self.name, self.output());
        assert!(Instant::now() < deadline, "{} is not ready:\n{}", self.name, self.output());
    }

    /// Blocks until `ready` says so; panics with the output if the process ends or takes too long.
    pub fn wait_until(&mut self, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            self.must_run_until(deadline);
            thread::sleep(POLL);
        }
    }

    /// Waits until `GET url` is answered with a status that is `ready`; panics with the output if the process ends or takes
    /// too long.
    pub async fn wait_until_answered(&mut self, url: &str, ready: impl Fn(StatusCode) -> bool) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
        let client = client.unwrap_or_else(|error| panic!("HTTP client: {error}"));
        let deadline = Instant::now() + PATIENCE;
        while !client.get(url).send().await.is_ok_and(|answer| ready(answer.status())) {
            self.must_run_until(deadline);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills the process with SIGKILL, as a crash or the kernel would, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only for a process that has ended and been waited for, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn tell_guard(&mut self, line: &str) {
        if let Some(pipe) = &mut self.guard.stdin {
            // A guard that is gone already cannot be told anything; the drop below still stops the process.
            let _ = writeln!(pipe, "{line}");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
        self.tell_guard("done");
        let _ = self.guard.wait();
    }
}

fn spawn_guard(dir: &Path, farewell: &str) -> io::Result<Child> {
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "guard", farewell]).arg(dir).process_group(0);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// The built program as a child process.
pub struct Autoos {
    process: Guarded,
    args: Vec<String>,
    env: Vec<(String, String)>,
    base_url: String,
    dir: TempDir,
}

impl Autoos {
    /// Runs `autoos` with all three roles and waits until it is ready.
    pub async fn start(env: &[(&str, &str)]) -> Self {
        let mut this = Self::spawn(&[], env);
        this.ready().await;
        this
    }

    /// Runs `autoos ARGS…` and does not wait. The environment is `PATH`, `HOME`, a port and a data directory of its own,
    /// and then `env`, which wins.
    pub fn spawn(args: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = temp_dir();
        let bind = format!("127.0.0.1:{}", free_port());
        let base_url = format!("http://{bind}");
        let own = ["PATH", "HOME"].map(|name| (name.to_owned(), std::env::var(name).unwrap_or_default()));
        let mut vars = Vec::from(own);
        vars.push(("BIND".to_owned(), bind));
        vars.push(("DATA_DIR".to_owned(), dir.path().join("data").to_string_lossy().into_owned()));
        vars.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let process = launch(&args, &vars, dir.path());
        Self { process, args, env: vars, base_url, dir }
    }

    /// Waits until `GET /health/ready` answers 200; panics with the program's output if it ends or takes too long.
    pub async fn ready(&mut self) {
        let url = format!("{}/health/ready", self.base_url);
        self.process.wait_until_answered(&url, |status| status.is_success()).await;
    }

    /// Where the program listens, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Its data directory, unless the given environment named another one.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it has written to its output so far, over all its lives.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Kills it as a crash would: nothing is flushed, nothing handed back.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop with SIGTERM and waits for the end. Async, so that stand-ins of the same test can go on to answer
    /// the steps that are draining.
    pub async fn term(&mut self) -> Option<i32> {
        signal(self.process.pid(), "TERM");
        self.exit_code().await
    }

    /// Waits for the end by itself; `None` is the end by a signal.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.ended() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "autoos does not end:\n{}", self.output());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs it again (killed first if it still runs) with the same port, data and environment, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.args, &self.env, self.dir.path());
        self.ready().await;
    }
}

impl Drop for Autoos {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("output of autoos {:?}:\n{}", self.args, self.output());
        }
    }
}

fn launch(args: &[String], env: &[(String, String)], dir: &Path) -> Guarded {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autoos"));
    command.args(args).env_clear().envs(env.iter().map(|(name, value)| (name, value))).current_dir(dir);
    Guarded::spawn(&mut command, dir, "KILL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_program_survives_a_kill_and_drains_when_asked_to_stop() {
        let mut program = Autoos::start(&[]).await;
        let url = program.base_url().to_owned();
        program.kill9();
        program.restart().await;
        assert_eq!(program.base_url(), url);
        assert!(program.data_dir().join("autoos.db").exists());
        assert_eq!(program.term().await, Some(0), "{}", program.output());
    }

    #[tokio::test]
    async fn a_faulty_configuration_ends_the_program_with_code_two() {
        let mut program = Autoos::spawn(&[], &[("BIND", "nowhere")]);
        assert_eq!(program.exit_code().await, Some(2), "{}", program.output());
        assert!(program.output().contains("BIND"), "{}", program.output());
    }

    #[test]
    fn a_guard_stops_the_process_and_removes_its_directory_when_the_tests_vanish() {
        let dir = temp_dir();
        let mut process = Guarded::spawn(Command::new("sleep").arg("600"), dir.path(), "TERM");
        // What the system does when the test process dies.
        drop(process.guard.stdin.take());
        let status = process.child.wait().expect("the guard stops the process");
        assert!(!status.success(), "{status}");
        process.guard.wait().expect("the guard ends by itself");
        assert!(!dir.path().exists());
    }
}
