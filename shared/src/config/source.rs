//! Where settings come from, by name: the environment, files named by `NAME_FILE`, the configuration file.
//!
//! A setting is known because it was asked for: what the file has beyond that is a fault. Reading never stops at a
//! fault; it notes it and goes on with the default, so that all faults are found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use secrecy::SecretString;
use toml::{Table, Value};

use super::fault::{Fault, Faults};

/// The settings as text, and the faults found so far.
pub(super) struct Source<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
    asked: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: Option<&Path>, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut source = Self { env, file: BTreeMap::new(), asked: BTreeSet::new(), faults: Vec::new() };
        if let Some(path) = file {
            match table(path) {
                Ok(table) => source.flatten("", table),
                Err(problem) => source.fault(&path.display().to_string(), problem),
            }
        }
        source
    }

    /// Keys of a section get its name in front: `[lanes.mail] workers` becomes `LANES_MAIL_WORKERS`.
    fn flatten(&mut self, prefix: &str, table: Table) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.to_ascii_uppercase());
            let text = match value {
                Value::Table(section) => {
                    self.flatten(&format!("{name}_"), section);
                    continue;
                }
                Value::String(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Boolean(flag) => flag.to_string(),
                Value::Float(_) | Value::Datetime(_) | Value::Array(_) => {
                    self.fault(&name, "must be text, a whole number, true or false");
                    continue;
                }
            };
            if self.file.insert(name.clone(), text).is_some() {
                self.fault(&name, "is in the file twice, once with its section's name in front; keep one");
            }
        }
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faults.push(Fault { name: name.to_owned(), problem: problem.into() });
    }

    /// Whether a fault of this setting is noted already, so that it need not be called missing as well.
    pub(super) fn is_faulty(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.name.strip_suffix("_FILE").unwrap_or(&fault.name) == name)
    }

    /// A setting as text; empty is the same as not there.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.asked.insert(name.to_owned());
        self.env(name).or_else(|| self.file.get(name).cloned().filter(|text| !text.is_empty()))
    }

    /// A setting that is turned into a value, or not there.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(name)?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault(name, problem);
                None
            }
        }
    }

    /// A setting that is turned into a value, or has a default.
    pub(super) fn value<T>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    /// A setting that must not be seen; it may stand in a file of its own, which `NAME_FILE` names.
    pub(super) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.secret_text(name).map(SecretString::from)
    }

    /// The same as text, for those that look into it.
    pub(super) fn secret_text(&mut self, name: &str) -> Option<String> {
        let Some(path) = self.env(&format!("{name}_FILE")) else { return self.text(name) };
        self.asked.insert(name.to_owned());
        if self.env(name).is_some() {
            self.fault(name, format!("is set together with {name}_FILE; remove one of them"));
            return None;
        }
        match std::fs::read_to_string(&path).map(|text| text.trim_end_matches(['\n', '\r']).to_owned()) {
            Ok(text) if !text.is_empty() => return Some(text),
            Ok(_) => self.fault(&format!("{name}_FILE"), format!("{path} is empty; write the secret into it")),
            Err(error) => self.fault(&format!("{name}_FILE"), format!("{path} cannot be read: {error}")),
        }
        None
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    /// The end of reading: what was in the file and never asked for is a fault too.
    pub(super) fn into_faults(mut self) -> Option<Faults> {
        let unknown: Vec<String> = self.file.keys().filter(|name| !self.asked.contains(*name)).cloned().collect();
        for name in unknown {
            self.fault(&name, "is in the file, but is not a setting; correct its name or remove it");
        }
        if self.faults.is_empty() { None } else { Some(Faults(self.faults)) }
    }
}

fn table(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        // A message may go on with hints on further lines; each fault has one.
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        format!("the file is not TOML: line {}: {message}", before.matches('\n').count() + 1)
    })
}

/// A whole number within bounds.
pub(super) fn whole<T: FromStr + PartialOrd + Display>(
    bounds: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| match text.parse::<T>() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {} to {}, not \"{text}\"", bounds.start(), bounds.end())),
    }
}

/// A number of at least 0, or the word that stands for none.
pub(super) fn whole_or(word: &'static str) -> impl Fn(&str) -> Result<Option<i64>, String> {
    move |text| match text.parse::<i64>() {
        _ if text == word => Ok(None),
        Ok(number) if number >= 0 => Ok(Some(number)),
        _ => Err(format!("must be a whole number of at least 0 or \"{word}\", not \"{text}\"")),
    }
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("must be true or false, not \"{text}\"")),
    }
}
