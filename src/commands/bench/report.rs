//! The goals, and the table that compares what was measured with them.

/// What the project wants to reach in one mode.
pub struct Goals {
    /// Intents accepted, as a multiple of the database's single inserts.
    pub accepted_of_limit: f64,
    /// Workflows of three steps per second.
    pub wf3_per_second: f64,
    /// CPU time of one of these, in microseconds.
    pub wf3_cpu_us: f64,
    /// The share of a core that the idle system may use, in percent.
    pub idle_percent: f64,
    /// Submit to start: p50 and p99, in milliseconds.
    pub start_ms: (f64, f64),
}

/// What the fastest comparable durable engine, Restate with its Rust SDK, does on a machine of 2 shared vCPUs.
const RESTATE_WF3_PER_SECOND: f64 = 344.0;

impl Goals {
    /// Everything in one process, on `SQLite`.
    pub const EMBEDDED: Self = Self {
        accepted_of_limit: 1.5,
        wf3_per_second: 6.0 * RESTATE_WF3_PER_SECOND,
        wf3_cpu_us: 700.0,
        idle_percent: 0.3,
        start_ms: (2.0, 8.0),
    };
    /// Roles in processes of their own, on Postgres and Redis.
    pub const SCALED: Self = Self {
        accepted_of_limit: 0.5,
        wf3_per_second: 3.0 * RESTATE_WF3_PER_SECOND,
        wf3_cpu_us: 1_200.0,
        idle_percent: 1.0,
        start_ms: (2.0, 8.0),
    };
    /// Memory of all roles while nothing happens.
    pub const IDLE_MB: f64 = 25.0;
    /// Memory of all roles under load, at most.
    pub const LOADED_MB: f64 = 60.0;
    /// What a long history may make of the cost of a step.
    pub const HISTORY_RATIO: f64 = 1.2;
}

enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// One thing that was measured.
pub struct Row {
    what: &'static str,
    unit: &'static str,
    measured: f64,
    goal: Option<Goal>,
    limit: Option<f64>,
}

impl Row {
    /// A row without a goal.
    pub const fn new(what: &'static str, unit: &'static str, measured: f64) -> Self {
        Self { what, unit, measured, goal: None, limit: None }
    }

    /// With a goal that more is better for.
    pub fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    /// With a goal that less is better for.
    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    /// With a limit of the same run that it is set in proportion to.
    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Half of a goal is half as much where more is better, and twice as much where less is.
    fn verdict(&self) -> &'static str {
        let reached = match self.goal {
            None => return "-",
            Some(Goal::AtLeast(goal)) => self.measured / goal,
            Some(Goal::AtMost(goal)) if self.measured > 0.0 => goal / self.measured,
            Some(Goal::AtMost(_)) => f64::INFINITY,
        };
        match reached {
            reached if reached >= 1.0 => "met",
            reached if reached >= 0.5 => "half met",
            _ => "missed",
        }
    }

    fn cells(&self) -> [String; 6] {
        let goal = match self.goal {
            None => "-".to_owned(),
            Some(Goal::AtLeast(goal)) => format!(">= {}", number(goal)),
            Some(Goal::AtMost(goal)) => format!("<= {}", number(goal)),
        };
        [
            self.what.to_owned(),
            format!("{} {}", number(self.measured), self.unit),
            goal,
            self.limit.map_or_else(|| "-".to_owned(), number),
            self.limit.map_or_else(|| "-".to_owned(), |limit| format!("{} x", number(self.measured / limit))),
            self.verdict().to_owned(),
        ]
    }
}

/// Three figures, or all before the point.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The rows under their headings, in columns.
pub fn table(rows: &[Row]) -> String {
    let headings = ["what", "measured", "goal", "limit", "of the limit", "verdict"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(headings).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    lines.iter().map(|line| in_columns(line, &widths)).collect()
}

/// Figures to the right, words to the left.
fn in_columns([what, cells @ .., verdict]: &[String; 6], [first, widths @ .., _]: &[usize; 6]) -> String {
    let figures: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
    format!("{what:<first$}  {}  {verdict}\n", figures.join("  "))
}

/// Tells whoever waits what is being done; not a part of the result.
pub fn progress(what: &str) {
    eprintln!("measuring: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_half_met_or_missed() {
        let more = |measured| Row::new("", "", measured).at_least(10.0).verdict();
        assert_eq!([more(10.0), more(9.9), more(5.0), more(4.9)], ["met", "half met", "half met", "missed"]);
        let less = |measured| Row::new("", "", measured).at_most(10.0).verdict();
        assert_eq!([less(0.0), less(10.0), less(20.0), less(20.1)], ["met", "met", "half met", "missed"]);
        assert_eq!(Row::new("", "", 1.0).verdict(), "-");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [Row::new("speed", "/s", 1_234.0).at_least(500.0).limit(2_468.0), Row::new("long name", "MB", 7.0)];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "what       measured    goal  limit  of the limit  verdict");
        assert_eq!(lines[1], "speed       1234 /s  >= 500   2468        0.50 x  met");
        assert_eq!(lines[2], "long name   7.00 MB       -      -             -  -");
    }
}
