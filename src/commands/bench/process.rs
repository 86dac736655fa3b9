//! Child processes and a folder that do not outlive the benchmark.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shared::clock::Clock;
use shared::ids;

/// How long a process may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);
/// How much of a process's output an error tells, in lines.
const TOLD: usize = 20;

/// A process that is stopped when this value is dropped.
pub struct Process {
    name: String,
    child: Child,
    /// The signal that asks it to end.
    farewell: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts a process with its output in a file in `folder`.
    pub fn spawn(name: &str, command: &mut Command, folder: &Path, farewell: &'static str) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).context("the log of a process")?;
        let errors = output.try_clone().context("the log of a process")?;
        // A group of its own: Ctrl-C reaches the benchmark alone, which then stops its processes in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name: name.to_owned(), child, farewell, log })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if the process has ended or the deadline is over; to be asked while one waits for it.
    pub fn must_run_until(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let ended = self.child.try_wait().with_context(|| format!("asking for {}", self.name))?;
        if ended.is_none() && Instant::now() < deadline {
            return Ok(());
        }
        let how = ended.map_or_else(|| "is not ready in time".to_owned(), |status| format!("ended: {status}"));
        bail!("{} {how}; its last words: {}", self.name, self.last_words());
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TOLD)..).unwrap_or_default().join(" | ")
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        let asked = Command::new("kill").args(["-s", self.farewell, &self.pid().to_string()]).status();
        while asked.is_ok() && !self.has_ended() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        // Both fail only for a process that has ended, which is what we want.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// A new folder that is removed when this value is dropped.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a folder in `parent`.
    pub fn new(parent: &Path) -> anyhow::Result<Self> {
        // Processes run in the folder, where a relative path would lead elsewhere.
        let parent = std::path::absolute(parent).context("the folder for the benchmark")?;
        let path = parent.join(format!("autoos-bench-{}", ids::new(Clock::System.now()).simple()));
        fs::create_dir_all(&path).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("The folder {} was left behind: {error}", self.path.display());
        }
    }
}

/// An address of this machine with a port that nobody uses.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    listener.local_addr().context("no free port")
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        bail!("{} failed: {words}", command.get_program().display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_has_ended_and_a_dropped_folder_is_gone() {
        let folder = Folder::new(&std::env::temp_dir()).unwrap();
        let path = folder.path().to_owned();
        let process = Process::spawn("sleep", Command::new("sleep").arg("600"), &path, "TERM").unwrap();
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_ended_tells_its_last_words() {
        let folder = Folder::new(&std::env::temp_dir()).unwrap();
        let mut command = Command::new("sh");
        let mut process =
            Process::spawn("sh", command.args(["-c", "echo no luck; exit 3"]), folder.path(), "TERM").unwrap();
        process.child.wait().unwrap();
        let error = process.must_run_until(Instant::now() + FAREWELL).unwrap_err().to_string();
        assert!(error.contains("no luck") && error.contains('3'), "{error}");
    }
}
