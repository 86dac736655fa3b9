//! A flood of sign-ins: over more connections than there are places for, each of them its own account from a network of
//! its own, always with the right password, since wrong ones would soon be throttled.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use shared::passwords::{PLACES, Passwords, default_threads};
use tokio::task::JoinSet;

use super::client::{Connection, has_header, request};
use super::phases::{millis, p50_p99};
use super::users::{USERS, email};

const PASSWORD: &str = "Correct-Horse7-Battery";
/// How often the password is checked to see how long that takes.
const CHECKS: u32 = 10;
/// How soon a client that was shed comes again: fifty times sooner than it is told to.
const IMPATIENCE: Duration = Duration::from_millis(20);
/// As many connections as a process may usually have descriptors for, with some left.
const CONNECTIONS: usize = 800;
/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The one password of all accounts.
pub struct Hashed {
    /// Its hash.
    pub hash: String,
    /// How many times per second the roles could check it if they had nothing else to do.
    pub checks_per_second: f64,
    /// How long one check takes, in milliseconds.
    pub check_ms: f64,
}

/// What the flood came to.
pub struct Flooded {
    /// Sign-ins per second.
    pub per_second: f64,
    /// How long each took: p50 and p99, in milliseconds.
    pub took_ms: (f64, f64),
    /// Those that were shed, in percent of all.
    pub shed_percent: f64,
}

/// Hashes the password and checks it some times, while nothing else runs, for that many APIs.
pub async fn hashed(apis: usize) -> anyhow::Result<Hashed> {
    let passwords = Passwords::new(1)?;
    let hash = passwords.hash(PASSWORD.to_owned()).await?;
    let begin = Instant::now();
    for _ in 0..CHECKS {
        if !passwords.verify(PASSWORD.to_owned(), Some(hash.clone())).await? {
            bail!("the password does not belong to its own hash");
        }
    }
    let check = begin.elapsed() / CHECKS;
    Ok(Hashed {
        hash,
        checks_per_second: (apis * default_threads()) as f64 / check.as_secs_f64(),
        check_ms: millis(check),
    })
}

/// Signs in until `span` is over, over twice as many connections as all APIs together have places. An error if a sign-in
/// is refused, or shed without a word on when to come again.
pub async fn flood(apis: &[SocketAddr], span: Duration) -> anyhow::Result<Flooded> {
    let begin = Instant::now();
    let connections = (2 * PLACES * default_threads() * apis.len()).min(CONNECTIONS);
    let mut clients = JoinSet::new();
    for (number, api) in (0..connections).zip(apis.iter().cycle()) {
        let connection = Connection::open_from(network(number as u16), *api).await;
        let connection = connection.context("the API takes no connection")?;
        clients.spawn(sign_in_until(begin + span, connection, sign_in(number)));
    }
    let all = tokio::time::timeout(span + PATIENCE, sum(clients));
    all.await.context("the API does not answer any more")??.over(begin.elapsed())
}

/// Networks that sign-ins come from are throttled, so each connection has one of its own: on Linux every address in
/// 127.0.0.0/8 is this machine's.
fn network(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

fn sign_in(number: usize) -> Vec<u8> {
    let body = json!({"email": email(number % USERS), "password": PASSWORD});
    request("POST", "/auth/signin", "", &body.to_string())
}

async fn sign_in_until(end: Instant, mut connection: Connection, request: Vec<u8>) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while Instant::now() < end {
        let sent = Instant::now();
        let status = connection.send(&request).await.context("signing in")?;
        if !tally.count(status, &connection.answer(), sent.elapsed())? {
            tokio::time::sleep(IMPATIENCE).await;
        }
    }
    Ok(tally)
}

async fn sum(mut clients: JoinSet<anyhow::Result<Tally>>) -> anyhow::Result<Tally> {
    let mut all = Tally::default();
    while let Some(ended) = clients.join_next().await {
        let one = ended.context("a client broke down").flatten()?;
        all.took_ms.extend(one.took_ms);
        all.shed += one.shed;
    }
    Ok(all)
}

/// What became of sign-ins.
#[derive(Default)]
struct Tally {
    /// How long those took that succeeded.
    took_ms: Vec<f64>,
    shed: usize,
}

impl Tally {
    /// Counts an answer and says whether it lets somebody in; an error if it is none that the flood may get.
    fn count(&mut self, status: u16, answer: &str, took: Duration) -> anyhow::Result<bool> {
        match status {
            200 => self.took_ms.push(millis(took)),
            503 if has_header(answer, "Retry-After") => self.shed += 1,
            503 => bail!("a sign-in was shed without Retry-After: {answer}"),
            _ => bail!("a sign-in was refused: {answer}"),
        }
        Ok(status == 200)
    }

    fn over(self, span: Duration) -> anyhow::Result<Flooded> {
        if self.took_ms.is_empty() {
            bail!("nobody could sign in");
        }
        let (signed_in, shed) = (self.took_ms.len() as f64, self.shed as f64);
        Ok(Flooded {
            per_second: signed_in / span.as_secs_f64(),
            took_ms: p50_p99(self.took_ms),
            shed_percent: 100.0 * shed / (signed_in + shed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHED: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn sign_ins_that_succeed_and_that_are_shed_are_counted_apart() {
        let mut tally = Tally::default();
        for took in [100, 300] {
            assert!(tally.count(200, "", Duration::from_millis(took)).unwrap());
        }
        for _ in 0..6 {
            assert!(!tally.count(503, SHED, Duration::from_millis(1)).unwrap());
        }
        let flooded = tally.over(Duration::from_secs(4)).unwrap();
        assert_eq!((flooded.per_second, flooded.took_ms, flooded.shed_percent), (0.5, (100.0, 300.0), 75.0));
    }

    #[test]
    fn a_flood_ends_with_an_answer_that_it_must_not_get() {
        let mut tally = Tally::default();
        let without = SHED.replace("retry-after", "x-other");
        for (status, answer) in [(503, without.as_str()), (429, SHED), (401, ""), (500, "")] {
            assert!(tally.count(status, answer, Duration::ZERO).is_err(), "{status}");
        }
        assert!(tally.over(Duration::from_secs(1)).is_err());
    }

    #[test]
    fn each_connection_has_a_network_of_its_own() {
        assert_eq!(network(0), Ipv4Addr::new(127, 1, 0, 0));
        assert_eq!(network(799), Ipv4Addr::new(127, 1, 3, 31));
    }
}
