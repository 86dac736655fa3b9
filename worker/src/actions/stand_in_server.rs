//! A server for tests that gives prepared answers and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers one connection after the other, each with one answer, and closes it.
pub(super) struct StandInServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl StandInServer {
    /// A server on loopback that gives `answers` in turn; each is what follows `HTTP/1.1 `.
    pub(super) async fn start(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answers, log) = (answers.to_vec(), Arc::clone(&seen));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                // A client that has read enough may hang up, which is none of this server's business.
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        Self { address, seen }
    }

    /// The full URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far, as they came over the wire.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// An answer with a body and its length.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("{status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Reads to the end of the body, whose length the headers tell.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request broke off after {text:?}");
        bytes.extend_from_slice(&part[..read]);
    }
}
