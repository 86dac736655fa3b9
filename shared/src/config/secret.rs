//! Secrets: which ones are too weak to use, and the one that an embedded deployment makes for itself.

use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

/// HS256 needs a key as long as its hash (RFC 7518, section 3.2).
const MIN_BYTES: usize = 32;

/// Words of examples and tutorials; a key that contains one was never made for this deployment.
const PLACEHOLDERS: [&str; 6] =
    ["change-me", "changeme", "change-this", "change-in-production", "replace-me", "your-secret"];

/// Why a key cannot be used to sign tokens or to encrypt, if so.
pub(super) fn weakness(secret: &str) -> Option<String> {
    const ADVICE: &str = "make one with: openssl rand -base64 48";
    let plain = secret.to_ascii_lowercase().replace(['_', ' '], "-");
    if PLACEHOLDERS.iter().any(|word| plain.contains(word)) || ["secret", "password"].contains(&plain.as_str()) {
        return Some(format!("is a well-known placeholder; {ADVICE}"));
    }
    if secret.len() < MIN_BYTES {
        return Some(format!("must have at least {MIN_BYTES} bytes, this one has {}; {ADVICE}", secret.len()));
    }
    None
}

/// The key kept in the folder; made when there is none.
pub(super) fn kept(data_dir: &Path) -> Result<SecretString> {
    let path = data_dir.join("jwt_secret");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(data_dir)?;
            make(&path)?;
            usable(&fs::read_to_string(&path)?, &path)
        }
        text => usable(&text?, &path),
    }
}

fn usable(text: &str, path: &Path) -> Result<SecretString> {
    let key = text.trim();
    if key.len() >= MIN_BYTES {
        return Ok(key.into());
    }
    let problem = format!("{} is too short for a key; delete it, and a new one is made", path.display());
    Err(Error::new(ErrorKind::InvalidData, problem))
}

/// A link to a complete file either appears or is there already: of two processes that start together, one wins, and
/// neither ever reads half a key.
fn make(path: &Path) -> Result<()> {
    let mut key = [0; MIN_BYTES];
    getrandom::fill(&mut key).map_err(|error| Error::other(error.to_string()))?;
    let unique = getrandom::u64().map_err(|error| Error::other(error.to_string()))?;
    let draft = path.with_extension(format!("{unique:016x}"));
    let result = write_private(&draft, &URL_SAFE_NO_PAD.encode(key)).and_then(|()| fs::hard_link(&draft, path));
    // When the draft could not even be opened there is nothing to remove, and `result` says why.
    let _removed = fs::remove_file(&draft);
    match result {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
