//! Captures: the parts of an intent that a phrase picks out, such as an address or a time, and what each may look like.
//!
//! A kind is a pattern for the regular expression and a check that turns the matched text into a value. To add one: a
//! variant of [`Kind`], a line in [`Kind::named`], [`Kind::pattern`], [`Kind::read`] and [`Kind::sample`], and a row in
//! `docs/recipes.md`. A pattern may only use non-capturing groups.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use email_address::EmailAddress;
use serde_json::{Value, json};
use url::Url;

/// The longest delay, as of the action `wait`.
const LONGEST_DELAY: u64 = crate::actions::params::MAX_WAIT_SECONDS;
/// The longest name, in bytes: it must fit into the subject of a mail.
const LONGEST_NAME: usize = 150;

/// Words that say when or whether, so that what holds them is more than the name of something. Without this list, "the
/// report on sales after I approve" would be a report on "sales after I approve", mailed at once.
const CONDITIONS: [&str; 16] = [
    "if", "unless", "when", "whenever", "after", "before", "until", "once", "every", "each", "tomorrow", "tonight",
    "then", "later", "not", "except",
];

/// What a phrase found in an intent, by name.
pub(super) type Captures = BTreeMap<String, Captured>;

/// One thing found in an intent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Captured {
    /// As it reads within a sentence.
    pub text: String,
    /// As it is used where it stands alone.
    pub value: Value,
}

impl Captured {
    fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { value: Value::String(text.clone()), text }
    }

    /// What the author of a recipe put in place of a capture that is absent.
    pub(super) fn fallback(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::text(text.as_str()),
            other => Self { text: other.to_string(), value: other.clone() },
        }
    }
}

/// What a capture may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// Any text on one line.
    Line,
    /// Up to eight words without punctuation and without a condition: the name of something.
    Words,
    /// Anything without white space, commas and semicolons.
    Word,
    /// A mail address.
    Email,
    /// An address that begins with `http://` or `https://`.
    Url,
    /// As `Url`, or a bare host name such as `example.com`.
    Site,
    /// A decimal number.
    Number,
    /// A moment or a delay.
    Time,
}

impl Kind {
    /// The kind that a phrase calls `name`; a capture without a kind is a text.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "text" => Self::Text,
            "line" => Self::Line,
            "words" => Self::Words,
            "word" => Self::Word,
            "email" => Self::Email,
            "url" => Self::Url,
            "site" => Self::Site,
            "number" => Self::Number,
            "time" => Self::Time,
            _ => return None,
        })
    }

    /// The regular expression of this kind; at the end of a phrase a text takes all that is left, its full stop too.
    pub(super) const fn pattern(self, last: bool) -> &'static str {
        match (self, last) {
            (Self::Text, true) => r"\S.*",
            (Self::Text, false) => r"\S.*?",
            (Self::Line, true) => r"\S[^\r\n]*",
            (Self::Line, false) => r"\S[^\r\n]*?",
            (Self::Words, _) => r"[^\s.,;:!?]+(?:[ \t]+[^\s.,;:!?]+){0,7}?",
            (Self::Word, _) => r"[^\s,;]*[^\s,;:!?.]",
            (Self::Email, _) => r#"[^\s@<>()\[\]{},;:"]+@[^\s@<>()\[\]{},;:"]*[a-z0-9]"#,
            (Self::Url, _) => r#"https?://[^\s<>"{}|\\^`]*[^\s<>"{}|\\^`.,;:!?)']"#,
            (Self::Site, _) => concat!(
                r#"(?:https?://[^\s<>"{}|\\^`]*[^\s<>"{}|\\^`.,;:!?)']"#,
                r#"|(?:[a-z0-9-]+\.)+[a-z]{2,}(?:/[^\s<>"{}|\\^`]*[^\s<>"{}|\\^`.,;:!?)'])?/?)"#
            ),
            (Self::Number, _) => r"-?[0-9]+(?:\.[0-9]+)?",
            (Self::Time, _) => concat!(
                r"(?:(?:in|after)\s+(?:[0-9]+|an?|one)\s*(?:seconds?|secs?|minutes?|mins?|hours?|days?|weeks?)",
                r"|(?:(?:at|on|after)\s+)?[0-9]{4}-[0-9]{2}-[0-9]{2}[t ][0-9]{2}:[0-9]{2}:[0-9]{2}",
                r"(?:\.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2}))"
            ),
        }
    }

    /// What `text` means as this kind; nothing when it only looks like it.
    pub(super) fn read(self, text: &str) -> Option<Captured> {
        let text = text.trim();
        match self {
            Self::Words if text.len() > LONGEST_NAME || text.split_whitespace().any(is_condition) => None,
            Self::Text | Self::Line | Self::Words | Self::Word => Some(Captured::text(unquote(text))),
            Self::Email => EmailAddress::is_valid(text).then(|| Captured::text(text)),
            Self::Url => web_address(text),
            Self::Site if text.contains("://") => web_address(text),
            Self::Site => web_address(&format!("https://{text}")),
            Self::Number => Some(Captured { text: text.to_owned(), value: number(text)? }),
            Self::Time => Some(Captured { text: text.to_owned(), value: time(text)? }),
        }
    }

    /// Something of this kind, to try a recipe with when it is loaded.
    pub(super) fn sample(self) -> Captured {
        match self {
            Self::Text | Self::Line | Self::Words | Self::Word => Captured::text("sample"),
            Self::Email => Captured::text("sample@example.com"),
            Self::Url | Self::Site => Captured::text("https://example.com/"),
            Self::Number => Captured::fallback(&json!(1)),
            Self::Time => Captured { text: "in 1 minute".to_owned(), value: json!({"seconds": 60}) },
        }
    }
}

fn is_condition(word: &str) -> bool {
    CONDITIONS.iter().any(|condition| condition.eq_ignore_ascii_case(word))
}

/// `text` without the pair of quotation marks around it, if there is one.
fn unquote(text: &str) -> &str {
    [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’')]
        .iter()
        .find_map(|&(open, close)| {
            text.strip_prefix(open)?.strip_suffix(close).filter(|inner| !inner.contains([open, close]))
        })
        .filter(|inner| !inner.trim().is_empty())
        .map_or(text, str::trim)
}

fn web_address(text: &str) -> Option<Captured> {
    Url::parse(text).ok().filter(Url::has_host)?;
    let (scheme, rest) = text.split_once("://")?;
    Some(Captured::text(format!("{}://{rest}", scheme.to_ascii_lowercase())))
}

fn number(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(whole) => Some(json!(whole)),
        Err(_) => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
    }
}

/// A time as the parameters of the action `wait`: `{seconds}` for a delay, `{until}` for a moment.
fn time(text: &str) -> Option<Value> {
    let text = text.to_ascii_lowercase();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or(("", text.as_str()));
    let moment = if matches!(first, "at" | "on" | "after") { rest.trim() } else { text.as_str() };
    if let Ok(at) = DateTime::parse_from_rfc3339(&moment.to_ascii_uppercase()) {
        return Some(json!({"until": at.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::AutoSi, true)}));
    }
    matches!(first, "in" | "after").then(|| delay(rest.trim()))?.map(|seconds| json!({"seconds": seconds}))
}

/// The seconds in `5 minutes`, `an hour` and the like.
fn delay(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = if digits > 0 { text.split_at(digits) } else { text.split_once(char::is_whitespace)? };
    let count: u64 = if digits > 0 { count.parse().ok()? } else { 1 };
    let seconds = match unit.trim_start().chars().next()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    count.checked_mul(seconds).filter(|&total| total <= LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_becomes_seconds() {
        for (text, seconds) in [
            ("in 5 minutes", 300),
            ("In 30 seconds", 30),
            ("after 2 hours", 7_200),
            ("in an hour", 3_600),
            ("in one week", 604_800),
            ("in  3 days", 259_200),
            ("in 10min", 600),
        ] {
            assert_eq!(time(text), Some(json!({"seconds": seconds})), "{text}");
        }
    }

    #[test]
    fn a_moment_becomes_utc() {
        assert_eq!(time("at 2030-01-02T09:00:00+02:00"), Some(json!({"until": "2030-01-02T07:00:00Z"})));
        assert_eq!(time("2030-01-02t09:00:00z"), Some(json!({"until": "2030-01-02T09:00:00Z"})));
        assert_eq!(time("after 2030-01-02 09:00:00Z"), Some(json!({"until": "2030-01-02T09:00:00Z"})));
    }

    #[test]
    fn a_time_that_does_not_exist_or_is_too_far_is_none() {
        assert_eq!(time("at 2030-02-31T09:00:00Z"), None);
        assert_eq!(time("in 4000 days"), None);
        assert_eq!(time("in 99999999999999999999 seconds"), None);
    }

    #[test]
    fn quotation_marks_around_a_text_are_taken_off() {
        assert_eq!(unquote("\"hello\""), "hello");
        assert_eq!(unquote("“hello”"), "hello");
        assert_eq!(unquote("say \"hello\""), "say \"hello\"");
        assert_eq!(unquote("\"a\" and \"b\""), "\"a\" and \"b\"");
        assert_eq!(unquote("\"\""), "\"\"");
    }

    #[test]
    fn a_name_holds_no_condition() {
        assert_eq!(Kind::Words.read("profit and loss").map(|found| found.text).as_deref(), Some("profit and loss"));
        assert_eq!(Kind::Words.read("sales After I approve"), None);
    }

    #[test]
    fn numbers_are_whole_where_they_can_be() {
        assert_eq!(number("-7"), Some(json!(-7)));
        assert_eq!(number("1.5"), Some(json!(1.5)));
    }

    #[test]
    fn a_bare_host_name_is_a_site() {
        let read = Kind::Site.read("example.com/health").map(|found| found.text);
        assert_eq!(read.as_deref(), Some("https://example.com/health"));
        assert_eq!(Kind::Url.read("HTTPS://a.io").map(|found| found.text).as_deref(), Some("https://a.io"));
        assert_eq!(Kind::Email.read("not@"), None);
    }

    #[test]
    fn every_kind_reads_its_own_sample() {
        let kinds = ["text", "line", "words", "word", "email", "url", "site", "number", "time"];
        for kind in kinds.map(|name| Kind::named(name).unwrap()) {
            let sample = kind.sample();
            assert_eq!(kind.read(&sample.text), Some(sample), "{kind:?}");
        }
        assert_eq!(Kind::named("colour"), None);
    }
}
