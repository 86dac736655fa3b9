//! `wait`: lets time pass without holding anything.
//!
//! It only says until when; the engine keeps that as a row with a due time and completes the step then.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::actions::params::{MAX_WAIT_SECONDS, Wait};

use super::{ActionError, Done, Run};

/// Begins the wait; one for the past is over at once.
pub(super) fn run(run: &Run) -> Result<Done, ActionError> {
    let params: Wait = run.params()?;
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

    fn wait(with: Value) -> Result<Done, ActionError> {
        run(&run_of("wait", with))
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_wait_says_until_when() {
        let until = wait(json!({"seconds": 90})).unwrap();
        assert_eq!(until, Done::WaitUntil(at("2026-01-01T09:16:30Z")));
        let until = wait(json!({"until": "2026-01-01T12:00:00+02:00"})).unwrap();
        assert_eq!(until, Done::WaitUntil(at("2026-01-01T10:00:00Z")));
    }

    #[test]
    fn a_wait_for_the_past_is_over_at_once() {
        for with in [json!({"seconds": 0}), json!({"until": "1999-12-31T23:59:59Z"})] {
            assert!(matches!(wait(with), Ok(Done::Output(_))));
        }
    }

    #[test]
    fn a_wait_of_more_than_a_year_fails() {
        assert!(matches!(wait(json!({"seconds": MAX_WAIT_SECONDS})), Ok(Done::WaitUntil(_))));
        for with in [
            json!({"seconds": MAX_WAIT_SECONDS + 1}),
            json!({"seconds": u64::MAX}),
            json!({"until": "2027-01-03T00:00:00Z"}),
        ] {
            assert!(matches!(wait(with), Err(ActionError::Fail(_))));
        }
    }
}
