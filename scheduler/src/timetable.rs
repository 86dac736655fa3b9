//! THE TIMETABLE: what is done regularly, and when (UTC).
//!
//! To add a duty: a line in [`TIMETABLE`] and its file in `duties/`. A tick that was missed, because nothing ran or the
//! duty failed, is made up for; of several missed ticks only the latest, since a duty always does all there is to do.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cron::Schedule;
use shared::services::Services;

use crate::duties::{
    Work, compare_stripe, expire_payments, prune, reconcile_stripe, requeue, rotate_signing_keys,
    subscription_warnings, trial_warnings,
};

/// Every duty, with the second, minute, hour, day, month and weekday of its ticks.
pub const TIMETABLE: &[Duty] = &[
    Duty { name: "trial_warnings", cron: "0 0 * * * *", run: |s, now| Box::pin(trial_warnings::run(s, now)) },
    Duty {
        name: "subscription_warnings",
        cron: "0 0 * * * *",
        run: |s, now| Box::pin(subscription_warnings::run(s, now)),
    },
    Duty { name: "requeue", cron: "0 * * * * *", run: |s, now| Box::pin(requeue::run(s, now)) },
    Duty { name: "expire_payments", cron: "0 * * * * *", run: |s, now| Box::pin(expire_payments::run(s, now)) },
    Duty { name: "reconcile_stripe", cron: "0 */10 * * * *", run: |s, now| Box::pin(reconcile_stripe::run(s, now)) },
    Duty { name: "compare_stripe", cron: "0 11 4 * * *", run: |s, now| Box::pin(compare_stripe::run(s, now)) },
    Duty { name: "rotate_signing_keys", cron: "0 7 3 * * *", run: |s, now| Box::pin(rotate_signing_keys::run(s, now)) },
    Duty { name: "prune", cron: "0 17 3 * * *", run: |s, now| Box::pin(prune::run(s, now)) },
];

/// The longest wait: a clock that is set while we wait is noticed after this time, a failed duty is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The finest time that the clock tells.
const INSTANT: TimeDelta = TimeDelta::microseconds(1);

/// A line of the timetable.
pub struct Duty {
    /// Its name: in the table `duties`, on the command line, in logs.
    pub name: &'static str,
    /// When it ticks.
    pub cron: &'static str,
    /// What it does.
    pub run: for<'a> fn(&'a Services, DateTime<Utc>) -> Work<'a>,
}

impl Duty {
    /// The tick that is to be done at `now`, when `last` is the last one that was.
    ///
    /// A `last` between two ticks has never been done: the duty is new, or its line has changed. It is due at once, so
    /// that nobody has to wait for the first tick.
    pub fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let tick = self.latest(now)?;
        (last < tick || self.latest(last) != Some(last)).then_some(tick)
    }

    /// The latest tick that is not after `at`.
    fn latest(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The iterator leaves out its own starting point.
        self.schedule().after(&(at + INSTANT)).next_back()
    }

    /// The first tick after `at`.
    fn next_tick(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedule().after(&at).next()
    }

    #[expect(clippy::expect_used, reason = "the lines are constants, and a test reads each of them")]
    fn schedule(&self) -> Schedule {
        Schedule::from_str(self.cron).expect("a line of the timetable is well-formed")
    }
}

/// How long to wait at `now` for the next tick of any duty.
pub fn pause(now: DateTime<Utc>) -> Duration {
    let next = TIMETABLE.iter().filter_map(|duty| duty.next_tick(now)).min();
    next.and_then(|tick| (tick - now).to_std().ok()).map_or(LONGEST_PAUSE, |wait| wait.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hourly() -> &'static Duty {
        TIMETABLE.iter().find(|duty| duty.name == "trial_warnings").unwrap()
    }

    #[test]
    fn every_line_can_be_read_and_every_name_is_there_once() {
        for duty in TIMETABLE {
            assert!(duty.next_tick(at("2026-01-15T09:00:00Z")).is_some(), "{}", duty.name);
            assert_eq!(TIMETABLE.iter().filter(|other| other.name == duty.name).count(), 1, "{}", duty.name);
        }
    }

    #[test]
    fn a_tick_is_due_from_its_very_moment_until_it_is_done() {
        let (nine, ten) = (at("2026-01-15T09:00:00Z"), at("2026-01-15T10:00:00Z"));
        assert_eq!(hourly().due(nine, at("2026-01-15T09:59:59.999999Z")), None);
        assert_eq!(hourly().due(nine, ten), Some(ten));
        assert_eq!(hourly().due(nine, at("2026-01-15T10:00:00.5Z")), Some(ten));
        assert_eq!(hourly().due(ten, at("2026-01-15T10:59:00Z")), None);
    }

    #[test]
    fn of_many_missed_ticks_only_the_latest_is_due() {
        let due = hourly().due(at("2026-01-08T09:00:00Z"), at("2026-01-15T09:20:00Z"));
        assert_eq!(due, Some(at("2026-01-15T09:00:00Z")));
    }

    #[test]
    fn a_duty_that_was_never_done_is_due_at_once() {
        let now = at("2026-01-15T09:20:00Z");
        assert_eq!(hourly().due(now, now), Some(at("2026-01-15T09:00:00Z")));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_due() {
        assert_eq!(hourly().due(at("2026-01-15T10:00:00Z"), at("2026-01-15T09:20:00Z")), None);
    }

    #[test]
    fn the_pause_ends_at_the_next_tick_and_is_never_long() {
        assert_eq!(pause(at("2026-01-15T09:00:50Z")), Duration::from_secs(10));
        assert_eq!(pause(at("2026-01-15T09:00:00Z")), LONGEST_PAUSE);
    }
}
