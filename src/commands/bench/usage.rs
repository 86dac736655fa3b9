//! What processes have used, as Linux tells it in `/proc`.
//!
//! Under load the kernel's whole ticks are read, because they survive threads and processes that end: what a process
//! has used is added to its parent's when that has waited for it. The idle system uses less than a tick, so there the
//! scheduler's nanoseconds of each thread are read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

/// A tick of `/proc/<pid>/stat`: 1/100 s for programs on every architecture of Linux that this one is built for.
const TICK: Duration = Duration::from_millis(10);
/// What the servers' processes are called.
const SERVER_NAMES: [&str; 2] = ["postgres", "redis-server"];

/// An error where there is no such `/proc`.
pub fn check() -> anyhow::Result<()> {
    if !Path::new("/proc/self/stat").exists() {
        bail!("the benchmark needs Linux: it reads what processes use from /proc");
    }
    Ok(())
}

/// Servers whose CPU time counts.
#[derive(Debug, Clone)]
pub enum Servers {
    /// There are none.
    None,
    /// These processes and their children.
    Own(Vec<u32>),
    /// Every process on this machine that has a server's name.
    ByName,
}

/// The processes of the measured system.
pub struct Watch {
    /// The roles.
    pub roles: Vec<u32>,
    /// The servers.
    pub servers: Servers,
}

/// Nanoseconds on a CPU, by thread.
pub struct Threads(BTreeMap<u32, u64>);

impl Threads {
    /// What was used until a later look; threads that ended in between are left out.
    pub fn until(&self, later: &Self) -> Duration {
        let used = |(thread, nanos): (&u32, &u64)| nanos.saturating_sub(self.0.get(thread).copied().unwrap_or(0));
        Duration::from_nanos(later.0.iter().map(used).sum())
    }
}

impl Watch {
    /// CPU time so far of roles, servers and the benchmark itself, in whole ticks.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let own = std::process::id();
        let mut ticks = 0;
        for process in processes()? {
            if self.is_server(&process) {
                ticks += process.ticks + process.children_ticks;
            } else if process.pid == own || self.roles.contains(&process.pid) {
                ticks += process.ticks;
            }
        }
        Ok(TICK * u32::try_from(ticks).context("so much CPU time")?)
    }

    /// CPU time so far of roles and servers, exactly.
    pub fn exact_cpu(&self) -> anyhow::Result<Threads> {
        let mut threads = BTreeMap::new();
        for process in processes()? {
            if self.is_server(&process) || self.roles.contains(&process.pid) {
                threads.extend(threads_of(process.pid));
            }
        }
        if threads.is_empty() {
            bail!("this kernel does not tell the CPU time of threads (CONFIG_SCHED_INFO)");
        }
        Ok(Threads(threads))
    }

    fn is_server(&self, process: &Stat) -> bool {
        match &self.servers {
            Servers::None => false,
            Servers::Own(roots) => roots.contains(&process.pid) || roots.contains(&process.parent),
            Servers::ByName => SERVER_NAMES.contains(&process.name.as_str()),
        }
    }

    /// Memory of the roles now, in megabytes.
    pub fn memory(&self) -> anyhow::Result<f64> {
        self.megabytes("VmRSS:")
    }

    /// The most memory that each role ever had, added up, in megabytes.
    pub fn peak_memory(&self) -> anyhow::Result<f64> {
        self.megabytes("VmHWM:")
    }

    fn megabytes(&self, key: &str) -> anyhow::Result<f64> {
        let mut kilobytes = 0_u64;
        for pid in &self.roles {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a role has ended")?;
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok());
            kilobytes += number.context("a role's memory is not told")?;
        }
        Ok(kilobytes as f64 / 1024.0)
    }
}

struct Stat {
    pid: u32,
    parent: u32,
    name: String,
    ticks: u64,
    /// Ticks of children that have ended and were waited for.
    children_ticks: u64,
}

fn processes() -> anyhow::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc").context("/proc cannot be read")?.flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_process(name));
    // One that ends meanwhile cannot be read; it has been added to its parent's, or is not ours.
    Ok(numbers.filter_map(|pid| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect())
}

/// Reads a line of `/proc/<pid>/stat`; the name is in parentheses and may have any character in it.
fn parse(line: &str) -> Option<Stat> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        ticks: ticks(11)? + ticks(12)?,
        children_ticks: ticks(13)? + ticks(14)?,
    })
}

fn threads_of(pid: u32) -> Vec<(u32, u64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let one = |task: fs::DirEntry| {
        let nanos = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let thread = task.file_name().into_string().ok()?;
        Some((thread.parse::<u32>().ok()?, nanos.split_whitespace().next()?.parse::<u64>().ok()?))
    };
    tasks.flatten().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = parse("42 (a b) c) S 7 42 42 0 -1 4194304 99 0 0 0 11 22 33 44 20 0 1 0 782272").unwrap();
        assert_eq!((stat.pid, stat.parent, stat.name.as_str()), (42, 7, "a b) c"));
        assert_eq!((stat.ticks, stat.children_ticks), (33, 77));
        assert!(parse("42 (cut off) S 7").is_none());
    }

    #[test]
    fn threads_count_from_the_first_look_and_new_ones_from_nothing() {
        let before = Threads(BTreeMap::from([(1, 100), (2, 50)]));
        let after = Threads(BTreeMap::from([(1, 160), (3, 7)]));
        assert_eq!(before.until(&after), Duration::from_nanos(67));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_threads() {
        let watch = Watch { roles: vec![std::process::id()], servers: Servers::None };
        assert!(watch.memory().unwrap() > 0.0);
        assert!(watch.peak_memory().unwrap() >= watch.memory().unwrap() / 2.0);
        assert!(!watch.exact_cpu().unwrap().0.is_empty());
        watch.cpu().unwrap();
    }
}
