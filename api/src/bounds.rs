//! What one client may take: how long each part of a request may last, and how many connections there are.
//!
//! With all of them together every connection comes to its end whatever its client does. Sizes are constants next to
//! what they limit: the head in `server`, the address and the body in `layers`.

use std::time::Duration;

/// What connections and requests may take, at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the end of one answer, or from connecting, to the whole head of the next request. Idle connections are
    /// closed after it too.
    pub head: Duration,
    /// Until the body has arrived.
    pub body: Duration,
    /// From the head of a request to its answer.
    pub request: Duration,
    /// Until the client takes more of an answer that waits to be sent.
    pub write: Duration,
    /// Connections that are open at once.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(20),
            request: Duration::from_secs(30),
            write: Duration::from_secs(30),
            connections: 10_000,
        }
    }
}
