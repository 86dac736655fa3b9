//! A client that costs as little CPU as possible, since it shares the machine with what it measures.
//!
//! HTTP/1.1 over one kept connection, requests as ready-made bytes; of an answer only the status and the length are
//! read. It is good for the answers of this program and no others: it expects a `Content-Length`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Room for an answer of the usual size.
const ROOM: usize = 4096;

/// The bytes of a request; with neither token nor body where these are empty.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Connects from an address of this machine.
    pub async fn open_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        Self::over(socket.connect(address).await?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(ROOM) })
    }

    /// Sends a request, waits for the whole answer and gives its status.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, length)) = head(&self.answer)?
                && self.answer.len() >= length
            {
                return Ok(status);
            }
        }
    }

    /// The last answer as text, for telling what went wrong and for looking at its headers.
    pub fn answer(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }
}

/// Whether an answer has a header of that name.
pub fn has_header(answer: &str, name: &str) -> bool {
    let headers = answer.lines().skip(1).take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    headers.map(|(found, _)| found).any(|found| found.eq_ignore_ascii_case(name))
}

/// Status and whole length of an answer, once its head is there.
fn head(answer: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "an answer without status or length");
    let text = std::str::from_utf8(&answer[..end]).map_err(|_| strange())?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(strange)?;
    let mut headers = text.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).ok_or_else(strange)?;
    Ok(Some((status, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_measured_as_soon_as_its_head_is_there() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 7\r\n\r\n{}";
        assert_eq!(head(answer).unwrap(), Some((202, answer.len() + 5)));
        assert_eq!(head(&answer[..40]).unwrap(), None);
        assert!(head(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }

    #[test]
    fn a_header_is_found_whatever_its_case_and_not_in_the_body() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nContent-Length: 13\r\n\r\nAllow: nobody";
        assert!(has_header(answer, "Retry-After"));
        assert!(!has_header(answer, "Allow"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_comes_from_the_address_that_it_is_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = Ipv4Addr::new(127, 1, 2, 3);
        let _connection = Connection::open_from(source, listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1.ip(), source);
    }

    #[tokio::test]
    async fn two_requests_share_a_connection_and_an_answer_may_come_in_pieces() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wanted = request("POST", "/", "token", "{}");
        let length = wanted.len();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; length];
            for _ in 0..2 {
                stream.read_exact(&mut asked).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n").await.unwrap();
                stream.write_all(b"\r\no").await.unwrap();
                stream.write_all(b"k").await.unwrap();
            }
            asked
        });
        let mut connection = Connection::open(address).await.unwrap();
        for _ in 0..2 {
            assert_eq!(connection.send(&wanted).await.unwrap(), 200);
            assert!(connection.answer().ends_with("ok"));
        }
        assert_eq!(server.await.unwrap(), wanted);
    }
}
