//! Faults that a test orders for requests to come.

use crate::harness::stand_in_http::Recorded;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Answers that status and does nothing, with `Retry-After` in seconds where one is given.
    Status(u16, Option<u32>),
    /// The same, and `Stripe-Should-Retry` says whether to try again.
    Told(u16, bool),
    /// Does what was asked and closes the connection without an answer.
    Lose,
    /// Closes the connection before anything is done.
    Refuse,
    /// Does what was asked and answers that many milliseconds later.
    Slow(u64),
    /// Does what was asked and answers when the test lets go: see `StripeLike::let_go`.
    Held,
}

/// The faults that are still to come, in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Faults(Vec<Ordered>);

struct Ordered {
    fault: Fault,
    times: usize,
    prefix: String,
}

impl Faults {
    pub(super) fn order(&mut self, fault: Fault, times: usize, prefix: &str) {
        self.0.push(Ordered { fault, times, prefix: prefix.to_owned() });
    }

    /// The first fault ordered for such a request, which is used up by it.
    pub(super) fn take(&mut self, request: &Recorded) -> Option<Fault> {
        let line = format!("{} {}", request.method, request.path);
        let meant = |ordered: &Ordered| {
            let subject = if ordered.prefix.starts_with('/') { &request.path } else { &line };
            ordered.times > 0 && subject.starts_with(&ordered.prefix)
        };
        let ordered = self.0.iter_mut().find(|ordered| meant(ordered))?;
        ordered.times -= 1;
        Some(ordered.fault)
    }
}
