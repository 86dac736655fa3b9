//! What a password must be like; all faults are told at once.

use zxcvbn::Score;
use zxcvbn::matching::patterns::MatchPattern;

use crate::domain::plan::FieldError;

/// How much of a password is estimated, in characters; a password is at least as good as its head.
const ESTIMATED: usize = 50;
/// The longest password there is, in characters.
const LONGEST: usize = 256;
/// How many characters a password must have besides a word that guessers try.
const OWN: usize = 8;

/// Everything that is wrong with a password of somebody who is known by `about` (name, address, user name); `field` is
/// what the faults are named after.
pub fn check(field: &str, password: &str, about: &[&str]) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let length = password.chars().count();
    // Guessability is measured at quadratic cost, so over-long input is refused before.
    if !(12..=LONGEST).contains(&length) {
        faults.push("must have 12 to 256 characters");
    }
    if !password.chars().any(char::is_lowercase) {
        faults.push("must contain a lower-case letter");
    }
    if !password.chars().any(char::is_uppercase) {
        faults.push("must contain an upper-case letter");
    }
    if !password.chars().any(|c| c.is_ascii_digit()) {
        faults.push("must contain a digit");
    }
    if !password.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace()) {
        faults.push("must contain a symbol");
    }
    if length <= LONGEST && is_guessable(password, about) {
        faults.push("is too easy to guess; avoid names, addresses, common words and patterns");
    }
    faults.into_iter().map(|fault| FieldError::new(field, fault)).collect()
}

/// What to hash of a password that somebody claims to have: nothing if it is longer than any password, since hashing is
/// not free.
pub fn claimed(password: String) -> String {
    if password.chars().count() > LONGEST { String::new() } else { password }
}

/// Whether guessers would come upon it: by the estimator's judgement, or since it is little more than a name of its
/// owner, one of the estimator's 30,000 common passwords, a sequence or something repeated.
///
/// The judgement alone is not enough: it takes a common password for safe once six characters stand behind it, and they
/// are a year and some exclamation marks.
fn is_guessable(password: &str, about: &[&str]) -> bool {
    let mut known = vec!["autoos"];
    for text in about {
        known.push(text);
        known.extend(text.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 2));
    }
    // What the estimator does grows with the square of the length.
    let head: String = password.chars().take(ESTIMATED).collect();
    // The estimator is generous with words it was told of, so what they leave over must be long enough by itself.
    let mut rest = head.to_lowercase();
    for word in known.iter().filter(|word| word.len() > 3) {
        rest = rest.replace(&word.to_lowercase(), "");
    }
    if rest.chars().count() < OWN {
        return true;
    }
    let estimate = zxcvbn::zxcvbn(&head, &known);
    let length = head.chars().count();
    estimate.score() < Score::Three
        || estimate.sequence().iter().any(|part| is_common(&part.pattern) && length < part.token.chars().count() + OWN)
}

/// Whether many others have this in their passwords. Words and names of a language are left to the judgement.
#[expect(clippy::default_trait_access, reason = "the type is private to its crate")]
fn is_common(pattern: &MatchPattern) -> bool {
    match pattern {
        // The default of the lists is that of passwords.
        MatchPattern::Dictionary(word) => word.dictionary_name == Default::default(),
        MatchPattern::Sequence(_) | MatchPattern::Repeat(_) | MatchPattern::Spatial(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(password: &str) -> Vec<String> {
        check("password", password, &["Ada Lovelace", "ada@example.com"])
            .into_iter()
            .map(|fault| fault.message)
            .collect()
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = faults("short");
        assert!(faults.len() >= 5, "{faults:?}");
        assert!(faults[0].contains("12 to 256"));
    }

    #[test]
    fn a_long_mixed_password_is_taken_and_one_made_of_the_name_is_not() {
        assert_eq!(faults("Correct-Horse7-Battery"), Vec::<String>::new());
        assert_eq!(faults("Ada-Lovelace1!").len(), 1);
        assert_eq!(faults("Password1234!").len(), 1);
    }

    /// The most common ones with five or more characters, of the many lists of stolen passwords that agree.
    const COMMON: [&str; 20] = [
        "123456",
        "password",
        "12345678",
        "qwerty",
        "123456789",
        "12345",
        "111111",
        "1234567",
        "dragon",
        "123123",
        "baseball",
        "abc123",
        "football",
        "monkey",
        "letmein",
        "shadow",
        "master",
        "696969",
        "mustang",
        "666666",
    ];

    #[test]
    fn the_estimator_knows_the_common_passwords() {
        for common in COMMON {
            let guesses = zxcvbn::zxcvbn(common, &[]).guesses();
            assert!(guesses < 100, "{common}: {guesses}");
        }
    }

    #[test]
    fn a_common_password_stays_one_whatever_is_put_behind_it() {
        for common in COMMON {
            let (first, others) = common.split_at(1);
            let digits = first.parse::<u8>().is_ok();
            let base = if digits { format!("{common}Aa") } else { format!("{}{others}", first.to_uppercase()) };
            for end in ["1!", "123!", "!2024", "2024!"] {
                let password = format!("{:!<12}", format!("{base}{end}"));
                let faults = faults(&password);
                assert_eq!(faults.len(), 1, "{password}: {faults:?}");
                assert!(faults[0].contains("easy to guess"), "{password}: {faults:?}");
            }
        }
        for password in ["P@ssw0rd2024!!", "Dragon2024!!", "Hunter2024!!", "!!2024Drowssap", "Letmein!!!111"] {
            assert_eq!(faults(password).len(), 1, "{password}");
        }
    }

    #[test]
    fn common_words_are_taken_where_enough_stands_beside_them() {
        for password in ["Brand-New-Horse9", "Wrong-Horse7-Battery", "Tr0ub4dor&3xy"] {
            assert_eq!(faults(password), Vec::<String>::new(), "{password}");
        }
    }
}
