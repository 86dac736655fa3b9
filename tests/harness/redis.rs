//! Real Redis servers: one shared by all tests, or one for a test that stalls, kills and restarts it.
//!
//! `shared` is enough for whoever only needs a queue; it gives each test its own database number. `RedisServer::start`
//! is for tests of failure. Both append to a file and flush it each second, the setting that we recommend to users. For
//! one more kind of fault add a method that sends a signal or a command.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::child::{Guarded, free_port, signal, temp_dir};

const DATABASES: u32 = 4096;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The part of the shared server that belongs to one test.
pub struct Share {
    /// URL with a database number that no other test of this process uses.
    pub url: String,
    /// A prefix for names that Redis does not keep apart by database, such as those of channels.
    pub namespace: String,
}

/// A place of its own for the calling test on the server that all tests of this process share.
pub fn shared() -> Share {
    static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < DATABASES, "more tests than Redis databases: raise DATABASES");
    Share { url: format!("redis://127.0.0.1:{}/{number}", SERVER.port), namespace: format!("test{number}:") }
}

/// A Redis server of its own, killed and removed when dropped.
pub struct RedisServer {
    process: Guarded,
    port: u16,
    dir: TempDir,
}

impl RedisServer {
    /// Starts an empty server and waits until it answers.
    pub fn start() -> Self {
        let dir = temp_dir();
        let port = free_port();
        Self { process: launch(port, dir.path()), port, dir }
    }

    /// URL of its first database; it stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Freezes the server for that long, connections stay open; returns at once.
    pub fn stall(&self, length: Duration) {
        let pid = self.process.pid();
        signal(pid, "STOP");
        thread::spawn(move || {
            thread::sleep(length);
            signal(pid, "CONT");
        });
    }

    /// Kills the server as a crash would. What it has acknowledged is in the file: only a crash of the whole machine
    /// could lose the last second.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after `kill`, on the same port and with the data it had.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.port, self.dir.path());
    }

    /// Deletes all its data, as if the server had lost everything.
    pub fn flush(&self) {
        let answer = ask(self.port, &["FLUSHALL"]);
        assert!(answer.as_ref().is_ok_and(|line| line == "+OK"), "FLUSHALL: {answer:?}");
    }
}

fn launch(port: u16, dir: &Path) -> Guarded {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--databases", &DATABASES.to_string()]);
    command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir"]).arg(dir);
    let mut process = Guarded::spawn(&mut command, dir, "KILL");
    process.wait_until(|| ask(port, &["PING"]).is_ok_and(|line| line == "+PONG"));
    process
}

/// Sends one command and returns the first line of the answer.
fn ask(port: u16, words: &[&str]) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        write!(request, "${}\r\n{word}\r\n", word.len())?;
    }
    stream.write_all(&request)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn answer(server: &RedisServer, words: &[&str]) -> String {
        ask(server.port, words).expect("answers")
    }

    #[test]
    fn what_was_acknowledged_survives_a_kill_but_not_a_flush() {
        let mut server = RedisServer::start();
        let url = server.url();
        assert_eq!(answer(&server, &["SET", "key", "value"]), "+OK");
        server.kill();
        assert!(ask(server.port, &["PING"]).is_err());
        server.restart();
        assert_eq!(server.url(), url);
        assert_eq!(answer(&server, &["EXISTS", "key"]), ":1");
        server.flush();
        assert_eq!(answer(&server, &["EXISTS", "key"]), ":0");
    }

    #[test]
    fn a_stalled_server_answers_when_the_stall_is_over() {
        let server = RedisServer::start();
        let begin = Instant::now();
        server.stall(Duration::from_millis(300));
        assert_eq!(answer(&server, &["PING"]), "+PONG");
        assert!(begin.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn two_tests_share_the_server_but_not_the_place() {
        let (first, second) = (shared(), shared());
        assert_ne!(first.url, second.url);
        assert_ne!(first.namespace, second.namespace);
    }
}
