//! Backup codes: each lets its owner sign in once without the authenticator app.
//!
//! A code is 80 random bits in letters and digits that are not mistaken for each other, in groups of four. Only its
//! SHA-256 is stored. A slow hash, as for passwords, would gain nothing: it protects what people think up, and nobody
//! tries 2^80 values.

use crate::encoding::base32;
use crate::tokens;

/// How many an account gets.
pub const COUNT: usize = 10;
/// Random bytes of a code.
const BYTES: usize = 10;
/// Letters of a code, without its hyphens: five bits in each.
const LENGTH: usize = BYTES * 8 / 5;
/// Without the letters l and o and the digits 0 and 1.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// New codes, to be shown once. Fails if the system has no randomness.
pub fn fresh() -> Result<Vec<String>, getrandom::Error> {
    (0..COUNT).map(|_| one()).collect()
}

fn one() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    let mut code = base32(&bytes, LETTERS);
    for at in (4..LENGTH).step_by(4).rev() {
        code.insert(at, '-');
    }
    Ok(code)
}

/// What is stored of a code, whatever its case and wherever its hyphens and spaces are; none if it cannot be one.
pub fn stored_hash(code: &str) -> Option<String> {
    let bare = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let bare: String = bare.map(|c| c.to_ascii_lowercase()).collect();
    let is_code = bare.len() == LENGTH && bare.bytes().all(|letter| LETTERS.contains(&letter));
    is_code.then(|| tokens::stored_hash(&bare))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_another_one_in_four_groups_of_four() {
        let codes: BTreeSet<String> = fresh().unwrap().into_iter().chain(fresh().unwrap()).collect();
        assert_eq!(codes.len(), 2 * COUNT);
        for code in codes {
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4], "{code}");
            assert!(stored_hash(&code).is_some(), "{code}");
        }
    }

    #[test]
    fn no_two_letters_are_the_same_and_none_is_confusing() {
        assert_eq!(LETTERS.iter().collect::<BTreeSet<_>>().len(), 32);
        assert!(!LETTERS.iter().any(|letter| b"lo01".contains(letter)));
    }

    #[test]
    fn case_hyphens_and_spaces_do_not_count() {
        let hash = stored_hash("abcd-efgh-jkmn-2345").unwrap();
        assert_eq!(hash, tokens::sha256_hex(b"abcdefghjkmn2345"));
        for same in ["ABCD-EFGH-JKMN-2345", "abcdefghjkmn2345", " abcd efgh jkmn 2345\n", "abcd--efgh-jkmn2345-"] {
            assert_eq!(stored_hash(same).as_ref(), Some(&hash), "{same}");
        }
        assert_ne!(stored_hash("abcd-efgh-jkmn-2346"), Some(hash));
    }

    #[test]
    fn what_cannot_be_a_code_has_no_hash() {
        for other in
            ["", "123456", "abcd-efgh-jkmn-234", "abcd-efgh-jkmn-23456", "abcd-efgh-jkmn-234o", "ä".repeat(8).as_str()]
        {
            assert_eq!(stored_hash(other), None, "{other}");
        }
    }
}
