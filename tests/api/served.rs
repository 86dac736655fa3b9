//! The server in process with bounds of a test's choice, and a client that no library keeps from doing wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::api::Bounds;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use shared::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::engines::App;
use crate::journeys::client::{Answer, Client};

/// How long anything may take before the test fails; far more than it should.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The server of one test.
pub struct Served {
    /// Told to end, it lets nobody in and finishes what it has begun.
    pub stop: CancellationToken,
    address: SocketAddr,
    serving: JoinHandle<()>,
    _app: App,
}

impl Served {
    pub async fn start(bounds: Bounds, change: impl FnOnce(&mut Config)) -> Self {
        let mut app = App::sqlite(&[]).await;
        let mut config = (*app.services.config).clone();
        change(&mut config);
        app.services.config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, stop) = (listener.local_addr().expect("an address"), CancellationToken::new());
        let serving = tokio::spawn(::api::serve(listener, app.services.clone(), bounds, stop.clone()));
        Self { stop, address, serving, _app: app }
    }

    /// With the bounds and the settings that everybody has.
    pub async fn as_usual() -> Self {
        Self::start(Bounds::default(), |_| {}).await
    }

    /// A well-behaved client.
    pub fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }

    /// A connection to do anything with.
    pub async fn connect(&self) -> Raw {
        Raw { stream: TcpStream::connect(self.address).await.expect("a connection"), read: Vec::new() }
    }

    /// Waits until connections are refused.
    pub async fn lets_nobody_in(&self) {
        let refused = async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, refused).await.expect("an end of new connections");
    }

    /// Waits for the end of the server.
    pub async fn ended(self) {
        timeout(PATIENCE, self.serving).await.expect("an end").expect("no panic");
    }
}

/// One connection, byte by byte.
pub struct Raw {
    /// To be read from only through the methods here.
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("a server that listens");
    }

    /// A request without a body, and its answer.
    pub async fn ask(&mut self, method: &str, target: &str) -> Answer {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        self.answer().await
    }

    /// Reads an answer.
    pub async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers: HeaderMap = lines.filter_map(header).collect();
        let length = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        let length: usize = length.unwrap_or_default();
        while self.read.len() < length {
            assert!(self.more().await, "half an answer: {head}");
        }
        let text = String::from_utf8(self.read.drain(..length).collect()).expect("text");
        Answer { status: status.unwrap_or_else(|| panic!("no status: {head}")), headers, text }
    }

    /// Reads up to and including a mark.
    pub async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.read.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                return String::from_utf8(self.read.drain(..at + mark.len()).collect()).expect("text");
            }
            assert!(self.more().await, "closed before {mark:?}");
        }
    }

    /// Reads until the server closes the connection.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    /// Whether there is more, which is read.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut chunk)).await.expect("an answer or the end in time") {
            // A reset is an end as well: the server need not take what it will not read.
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.read.extend_from_slice(&chunk[..length]);
                true
            }
        }
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(": ")?;
    Some((name.parse().ok()?, value.parse().ok()?))
}
