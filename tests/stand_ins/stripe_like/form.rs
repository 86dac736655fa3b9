//! The parameters of one request, read from its query and its form body as Stripe's libraries write them:
//! `items[0][price]=…`, `metadata[user_id]=…`, `expand[]=…`.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::refusal::Refusal;

/// Names and values that the caller keeps with an object.
pub(super) type Metadata = BTreeMap<String, String>;

/// Parameters by their full names; `name[]` has become `name[0]`, `name[1]` and so on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn parse(query: &str, body: &str) -> Self {
        let mut params = Self::default();
        for part in [query, body] {
            for (key, value) in form_urlencoded::parse(part.as_bytes()) {
                params.put(&key, value.into_owned());
            }
        }
        params
    }

    fn put(&mut self, key: &str, value: String) {
        let key = match key.strip_suffix("[]") {
            Some(list) => format!("{list}[{}]", self.list(list).len()),
            None => key.to_owned(),
        };
        self.0.insert(key, value);
    }

    /// The value, also where it is empty: that is how Stripe is told to take something away.
    pub(super) fn raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The value where it is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.raw(key).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    pub(super) fn need(&self, key: &str) -> Result<&str, Refusal> {
        self.get(key).ok_or_else(|| Refusal::missing(key))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        let read = |text: &str| text.parse::<i64>().map_err(|_| Refusal::invalid(key, "this is not a whole number"));
        self.get(key).map(read).transpose()
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        let read =
            |text: &str| text.parse::<bool>().map_err(|_| Refusal::invalid(key, "this is neither true nor false"));
        self.get(key).map(read).transpose()
    }

    /// One of `known`; the first of them where the parameter is not given.
    pub(super) fn choice(&self, key: &str, known: &[&'static str]) -> Result<&'static str, Refusal> {
        let given = self.get(key).unwrap_or(known[0]);
        let found = known.iter().find(|word| **word == given);
        found.copied().ok_or_else(|| Refusal::invalid(key, &format!("this must be one of {}", known.join(", "))))
    }

    /// The values of `key[0]`, `key[1]` and so on.
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        (0..).map_while(|place| self.raw(&format!("{key}[{place}]"))).collect()
    }

    /// What is written below `prefix`: `price` of `items[0][price]` below `items[0]`.
    pub(super) fn under(&self, prefix: &str) -> Self {
        let inner = self.0.iter().filter_map(|(key, value)| {
            let rest = key.strip_prefix(prefix)?.strip_prefix('[')?;
            Some((rest.replacen(']', "", 1), value.clone()))
        });
        Self(inner.collect())
    }

    /// The groups `prefix[0]`, `prefix[1]` and so on.
    pub(super) fn groups(&self, prefix: &str) -> Vec<Self> {
        (0..100)
            .map(|place| self.under(&format!("{prefix}[{place}]")))
            .take_while(|group| !group.0.is_empty())
            .collect()
    }

    /// The names and values of a new object's metadata.
    pub(super) fn metadata(&self, key: &str) -> Metadata {
        let mut metadata = Metadata::new();
        self.merge_metadata(key, &mut metadata);
        metadata
    }

    /// Sets what is given and takes away what is given as empty.
    pub(super) fn merge_metadata(&self, key: &str, metadata: &mut Metadata) {
        metadata.extend(self.under(key).0);
        metadata.retain(|_, value| !value.is_empty());
    }

    /// Refuses what none of `known` describes; a `*` in those stands for any number or name.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let is_known = |key: &str| key.starts_with("expand[") || known.iter().any(|pattern| fits(key, pattern));
        match self.0.keys().find(|key| !is_known(key)) {
            Some(key) => Err(Refusal::unknown(key)),
            None => Ok(()),
        }
    }
}

fn fits(key: &str, pattern: &str) -> bool {
    let (mut parts, mut wanted) = (key.split('['), pattern.split('['));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some(wanted)) if wanted == "*]" || wanted == part => {}
            _ => return false,
        }
    }
}
