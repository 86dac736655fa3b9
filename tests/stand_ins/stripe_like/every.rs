//! How often a price is paid, and when the periods of that end.

use chrono::{DateTime, Months};

/// One day in seconds.
pub(super) const DAY: i64 = 24 * 60 * 60;

const UNITS: [&str; 4] = ["day", "week", "month", "year"];

/// An interval: `count` days, weeks, months or years.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Every {
    pub(super) unit: &'static str,
    pub(super) count: u32,
}

impl Every {
    /// None where there is no such unit or the count is not between 1 and 1095.
    pub(super) fn read(unit: &str, count: i64) -> Option<Self> {
        let unit = UNITS.into_iter().find(|known| *known == unit)?;
        let count = u32::try_from(count).ok().filter(|count| (1..=1095).contains(count))?;
        Some(Self { unit, count })
    }

    /// The moment that many intervals after `start`: on the same day of the month or, where it is shorter, on its last.
    pub(super) fn after(self, start: i64, times: u32) -> i64 {
        let steps = self.count * times;
        let months = match self.unit {
            "day" => return start + i64::from(steps) * DAY,
            "week" => return start + i64::from(steps) * 7 * DAY,
            "month" => steps,
            _ => steps * 12,
        };
        let moved = DateTime::from_timestamp(start, 0).and_then(|at| at.checked_add_months(Months::new(months)));
        moved.unwrap_or_else(|| panic!("{months} months after {start} is out of range")).timestamp()
    }
}
