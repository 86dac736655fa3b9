//! `wait`: lets time pass without holding anything.
//!
//! The first run says until when, the engine keeps that as a row with a due time, and the second run, once woken, says
//! when the wait was over.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::actions::params::{MAX_WAIT_SECONDS, Wait};

use super::{ActionError, Done, Run};

/// Begins the wait, or ends it.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: Wait = run.params()?;
    if run.woken {
        return Ok(over(params.until.unwrap_or(run.now)));
    }
    let until = due(&params, run.now)?;
    Ok(if until <= run.now { over(until) } else { Done::WaitUntil(until) })
}

fn due(params: &Wait, now: DateTime<Utc>) -> Result<DateTime<Utc>, ActionError> {
    let seconds = match (params.seconds, params.until) {
        (Some(seconds), None) => seconds,
        (None, Some(until)) => u64::try_from((until - now).num_seconds()).unwrap_or(0),
        _ => return Err(ActionError::Fail("A wait takes either `seconds` or `until`, not both.".into())),
    };
    if seconds > MAX_WAIT_SECONDS {
        return Err(ActionError::Fail("A wait cannot be longer than 366 days.".into()));
    }
    Ok(params.until.unwrap_or(now + TimeDelta::seconds(seconds as i64)))
}

fn over(at: DateTime<Utc>) -> Done {
    Done::Output(json!({ "waited_until": at }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::actions::tests::run_of;

    fn wait(with: Value, woken: bool) -> Result<Done, ActionError> {
        run(&Run { woken, ..run_of("wait", with) })
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_wait_says_until_when() {
        let until = wait(json!({"seconds": 90}), false).unwrap();
        assert_eq!(until, Done::WaitUntil(at("2026-01-01T09:16:30Z")));
        let until = wait(json!({"until": "2026-01-01T12:00:00+02:00"}), false).unwrap();
        assert_eq!(until, Done::WaitUntil(at("2026-01-01T10:00:00Z")));
    }

    #[test]
    fn a_wait_that_was_woken_is_over() {
        let done = wait(json!({"seconds": 90}), true).unwrap();
        assert_eq!(done, Done::Output(json!({"waited_until": "2026-01-01T09:15:00Z"})));
        let done = wait(json!({"until": "2026-01-01T09:14:59Z"}), true).unwrap();
        assert_eq!(done, Done::Output(json!({"waited_until": "2026-01-01T09:14:59Z"})));
    }

    #[test]
    fn a_wait_for_the_past_is_over_at_once() {
        for with in [json!({"seconds": 0}), json!({"until": "1999-12-31T23:59:59Z"})] {
            assert!(matches!(wait(with, false), Ok(Done::Output(_))));
        }
    }

    #[test]
    fn a_wait_of_more_than_a_year_fails() {
        assert!(matches!(wait(json!({"seconds": MAX_WAIT_SECONDS}), false), Ok(Done::WaitUntil(_))));
        for with in [
            json!({"seconds": MAX_WAIT_SECONDS + 1}),
            json!({"seconds": u64::MAX}),
            json!({"until": "2027-01-03T00:00:00Z"}),
        ] {
            assert!(matches!(wait(with, false), Err(ActionError::Fail(_))));
        }
    }
}
