//! The audit trail of a workflow: one entry for each thing that happened, chained by hashes.
//!
//! Each entry's hash covers its content and the hash before it, and the workflow's row holds the newest one: changing,
//! removing or appending an entry behind the program's back shows in [`verify`].

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The hash before the first entry.
pub const GENESIS: &str = "";

/// One thing that happened to a workflow.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Entry {
    /// Position in the workflow's trail, from 1.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What, in the form `step.completed`.
    pub event: String,
    /// Who: `user:<id>`, `admin:<id>` or `engine`.
    pub actor: String,
    /// The step, if it is about one.
    pub step: Option<String>,
    /// More about it, an object.
    #[sqlx(json)]
    pub detail: Value,
    /// SHA-256 over this entry and the hash before it, hexadecimal.
    pub hash: String,
}

impl Entry {
    /// The hash that this entry must have behind `previous`.
    pub fn hash_after(&self, previous: &str) -> String {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let detail = serde_json::to_string(&Sorted(&self.detail)).unwrap_or_default();
        let content = (previous, self.seq, at, &self.event, &self.actor, &self.step, detail);
        // A JSON array is unambiguous where mere concatenation is not.
        let text = serde_json::to_vec(&content).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }
}

/// A value that is written with sorted keys, since `PostgreSQL` does not keep the order of an object's keys.
struct Sorted<'v>(&'v Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `serde_json::Map` sorts its keys unless `preserve_order` is on, which another dependency could switch on.
        match self.0 {
            Value::Object(map) => {
                let mut fields: Vec<_> = map.iter().map(|(key, value)| (key, Sorted(value))).collect();
                fields.sort_by_key(|(key, _)| *key);
                serializer.collect_map(fields)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            other => other.serialize(serializer),
        }
    }
}

/// Checks a whole trail against the newest hash in the workflow's row; the error says what is wrong where.
pub fn verify(entries: &[Entry], head_seq: i64, head_hash: &str) -> Result<(), String> {
    let mut previous = GENESIS.to_owned();
    for (entry, expected) in entries.iter().zip(1..) {
        if entry.seq != expected {
            return Err(format!("entry {expected} is missing"));
        }
        if entry.hash_after(&previous) != entry.hash {
            return Err(format!("entry {expected} was changed"));
        }
        previous.clone_from(&entry.hash);
    }
    if head_seq != entries.len() as i64 || head_hash != previous {
        return Err(format!("the trail ends at entry {}, the workflow's row says {head_seq}", entries.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_of_an_entry_never_changes_or_all_trails_would_seem_forged() {
        let entry = Entry {
            seq: 2,
            at: "2026-01-15T09:00:00Z".parse().unwrap(),
            event: "step.completed".to_owned(),
            actor: "engine".to_owned(),
            step: Some("a".to_owned()),
            detail: json!({"b": "\"é", "a": {"z": [true, null], "x": 1.5}}),
            hash: String::new(),
        };
        // Of ["earlier",2,"2026-01-15T09:00:00.000000Z","step.completed","engine","a",<the text of the detail>].
        let expected = "c5f8bbd988eb0e4d5675f15e6c87646026ad5535a07a4317436ef6b31494bedd";
        assert_eq!(entry.hash_after("earlier"), expected);
    }
}
