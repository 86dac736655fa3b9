//! Phrases: sentences with gaps, such as `remind (me|{to:email}) to {what} {at:time}`, that an intent may match.
//!
//! A phrase is words, `(a|b)` for alternatives, `(a)?` for what may be left out, and `{name}` or `{name:kind}` for what
//! is captured; `[name]` stands for alternatives that the recipe lists once under `words`. Case and the width of spaces
//! do not matter, a comma may follow any word, and "please" may come first or last.
//! It is compiled to one regular expression of the `regex` crate, whose running time is linear in the intent.
//! To add a kind of capture, see [`super::capture`].

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::capture::{Captures, Kind};

/// Far above what a readable phrase needs, far below what a machine would notice.
const MAX_COMPILED: usize = 1 << 20;

const OPENING: &str = r"^\s*(?:(?:please|kindly|(?:can|could|would|will)\s+you(?:\s+please)?),?\s+)?";
const ENDING: &str = r"(?:,?\s+please)?\s*[.!?]*\s*$";
const GAP: &str = r"[,;:]?\s+";

/// A phrase, ready to be compared with intents.
#[derive(Debug)]
pub(super) struct Phrase {
    regex: Regex,
    captures: Vec<Capture>,
}

#[derive(Debug)]
struct Capture {
    name: String,
    kind: Kind,
    /// Outside all brackets, so present whenever the phrase matches.
    certain: bool,
}

/// Why a phrase cannot be compiled.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum PhraseError {
    #[error("it is empty")]
    Empty,
    #[error("a \"{0}\" has no partner")]
    Unbalanced(char),
    #[error("\"?\" may only follow \")\"")]
    StrayQuestionMark,
    #[error("\"|\" may only stand between \"(\" and \")\"")]
    StrayBar,
    #[error("\"{0}\" is not a name: lower-case letters, digits and underscores, a letter first")]
    BadName(String),
    #[error("\"{0}\" is not a kind of capture")]
    UnknownKind(String),
    #[error("[{0}] is not among the words")]
    UnknownWords(String),
    #[error("\"{0}\" is captured twice")]
    Twice(String),
    #[error("it is too long")]
    TooLong,
}

impl Phrase {
    /// Compiles `text`, in which `[name]` stands for the alternatives of that name in `words`.
    pub(super) fn compile(text: &str, words: &BTreeMap<String, String>) -> Result<Self, PhraseError> {
        let text = expand(text.trim(), words)?;
        if text.is_empty() {
            return Err(PhraseError::Empty);
        }
        let mut compiler = Compiler { rest: &text, pattern: OPENING.to_owned(), captures: Vec::new(), depth: 0 };
        while let Some(next) = compiler.rest.chars().next() {
            compiler.take(next)?;
        }
        if compiler.depth > 0 {
            return Err(PhraseError::Unbalanced('('));
        }
        compiler.pattern.push_str(ENDING);
        let regex = RegexBuilder::new(&compiler.pattern)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|_| PhraseError::TooLong)?;
        Ok(Self { regex, captures: compiler.captures })
    }

    /// What this phrase finds in `intent`; nothing when the intent is not of this form.
    pub(super) fn read(&self, intent: &str) -> Option<Captures> {
        let found = self.regex.captures(intent)?;
        let mut captures = Captures::new();
        for capture in &self.captures {
            if let Some(part) = found.name(&capture.name) {
                captures.insert(capture.name.clone(), capture.kind.read(part.as_str())?);
            }
        }
        Some(captures)
    }

    /// What this phrase finds at the least, with samples for values.
    pub(super) fn samples(&self) -> Captures {
        let certain = self.captures.iter().filter(|capture| capture.certain);
        certain.map(|capture| (capture.name.clone(), capture.kind.sample())).collect()
    }
}

/// `text` with each `[name]` replaced by the words of that name, in brackets.
fn expand(text: &str, words: &BTreeMap<String, String>) -> Result<String, PhraseError> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (name, after) = after.split_once(']').ok_or(PhraseError::Unbalanced('['))?;
        let alternatives = words.get(name).ok_or_else(|| PhraseError::UnknownWords(name.to_owned()))?;
        for part in [before, "(", alternatives, ")"] {
            expanded.push_str(part);
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

struct Compiler<'a> {
    rest: &'a str,
    pattern: String,
    captures: Vec<Capture>,
    depth: usize,
}

impl Compiler<'_> {
    /// Translates what begins with `next`.
    fn take(&mut self, next: char) -> Result<(), PhraseError> {
        if next == '{' {
            return self.capture();
        }
        self.rest = &self.rest[next.len_utf8()..];
        match next {
            '(' => {
                self.depth += 1;
                self.pattern.push_str("(?:");
            }
            ')' => self.close()?,
            '|' if self.depth > 0 => self.pattern.push('|'),
            '|' => return Err(PhraseError::StrayBar),
            '?' => return Err(PhraseError::StrayQuestionMark),
            '}' => return Err(PhraseError::Unbalanced('}')),
            // Both apostrophes are typed; which one depends on the keyboard.
            '\'' => self.pattern.push_str("['’]"),
            space if space.is_whitespace() => {
                self.rest = self.rest.trim_start();
                self.pattern.push_str(GAP);
            }
            letter => self.pattern.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), PhraseError> {
        self.depth = self.depth.checked_sub(1).ok_or(PhraseError::Unbalanced(')'))?;
        self.pattern.push(')');
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            self.pattern.push('?');
        }
        Ok(())
    }

    fn capture(&mut self) -> Result<(), PhraseError> {
        let (inside, rest) = self.rest[1..].split_once('}').ok_or(PhraseError::Unbalanced('{'))?;
        let (name, kind) = inside.split_once(':').unwrap_or((inside, ""));
        if !is_name(name) {
            return Err(PhraseError::BadName(name.to_owned()));
        }
        if self.captures.iter().any(|capture| capture.name == name) {
            return Err(PhraseError::Twice(name.to_owned()));
        }
        let kind = Kind::named(kind).ok_or_else(|| PhraseError::UnknownKind(kind.to_owned()))?;
        self.rest = rest;
        for part in ["(?P<", name, ">", kind.pattern(rest.is_empty()), ")"] {
            self.pattern.push_str(part);
        }
        self.captures.push(Capture { name: name.to_owned(), kind, certain: self.depth == 0 });
        Ok(())
    }
}

/// Whether `name` may name a capture.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(phrase: &str) -> Result<Phrase, PhraseError> {
        let words = BTreeMap::from([("ring".to_owned(), "ring|sound {volume:number} times".to_owned())]);
        Phrase::compile(phrase, &words)
    }

    fn found(phrase: &str, intent: &str, name: &str) -> Option<String> {
        let captures = compile(phrase).unwrap().read(intent)?;
        Some(captures.get(name).map(|captured| captured.text.clone()).unwrap_or_default())
    }

    #[test]
    fn case_spaces_commas_and_politeness_do_not_matter() {
        for intent in
            ["ring the bell", "Ring  the\nBELL.", "Please, ring the bell!", "could you ring, the bell, please?"]
        {
            assert!(found("ring the bell", intent, "").is_some(), "{intent}");
        }
        for intent in ["ring thebell", "ring the bells", "do not ring the bell", "ring the bell twice"] {
            assert!(found("ring the bell", intent, "").is_none(), "{intent}");
        }
    }

    #[test]
    fn alternatives_and_optional_words_are_taken_or_left() {
        let phrase = "(send|mail) {what:words} report( email)?( to (me|{to:email}))?";
        assert_eq!(found(phrase, "mail weekly sales report", "what").as_deref(), Some("weekly sales"));
        assert_eq!(found(phrase, "send big report email to a@b.io.", "to").as_deref(), Some("a@b.io"));
        assert_eq!(found(phrase, "send big report to me", "to").as_deref(), Some(""));
        assert_eq!(found(phrase, "burn big report to me", "to"), None);
    }

    #[test]
    fn named_words_stand_for_their_alternatives() {
        assert_eq!(found("[ring] the bell", "ring the bell", "volume").as_deref(), Some(""));
        assert_eq!(found("[ring] the bell", "sound 3 times the bell", "volume").as_deref(), Some("3"));
    }

    #[test]
    fn a_text_at_the_end_keeps_its_full_stop_and_its_lines() {
        let text = found("say {what}", "say  Hello.\nAnd good-bye!  ", "what");
        assert_eq!(text.as_deref(), Some("Hello.\nAnd good-bye!"));
        assert_eq!(found("say {what:line}", "say a\nb", "what"), None);
    }

    #[test]
    fn punctuation_after_an_address_is_not_part_of_it() {
        let phrase = "fetch {url:url} and stop";
        assert_eq!(found(phrase, "fetch https://a.io/x?y=1, and stop", "url").as_deref(), Some("https://a.io/x?y=1"));
        assert_eq!(found("fetch {url:url}", "fetch https://a.io/.", "url").as_deref(), Some("https://a.io/"));
    }

    #[test]
    fn what_only_looks_like_its_kind_does_not_match() {
        assert_eq!(found("mail {to:email}", "mail a..b@c.io", "to"), None);
        assert_eq!(found("wait {at:time}", "wait until 2030-13-01T00:00:00Z", "at"), None);
    }

    #[test]
    fn what_a_regular_expression_would_read_as_code_is_a_letter_here() {
        assert!(found("cost 1.5*2+$", "cost 1.5*2+$", "").is_some());
        assert!(found("cost 1.5", "cost 1x5", "").is_none());
    }

    #[test]
    fn faults_are_named() {
        for (phrase, fault) in [
            (" ", PhraseError::Empty),
            ("a (b", PhraseError::Unbalanced('(')),
            ("a b)", PhraseError::Unbalanced(')')),
            ("a {b", PhraseError::Unbalanced('{')),
            ("a b}", PhraseError::Unbalanced('}')),
            ("a|b", PhraseError::StrayBar),
            ("a b?", PhraseError::StrayQuestionMark),
            ("a {B}", PhraseError::BadName("B".to_owned())),
            ("a [b", PhraseError::Unbalanced('[')),
            ("a [b]", PhraseError::UnknownWords("b".to_owned())),
            ("a {b:colour}", PhraseError::UnknownKind("colour".to_owned())),
            ("a {b} {b}", PhraseError::Twice("b".to_owned())),
        ] {
            assert_eq!(compile(phrase).unwrap_err(), fault, "{phrase}");
        }
    }
}
