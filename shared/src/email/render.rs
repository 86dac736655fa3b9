//! Turns a mail into what is sent: a subject, a plain text and an HTML page.
//!
//! Templates are compiled into the program and are strict: an unknown name is an error, not an empty place. `.html`
//! templates escape what they print, `.txt` templates do not. A new kind of mail needs a line in [`TEMPLATES`].

use chrono::{DateTime, Utc};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, value::Serde};

use super::Mail;

/// A mail, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The whole message as plain text.
    pub text: String,
    /// The whole message as HTML.
    pub html: String,
}

/// A template that cannot be filled in: a fault of the program, never of the reader.
#[derive(Debug, thiserror::Error)]
#[error("the mail template {template} cannot be filled in")]
pub struct RenderError {
    template: String,
    #[source]
    source: minijinja::Error,
}

macro_rules! templates {
    ($($kind:literal),* $(,)?) => {
        [
            ("layout.txt", include_str!("templates/layout.txt")),
            ("layout.html", include_str!("templates/layout.html")),
            ("origin.txt", include_str!("templates/origin.txt")),
            ("origin.html", include_str!("templates/origin.html")),
            $(
                (concat!($kind, "/subject.txt"), include_str!(concat!("templates/", $kind, "/subject.txt"))),
                (concat!($kind, "/body.txt"), include_str!(concat!("templates/", $kind, "/body.txt"))),
                (concat!($kind, "/body.html"), include_str!(concat!("templates/", $kind, "/body.html"))),
            )*
        ]
    };
}

/// Every template by the name that `extends` and `include` use.
const TEMPLATES: [(&str, &str); 61] = templates![
    "verify_email",
    "welcome",
    "reset_password",
    "password_changed",
    "new_sign_in",
    "session_ended",
    "account_deleted",
    "trial_ending",
    "trial_ended",
    "payment_confirmed",
    "qr_received",
    "invoice_paid",
    "payment_failed",
    "credits_low",
    "subscription_changed",
    "subscription_ending",
    "subscription_ended",
    "workflow_finished",
    "workflow_failed",
];

/// Renders a mail.
pub fn render(mail: &Mail) -> Result<Rendered, RenderError> {
    let kind = mail.kind();
    let environment = environment(kind)?;
    let context = Value::from(Serde(mail));
    let part = |file: &str| fill(&environment, &format!("{kind}/{file}"), &context);
    let subject = part("subject.txt")?;
    let text = part("body.txt")?;
    let html = part("body.html")?;
    Ok(Rendered { subject: one_line(&subject), text: with_newline(&text), html: with_newline(&html) })
}

/// Only what all share and the kind's own templates: compiling the others for each mail would be wasted work.
fn environment(kind: &str) -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("when", when);
    environment.add_filter("shorten", shorten);
    environment.add_filter("href", href);
    let own = |name: &str| name.split_once('/').is_none_or(|(folder, _)| folder == kind);
    for (name, source) in TEMPLATES.into_iter().filter(|(name, _)| own(name)) {
        environment.add_template(name, source).map_err(|source| RenderError { template: name.to_owned(), source })?;
    }
    Ok(environment)
}

fn fill(environment: &Environment<'static>, name: &str, context: &Value) -> Result<String, RenderError> {
    environment
        .get_template(name)
        .and_then(|template| template.render(context))
        .map_err(|source| RenderError { template: name.to_owned(), source })
}

/// The filter `when`: a time as people write it, always in UTC and saying so.
fn when(text: &str) -> Result<String, minijinja::Error> {
    let time = text.parse::<DateTime<Utc>>().map_err(|error| {
        minijinja::Error::new(ErrorKind::InvalidOperation, "`when` is for times").with_source(error)
    })?;
    Ok(time.format("%-d %B %Y, %H:%M UTC").to_string())
}

/// The filter `shorten`: one line of at most so many characters.
fn shorten(text: &str, length: usize) -> String {
    let line = one_line(text);
    if line.chars().count() <= length {
        return line;
    }
    let mut short: String = line.chars().take(length.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// The filter `href`: a link inside an HTML attribute. The built-in escaping also writes `/` as an entity, which some
/// mail readers show instead of following the link.
fn href(link: &str) -> Value {
    let escaped = link.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    Value::from_safe_string(escaped)
}

/// Line breaks in a subject would begin a new header; runs of space are noise.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_newline(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::email::{SessionEnded, VerifyEmail};

    /// Compares with the file of that name, or writes it when `UPDATE_SNAPSHOTS=1`; the fault, if there is one.
    fn snapshot(name: &str, actual: &str) -> Option<String> {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/snapshots/mail");
        let file = folder.join(name);
        if std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, actual).unwrap();
            return None;
        }
        match std::fs::read_to_string(&file) {
            Ok(expected) if expected == actual => None,
            Ok(expected) => Some(format!("{name} differs\n--- expected\n{expected}\n--- actual\n{actual}")),
            Err(error) => Some(format!("{name} cannot be read: {error}")),
        }
    }

    #[test]
    fn every_sample_looks_like_its_snapshot() {
        let mut faults = Vec::new();
        for (sample, mail) in Mail::samples() {
            let rendered = render(&mail).unwrap();
            let name = format!("{}.{sample}", mail.kind());
            faults.extend(snapshot(&format!("{name}.subject.txt"), &format!("{}\n", rendered.subject)));
            faults.extend(snapshot(&format!("{name}.txt"), &rendered.text));
            faults.extend(snapshot(&format!("{name}.html"), &rendered.html));
        }
        assert!(faults.is_empty(), "run with UPDATE_SNAPSHOTS=1 if this is meant:\n{}", faults.join("\n\n"));
    }

    #[test]
    fn every_template_belongs_to_a_kind_of_mail() {
        for (name, _) in TEMPLATES.into_iter().filter(|(name, _)| name.contains('/')) {
            assert!(Mail::samples().iter().any(|(_, mail)| name.starts_with(&format!("{}/", mail.kind()))), "{name}");
        }
    }

    #[test]
    fn every_mail_says_its_link_if_it_has_one_and_stays_within_one_subject_line() {
        for (sample, mail) in Mail::samples() {
            let rendered = render(&mail).unwrap();
            let json = serde_json::to_value(&mail).unwrap();
            let link = json["link"].as_str();
            let is_shown = link.map_or_else(|| !rendered.html.contains("<a "), |link| rendered.text.contains(link));
            assert!(is_shown, "{} {sample}", mail.kind());
            assert!(!rendered.subject.contains(['\n', '\r']) && rendered.subject.chars().count() <= 100);
            assert!(!rendered.text.contains("\n\n\n"), "{} {sample}", mail.kind());
        }
    }

    #[test]
    fn markup_in_a_name_is_text_in_html_and_unchanged_in_plain_text() {
        let mail = Mail::VerifyEmail(VerifyEmail {
            name: "<b>Eve</b> {{ link }}".into(),
            link: "https://autoos.example/verify-email?token=1".into(),
            expires_at: DateTime::<Utc>::UNIX_EPOCH,
        });
        let rendered = render(&mail).unwrap();
        assert!(!rendered.html.contains("<b>Eve"), "{}", rendered.html);
        assert!(rendered.html.contains("&lt;b&gt;Eve&lt;"), "{}", rendered.html);
        assert!(rendered.text.contains("<b>Eve</b> {{ link }}"), "{}", rendered.text);
    }

    #[test]
    fn a_device_cannot_add_lines_or_markup_or_a_long_message() {
        let mail = Mail::SessionEnded(SessionEnded {
            name: "Ada".into(),
            at: DateTime::<Utc>::UNIX_EPOCH,
            address: "192.0.2.7\nFrom: us".into(),
            device: format!("<b>x</b>\r\n\r\n{}", "Call this number. ".repeat(100)),
        });
        let rendered = render(&mail).unwrap();
        let line = rendered.text.lines().find(|line| line.contains("<b>x</b>")).unwrap();
        assert!(line.ends_with('…') && line.chars().count() < 150, "{line}");
        assert!(rendered.text.contains("192.0.2.7 From: us\n"), "{}", rendered.text);
        assert!(!rendered.html.contains("<b>x"), "{}", rendered.html);
    }

    #[test]
    fn a_link_cannot_leave_its_attribute() {
        let mail = Mail::VerifyEmail(VerifyEmail {
            name: "Eve".into(),
            link: "https://autoos.example/?a=1&b=\"><script>".into(),
            expires_at: DateTime::<Utc>::UNIX_EPOCH,
        });
        let html = render(&mail).unwrap().html;
        assert!(html.contains("href=\"https://autoos.example/?a=1&amp;b=&quot;&gt;&lt;script&gt;\""), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }

    #[test]
    fn a_long_intent_is_cut_at_a_character_and_loses_its_line_breaks() {
        assert_eq!(shorten("one\r\n two", 20), "one two");
        assert_eq!(shorten("ääääää", 4), "äää…");
        assert_eq!(shorten("abc defg", 5), "abc…");
    }

    #[test]
    fn a_name_that_no_mail_has_is_an_error() {
        let mut environment = environment("welcome").unwrap();
        environment.add_template("welcome/typo.txt", "{{ nmae }}").unwrap();
        let error = fill(&environment, "welcome/typo.txt", &Value::from(Serde(&Mail::samples()[1].1))).unwrap_err();
        assert!(error.to_string().contains("welcome/typo.txt"));
    }
}
