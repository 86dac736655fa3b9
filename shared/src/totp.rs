//! Time-based one-time passwords (RFC 6238) with what every authenticator app can do: SHA-1, six digits, 30 seconds.
//!
//! A code is one HMAC and a cut of it, so it is made here from the HMAC that is in the program anyway; the crate
//! `totp-rs` would add itself and two more for these ten lines, and a second HMAC. The RFC's vectors are tests below.
//! That SHA-1 is broken for collisions does not matter to an HMAC. A code is good for a step before and after its own,
//! for clocks that differ and people who type slowly; which step it was is told, so that it can be good only once.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};

use crate::encoding::{base32, percent};

/// Seconds that a code is shown for.
const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one whose codes are accepted too.
const SKEW: i64 = 1;
/// Bytes of a secret: as many as SHA-1 gives, which RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
/// What authenticator apps call us.
const ISSUER: &str = "AUTOOS";
/// Base32 of RFC 4648, which authenticator apps read.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret of 160 random bits. Fails if the system has no randomness.
pub fn secret() -> Result<[u8; SECRET_BYTES], getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A secret as people type it into an app that cannot read the picture.
pub fn shown(secret: &[u8]) -> String {
    base32(secret, LETTERS)
}

/// What the picture says: a secret with all that an authenticator app needs to know, and whose it is.
pub fn uri(secret: &[u8], address: &str) -> String {
    let (secret, address) = (shown(secret), percent(address));
    format!(
        "otpauth://totp/{ISSUER}:{address}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6\
         &period={STEP_SECONDS}"
    )
}

/// The number of the step that a code belongs to, if it is one that is good at `now`; the caller sees to it that each
/// step is accepted once. Spaces in the code do not count.
pub fn matching_step(secret: &[u8], code: &str, now: DateTime<Utc>) -> Option<i64> {
    let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let present = now.timestamp().div_euclid(STEP_SECONDS);
    let is = |step: &i64| {
        let code = format!("{:06}", number(&key, *step) % 1_000_000);
        verify_slices_are_equal(code.as_bytes(), typed.as_bytes()).is_ok()
    };
    (present - SKEW..=present + SKEW).rev().find(is)
}

/// The number whose last digits are the code of a step (RFC 4226, section 5.3).
fn number(key: &hmac::Key, step: i64) -> u32 {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    // The last four bits say where to cut; the sign bit is dropped.
    let at = usize::from(tag[tag.len() - 1] & 0x0f);
    u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the RFC's examples.
    const SECRET: &[u8] = b"12345678901234567890";

    /// Time and code of RFC 6238, appendix B; its codes have eight digits, of which the last six are ours.
    const VECTORS: [(i64, u32); 6] = [
        (59, 94_287_082),
        (1_111_111_109, 7_081_804),
        (1_111_111_111, 14_050_471),
        (1_234_567_890, 89_005_924),
        (2_000_000_000, 69_279_037),
        (20_000_000_000, 65_353_130),
    ];

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
        for (seconds, code) in VECTORS {
            assert_eq!(number(&key, seconds / STEP_SECONDS) % 100_000_000, code);
            let six = format!("{:06}", code % 1_000_000);
            assert_eq!(matching_step(SECRET, &six, at(seconds)), Some(seconds / STEP_SECONDS), "{six}");
        }
    }

    #[test]
    fn a_code_is_good_for_one_step_before_and_after_and_tells_its_own() {
        // Good from 30 to 59 seconds, and one step around that.
        for (seconds, step) in [(-1, None), (0, Some(1)), (29, Some(1)), (59, Some(1)), (89, Some(1)), (90, None)] {
            assert_eq!(matching_step(SECRET, "287082", at(seconds)), step, "at {seconds}");
        }
    }

    #[test]
    fn only_the_six_digits_count() {
        assert_eq!(matching_step(SECRET, " 287 082\n", at(59)), Some(1));
        for wrong in ["", "287083", "94287082", "28708", "2870820", "287-082", "２８７０８２"] {
            assert_eq!(matching_step(SECRET, wrong, at(59)), None, "{wrong}");
        }
        assert_eq!(matching_step(b"another secret of 20", "287082", at(59)), None);
    }

    #[test]
    fn secrets_are_random_and_as_long_as_they_should_be() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_ne!(one, other);
        assert_eq!(shown(&one).len(), 32);
        assert_eq!(shown(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn the_uri_holds_everything_and_escapes_the_address() {
        let expected = "otpauth://totp/AUTOOS:ada%2Bx%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                        &issuer=AUTOOS&algorithm=SHA1&digits=6&period=30";
        assert_eq!(uri(SECRET, "ada+x@example.com"), expected);
    }
}
