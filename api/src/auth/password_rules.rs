//! What a password must be like; all faults are told at once.

use shared::domain::plan::FieldError;

/// Everything that is wrong with a password of somebody who is known by `about` (name, address, user name).
pub fn check(password: &str, about: &[&str]) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let length = password.chars().count();
    // Guessability is measured at quadratic cost, so over-long input is refused before.
    if !(12..=256).contains(&length) {
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
    if length <= 256 && is_guessable(password, about) {
        faults.push("is too easy to guess; avoid names, addresses, common words and patterns");
    }
    faults.into_iter().map(|fault| FieldError::new("password", fault)).collect()
}

fn is_guessable(password: &str, about: &[&str]) -> bool {
    let mut known = vec!["autoos"];
    for text in about {
        known.push(text);
        known.extend(text.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 2));
    }
    let head: String = password.chars().take(100).collect();
    // The estimator is generous with words it was told of, so what they leave over must be long enough by itself.
    let mut rest = head.to_lowercase();
    for word in known.iter().filter(|word| word.len() > 3) {
        rest = rest.replace(&word.to_lowercase(), "");
    }
    if rest.chars().count() < 8 {
        return true;
    }
    zxcvbn::zxcvbn(&head, &known).score() < zxcvbn::Score::Three
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(password: &str) -> Vec<String> {
        check(password, &["Ada Lovelace", "ada@example.com"]).into_iter().map(|fault| fault.message).collect()
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
}
