//! When a call is made again, and after which pause.
//!
//! Stripe says it in two headers (<https://docs.stripe.com/error-low-level>). Where it does not, its own errors, limits
//! and conflicts pass: a conflict is an earlier attempt of ours that is still at work, whatever type of error it is
//! given. A pause is a random part of what doubles each time, so that those who failed together do not come back
//! together.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// Attempts after the first one.
const MAX_RETRIES: u32 = 3;
/// The longest pause, and the longest that Stripe may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// How long Stripe is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub attempt: Duration,
    /// For all attempts with the pauses between them.
    pub total: Duration,
    /// The longest pause before the second attempt; it doubles with each one more.
    pub first_pause: Duration,
}

impl Default for Patience {
    /// Requests to our API end after 30 seconds, and the rest of their work needs some of it.
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            total: Duration::from_secs(25),
            first_pause: Duration::from_millis(500),
        }
    }
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It would not help, or not within our patience.
    No,
    /// After a pause of ours.
    Soon,
    /// After at least this time.
    After(Duration),
}

impl Again {
    /// What an answer asks for.
    pub(super) fn asked_by(status: StatusCode, headers: &HeaderMap) -> Self {
        let passes = status.is_server_error() || matches!(status.as_u16(), 409 | 424 | 429);
        let wanted = match text(headers, "stripe-should-retry") {
            Some("true") => !status.is_success(),
            Some("false") => false,
            _ => passes,
        };
        let least = text(headers, "retry-after").and_then(|seconds| seconds.trim().parse().ok());
        match least.map(Duration::from_secs) {
            None if wanted => Self::Soon,
            Some(least) if wanted && least <= MAX_PAUSE => Self::After(least),
            _ => Self::No,
        }
    }

    /// The pause after `failed` attempts; none: no more attempts. `part` is random, from 0 to 1.
    pub(super) fn pause(self, failed: u32, first_pause: Duration, part: f64) -> Option<Duration> {
        let least = match self {
            Self::No => return None,
            Self::Soon => Duration::ZERO,
            Self::After(least) => least,
        };
        let most = first_pause.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1))).min(MAX_PAUSE);
        (failed <= MAX_RETRIES).then(|| most.mul_f64(part).max(least))
    }
}

/// A header that is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A random number from 0 to 1. Without randomness retries are merely not spread.
pub(super) fn chance() -> f64 {
    getrandom::u32().map_or(1.0, |bits| f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn asked(status: u16, headers: &[(&'static str, &'static str)]) -> Again {
        let named = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        Again::asked_by(StatusCode::from_u16(status).unwrap(), &headers.iter().map(named).collect())
    }

    #[test]
    fn what_passes_is_tried_again() {
        for (status, expected) in [
            (200, Again::No),
            (400, Again::No),
            (401, Again::No),
            (402, Again::No),
            (404, Again::No),
            (409, Again::Soon),
            (424, Again::Soon),
            (429, Again::Soon),
            (500, Again::Soon),
            (503, Again::Soon),
        ] {
            assert_eq!(asked(status, &[]), expected, "{status}");
        }
    }

    #[test]
    fn stripe_has_the_last_word_on_another_try() {
        assert_eq!(asked(500, &[("stripe-should-retry", "false")]), Again::No);
        assert_eq!(asked(400, &[("stripe-should-retry", "true")]), Again::Soon);
        assert_eq!(asked(200, &[("stripe-should-retry", "true")]), Again::No);
        assert_eq!(asked(400, &[("stripe-should-retry", "perhaps")]), Again::No);
    }

    #[test]
    fn a_pause_that_stripe_asks_for_is_made_unless_it_is_too_long() {
        for (seconds, expected) in [
            ("0", Again::After(Duration::ZERO)),
            ("8", Again::After(Duration::from_secs(8))),
            ("9", Again::No),
            ("3600", Again::No),
            ("Wed, 21 Oct 2026 07:28:00 GMT", Again::Soon),
        ] {
            assert_eq!(asked(429, &[("retry-after", seconds)]), expected, "{seconds}");
        }
        assert_eq!(asked(402, &[("retry-after", "1")]), Again::No);
        assert_eq!(asked(500, &[("retry-after", "1"), ("stripe-should-retry", "false")]), Again::No);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_the_third_retry() {
        let first = Duration::from_millis(500);
        for (failed, part, millis) in [(1, 1.0, 500), (2, 1.0, 1_000), (3, 1.0, 2_000), (3, 0.5, 1_000), (1, 0.0, 0)] {
            assert_eq!(Again::Soon.pause(failed, first, part), Some(Duration::from_millis(millis)), "{failed}, {part}");
        }
        assert_eq!(Again::Soon.pause(4, first, 1.0), None);
        assert_eq!(Again::No.pause(1, first, 1.0), None);
        assert_eq!(Again::Soon.pause(3, Duration::from_mins(1), 1.0), Some(MAX_PAUSE));
        assert_eq!(Again::After(Duration::from_secs(3)).pause(1, first, 1.0), Some(Duration::from_secs(3)));
        assert_eq!(Again::After(Duration::from_secs(3)).pause(4, first, 1.0), None);
    }

    #[test]
    fn chance_is_a_part() {
        assert!((0..100).map(|_| chance()).all(|part| (0.0..=1.0).contains(&part)));
    }
}
