//! A real SMTP server (aiosmtpd) that keeps every accepted message, to test what our mails look like on arrival.
//!
//! Recipients `tempfail@…` are refused with 451 (try again) and `bounce@…` with 550 (never), at any domain. The server
//! itself is `smtp_server.py`; for one more refusal add a line to its table.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::child::{Guarded, free_port, temp_dir};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/smtp_server.py");
const TIMEOUT: Duration = Duration::from_secs(10);

/// An SMTP server without TLS and authentication on 127.0.0.1, stopped and removed when dropped.
pub struct SmtpServer {
    _process: Guarded,
    port: u16,
    dir: TempDir,
}

impl SmtpServer {
    /// Starts the server and waits for its greeting.
    pub fn start() -> Self {
        let dir = temp_dir();
        let port = free_port();
        let mut command = Command::new(python());
        command.arg(SCRIPT).arg(port.to_string()).arg(dir.path());
        let mut process = Guarded::spawn(&mut command, dir.path(), "KILL");
        process.wait_until(|| greets(port));
        Self { _process: process, port, dir }
    }

    /// The port to set as `SMTP_PORT`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All messages accepted so far, raw and in the order of their arrival.
    pub fn messages(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap_or_else(|error| panic!("directory of mails: {error}"));
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "eml"));
        files.sort();
        files.iter().map(|file| read(file)).collect()
    }
}

fn read(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut line = String::new();
    stream.set_read_timeout(Some(TIMEOUT)).is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && line.starts_with("220")
}

/// A Python that has aiosmtpd: the first one in `PATH` may be another than Debian's, for which the package is installed.
fn python() -> &'static str {
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| {
            let mut command = Command::new(python);
            command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        })
        .unwrap_or_else(|| panic!("no Python with aiosmtpd: .ci/test installs what the tests need"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Says the lines one by one and returns the code of each answer.
    fn talk(port: u16, lines: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
        let mut writer = stream.try_clone().expect("clones");
        let mut answers = BufReader::new(stream).lines();
        answers.next().expect("greeting").expect("greeting");
        let mut say = |line: &str| {
            write!(writer, "{line}\r\n").expect("writes");
            answers.next().expect("answer").expect("answer")[..3].to_owned()
        };
        lines.iter().map(|line| say(line)).collect()
    }

    #[test]
    fn accepted_mail_is_kept_and_the_two_refusals_are_answered() {
        let server = SmtpServer::start();
        let envelope = ["HELO test", "MAIL FROM:<us@example.com>"];
        let recipients = ["RCPT TO:<tempfail@a.test>", "RCPT TO:<bounce@b.test>", "RCPT TO:<ann@c.test>"];
        let message = ["DATA", "Subject: hello\r\n\r\nfirst line\r\n..second line\r\n."];
        let codes = talk(server.port(), &[&envelope[..], &recipients, &message, &["QUIT"]].concat());
        assert_eq!(codes, ["250", "250", "451", "550", "250", "354", "250", "221"]);
        assert_eq!(server.messages(), ["Subject: hello\r\n\r\nfirst line\r\n.second line\r\n"]);
    }
}
