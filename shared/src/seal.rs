//! Secrets at rest: encrypted, and bound to what they are for (AES-256-GCM).
//!
//! What is sealed names its purpose and owner (`totp:<user>`), which are authenticated along with it: a row that is
//! copied to another account, or changed, does not open. The key is derived (HKDF, RFC 5869) from a secret of any
//! length, and is another one than the key that signs tokens, also where both come from the same secret. Nonces are
//! random; 2^32 of them are safe under one key, far more than there are secrets. The form is `v1.` and base64url of
//! nonce, ciphertext and tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// Says how the rest is to be read.
const VERSION: &str = "v1.";
/// Sets this key apart from all others of the same secret.
const INFO: &[u8] = b"autoos: secrets at rest, v1";

/// Why a secret could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The cipher or the system's randomness failed.
    #[error("a secret could not be encrypted")]
    Cipher,
    /// Sealed with a key that we do not have, for another purpose, or changed since.
    #[error("a stored secret cannot be decrypted: another key, another purpose, or changed")]
    Unreadable,
}

/// Seals with the current key, and opens what was sealed with it or with an earlier one.
pub struct Seal {
    current: Prk,
    previous: Vec<Prk>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// Seals with what is derived from `key`; opens that of `previous` as well.
    pub fn new<'a>(key: &SecretString, previous: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let derive = |secret: &SecretString| Salt::none(HKDF_SHA256).extract(secret.expose_secret().as_bytes());
        Self { current: derive(key), previous: previous.into_iter().map(derive).collect() }
    }

    /// Encrypts `plain` for a purpose, which names the owner as well. Fails only if the system has no randomness.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<String, SealError> {
        let (nonce, sealed) = encrypt(&self.current, purpose, plain).map_err(|Unspecified| SealError::Cipher)?;
        Ok(format!("{VERSION}{}", URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), sealed.as_slice()].concat())))
    }

    /// Decrypts what was sealed for the same purpose.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = sealed.strip_prefix(VERSION).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let bytes = bytes.ok_or(SealError::Unreadable)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Unreadable)?;
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        keys.find_map(|key| decrypt(key, purpose, nonce, sealed).ok()).ok_or(SealError::Unreadable)
    }
}

fn cipher(key: &Prk) -> Result<RandomizedNonceKey, Unspecified> {
    let mut bytes = [0; 32];
    key.expand(&[INFO], &AES_256_GCM)?.fill(&mut bytes)?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes)
}

fn encrypt(key: &Prk, purpose: &str, plain: &[u8]) -> Result<(Nonce, Vec<u8>), Unspecified> {
    let mut data = plain.to_vec();
    let nonce = cipher(key)?.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut data)?;
    Ok((nonce, data))
}

fn decrypt(key: &Prk, purpose: &str, nonce: &[u8; NONCE_LEN], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut data = sealed.to_vec();
    let plain = cipher(key)?.open_in_place(Nonce::from(nonce), Aad::from(purpose.as_bytes()), &mut data)?;
    Ok(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SecretString {
        text.into()
    }

    fn seal() -> Seal {
        Seal::new(&key("the current key of these tests, 5f1c"), None)
    }

    #[test]
    fn what_is_sealed_is_opened_for_the_same_purpose_only() {
        let sealed = seal().seal("totp:ada", b"a secret").unwrap();
        assert_eq!(seal().open("totp:ada", &sealed).unwrap(), b"a secret");
        for purpose in ["totp:eve", "key:ada", "totp:ad", ""] {
            assert_eq!(seal().open(purpose, &sealed), Err(SealError::Unreadable), "{purpose}");
        }
        assert_eq!(seal().open("empty", &seal().seal("empty", b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn the_same_secret_never_looks_the_same_and_does_not_show() {
        let (one, other) = (seal().seal("p", b"a secret").unwrap(), seal().seal("p", b"a secret").unwrap());
        assert_ne!(one, other);
        // Nonce, ciphertext and tag, in base64.
        assert_eq!(one.len(), VERSION.len() + (12 + 8 + 16_usize) * 4 / 3);
        assert!(!one.contains(&URL_SAFE_NO_PAD.encode(b"a secret")[..8]), "{one}");
    }

    #[test]
    fn whatever_is_changed_does_not_open() {
        let sealed = seal().seal("p", b"a secret").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed[VERSION.len()..]).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(seal().open("p", &changed), Err(SealError::Unreadable), "byte {at}");
        }
        let short = &sealed[..VERSION.len() + 20];
        for other in ["", "v1.", "v1.AAAA", "v2.AAAA", "not base64 at all", short, &sealed[VERSION.len()..]] {
            assert_eq!(seal().open("p", other), Err(SealError::Unreadable), "{other}");
        }
    }

    #[test]
    fn what_an_earlier_key_sealed_opens_as_long_as_that_key_is_given() {
        let (new, old) = (key("the next key of these tests, 8e20"), key("the current key of these tests, 5f1c"));
        let older = key("a key from long ago, 0d4b");
        let sealed = seal().seal("p", b"a secret").unwrap();
        assert_eq!(Seal::new(&new, Some(&old)).open("p", &sealed).unwrap(), b"a secret");
        assert_eq!(Seal::new(&new, [&older, &old]).open("p", &sealed).unwrap(), b"a secret");
        assert_eq!(Seal::new(&new, None).open("p", &sealed), Err(SealError::Unreadable));
        let again = Seal::new(&new, Some(&old)).seal("p", b"a secret").unwrap();
        assert_eq!(seal().open("p", &again), Err(SealError::Unreadable), "new secrets are sealed with the new key");
    }
}
