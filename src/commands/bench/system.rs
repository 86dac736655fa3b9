//! The measured system: roles of this same program as processes, with the settings that they have by default.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::time::timeout;

use super::Options;
use super::client::{Connection, request};
use super::place::Place;
use super::process::{Process, free_address};

/// How long the roles may take to become ready.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(2);
/// How long one question may take before the roles are looked at again.
const ANSWER: Duration = Duration::from_secs(1);
/// The benchmark's users must never meet a limit of their tier.
const UNLIMITED: [(&str, &str); 3] = [
    ("TIERS_ENTERPRISE_INTENTS_PER_MINUTE", "1000000"),
    ("TIERS_ENTERPRISE_INTENTS_PER_HOUR", "1000000"),
    ("TIERS_ENTERPRISE_WORKFLOWS_PER_MONTH", "unlimited"),
];

/// The running roles; they are stopped when this value is dropped.
pub struct System {
    roles: Vec<Process>,
    /// Where HTTP is answered.
    pub apis: Vec<SocketAddr>,
    /// How long it took from the first start until every API was ready.
    pub ready_after: Duration,
}

impl System {
    /// Starts the roles and waits until they are ready.
    pub async fn start(place: &Place, secret: &str, options: &Options) -> anyhow::Result<Self> {
        let launcher = Launcher { place, secret };
        let begin = Instant::now();
        let mut system = Self { roles: Vec::new(), apis: Vec::new(), ready_after: Duration::ZERO };
        for number in 0..options.apis() {
            let address = free_address()?;
            let role = if options.is_scaled() { "api" } else { "serve" };
            system.roles.push(launcher.launch(role, number, address)?);
            system.apis.push(address);
        }
        if options.is_scaled() {
            for number in 0..options.worker_processes {
                system.roles.push(launcher.launch("worker", number, free_address()?)?);
            }
            system.roles.push(launcher.launch("scheduler", 0, free_address()?)?);
        }
        system.wait(begin + PATIENCE).await?;
        system.ready_after = begin.elapsed();
        Ok(system)
    }

    async fn wait(&mut self, deadline: Instant) -> anyhow::Result<()> {
        for api in &self.apis {
            while !is_ready(*api).await {
                for role in &mut self.roles {
                    role.must_run_until(deadline)?;
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The process ids of the roles.
    pub fn pids(&self) -> Vec<u32> {
        self.roles.iter().map(Process::pid).collect()
    }
}

async fn is_ready(api: SocketAddr) -> bool {
    let asked = async {
        let mut connection = Connection::open(api).await?;
        connection.send(&request("GET", "/health/ready", "", "")).await
    };
    // The port is open before anybody answers there.
    matches!(timeout(ANSWER, asked).await, Ok(Ok(200)))
}

struct Launcher<'a> {
    place: &'a Place,
    secret: &'a str,
}

impl Launcher<'_> {
    fn launch(&self, role: &str, number: u8, address: SocketAddr) -> anyhow::Result<Process> {
        let program = std::env::current_exe().context("finding this program")?;
        let folder: &Path = self.place.folder().path();
        let mut command = Command::new(program);
        // Settings of whoever runs the benchmark must not change what is measured.
        command.arg(role).env_clear().current_dir(folder).envs(UNLIMITED).envs(self.place.settings());
        command.env("JWT_SECRET", self.secret).env("BIND", address.to_string());
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var_os(name).unwrap_or_default());
        }
        Process::spawn(&format!("{role}-{number}"), &mut command, folder, "TERM")
    }
}
