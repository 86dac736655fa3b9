//! The audit trail of a workflow: one entry for each thing that happened, chained by hashes.
//!
//! Each entry's hash covers its content and the hash before it, and the workflow's row holds the newest one: changing,
//! removing or appending an entry behind the program's back shows in [`verify`].

use chrono::{DateTime, SecondsFormat, Utc};
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
        let detail = canonical(&self.detail);
        let content = (previous, self.seq, at, &self.event, &self.actor, &self.step, detail);
        // A JSON array is unambiguous where mere concatenation is not.
        let text = serde_json::to_string(&content).unwrap_or_default();
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

/// Text with sorted keys, since `PostgreSQL` does not keep the order of an object's keys.
fn canonical(value: &Value) -> String {
    // `serde_json::Map` sorts its keys unless `preserve_order` is on, which another dependency could switch on.
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            let parts: Vec<_> =
                keys.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v))).collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
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
