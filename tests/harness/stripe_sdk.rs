//! Stripe's own Python SDK, which signs webhooks and verifies signatures independently of our code.
//!
//! One process answers all that a [`Signer`] asks, so that thousands of payloads take no longer than a second or two.
//! It is `stripe_sdk.py`; for one more question to the SDK add a kind of request there and a method here.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::installed;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/stripe_sdk.py");

/// The running SDK. Its process ends when this is dropped, and when the tests vanish: both end its input.
pub struct Signer(Mutex<Process>);

struct Process {
    child: Child,
    answers: Option<BufReader<ChildStdout>>,
}

impl Signer {
    /// Starts the SDK; the first answer waits until it is loaded.
    pub fn start() -> Self {
        let process = Process::spawn().unwrap_or_else(|error| panic!("starting Stripe's SDK: {error}"));
        Self(Mutex::new(process))
    }

    /// The `Stripe-Signature` header of a payload that was sent at this time, in seconds since 1970.
    pub fn header(&self, payload: &str, secret: &str, timestamp: i64) -> String {
        let answer = self.ask(&json!({"payload": payload, "secret": secret, "timestamp": timestamp}));
        answer["header"].as_str().unwrap_or_else(|| panic!("no header: {answer}")).to_owned()
    }

    /// Whether the header is a signature of the payload, of whatever age.
    pub fn verify(&self, payload: &str, header: &str, secret: &str) -> bool {
        let answer = self.ask(&json!({"payload": payload, "secret": secret, "header": header}));
        answer["valid"].as_bool().unwrap_or_else(|| panic!("no verdict: {answer}"))
    }

    fn ask(&self, request: &Value) -> Value {
        let mut process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        process.ask(request).unwrap_or_else(|error| panic!("asking Stripe's SDK: {error}"))
    }
}

impl Process {
    fn spawn() -> io::Result<Self> {
        let mut command = Command::new(installed::localstripe().join("bin/python"));
        // A group of its own keeps Ctrl-C in the terminal from it.
        command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let answers = child.stdout.take().map(BufReader::new);
        Ok(Self { child, answers })
    }

    fn ask(&mut self, request: &Value) -> io::Result<Value> {
        let (Some(input), Some(answers)) = (&mut self.child.stdin, &mut self.answers) else {
            return Err(io::Error::other("no pipes"));
        };
        // As one text: a value writes itself in many small pieces.
        input.write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Waiting closes the input first, upon which the process ends.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_one";
    const SENT: i64 = 1_790_000_000;

    #[test]
    fn a_header_is_a_signature_of_its_payload_with_its_secret_only() {
        let signer = Signer::start();
        let payload = "{\n  \"id\": \"evt_1\",\n  \"name\": \"naïve \u{2028} 🦀\"\n}";
        let header = signer.header(payload, SECRET, SENT);
        assert!(header.starts_with("t=1790000000,v1="), "{header}");
        assert!(signer.verify(payload, &header, SECRET));
        assert!(!signer.verify(payload, &header, "whsec_other"));
        assert!(!signer.verify(&payload.replace("evt_1", "evt_2"), &header, SECRET));
        assert!(!signer.verify(payload, "nonsense", SECRET));
        assert!(!signer.verify(payload, "", SECRET));
    }

    #[test]
    fn one_process_signs_thousands_of_payloads() {
        let signer = Signer::start();
        let headers: Vec<String> =
            (0..10_000).map(|n| signer.header(&format!("{{\"n\": {n}}}"), SECRET, SENT)).collect();
        assert!(signer.verify(r#"{"n": 9999}"#, &headers[9_999], SECRET));
        assert!(!signer.verify(r#"{"n": 9999}"#, &headers[0], SECRET));
    }
}
