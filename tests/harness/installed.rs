//! Programs that `.ci/test` installs outside of the checkout, because Debian has no package of them.
//!
//! One function per list in `.ci`, and `.ci/test` has a line for each. A place is only given if it holds today's list.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// The Python environment with schemathesis.
pub fn schemathesis() -> PathBuf {
    python("schemathesis", include_str!("../../.ci/schemathesis.txt"))
}

/// The Python environment with localstripe and Stripe's SDK.
pub fn localstripe() -> PathBuf {
    python("localstripe", include_str!("../../.ci/stripe-counterparts.txt"))
}

/// The directory with `node`, and with emulate and stripe-stateful-mock in `node_modules`.
pub fn emulate() -> PathBuf {
    let list = include_str!("../../.ci/npm/package-lock.json");
    let lock: Value = serde_json::from_str(list).expect("JSON");
    place("emulate", lock["packages"]["node_modules/emulate"]["version"].as_str().expect("a version"), list)
}

fn python(package: &str, list: &str) -> PathBuf {
    let version = list.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("==")).expect("a version");
    place(package, version, list)
}

fn place(package: &str, version: &str, list: &str) -> PathBuf {
    let cache = env::var("AUTOOS_CACHE").ok().filter(|cache| !cache.is_empty());
    let cache = cache.unwrap_or_else(|| format!("{}/.cache/autoos", env::var("HOME").unwrap_or_default()));
    let place = Path::new(&cache).join(format!("{package}-{version}"));
    let is_there = fs::read_to_string(place.join("installed.txt")).is_ok_and(|installed| installed == list);
    assert!(is_there, "{package} is not in {}: run .ci/test, which installs what the tests need", place.display());
    place
}
