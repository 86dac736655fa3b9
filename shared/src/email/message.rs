//! One mail on its way out, and how it becomes the bytes that mail servers exchange (RFC 5322).
//!
//! The Message-ID is chosen by the caller and stays the same when a delivery is repeated, so that a second copy can be
//! recognised. Addresses and header names are checked here, for neither a user's text nor a template may add headers.

use chrono::{DateTime, Utc};
use lettre::Address;
pub use lettre::message::Mailbox;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Message, MultiPart, SinglePart};

use super::mailer::MailError;

/// Headers that the message itself decides.
const OWN_HEADERS: [&str; 14] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "date",
    "subject",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "return-path",
];

/// A mail to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// Fixed for all deliveries of this mail, without angle brackets: `0199…@autoos.example`.
    pub message_id: String,
    /// Addresses, with or without a name: `Ada <ada@example.com>`.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// The message as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Further headers; they may not replace those that the message decides.
    pub headers: Vec<(String, String)>,
}

impl Email {
    /// The message as it goes over the wire. What is refused here will never be accepted: errors are permanent.
    pub(super) fn message(&self, from: &Mailbox, now: DateTime<Utc>) -> Result<Message, MailError> {
        if self.message_id.is_empty() || !self.message_id.chars().all(|c| c.is_ascii_graphic() && !"<>".contains(c)) {
            return Err(MailError::Permanent(format!("\"{}\" is not a message id", self.message_id.escape_debug())));
        }
        let mut builder = Message::builder()
            .from(from.clone())
            .date(now.into())
            .message_id(Some(format!("<{}>", self.message_id)))
            .subject(self.subject.split_whitespace().collect::<Vec<_>>().join(" "))
            .raw_header(header("Auto-Submitted", "auto-generated")?);
        for address in &self.to {
            builder = builder.to(mailbox(address)?);
        }
        for (name, value) in &self.headers {
            builder = builder.raw_header(header(name, value)?);
        }
        let text = self.text.clone();
        match &self.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, html.clone())),
            None => builder.singlepart(SinglePart::plain(text)),
        }
        .map_err(|error| MailError::Permanent(error.to_string()))
    }
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    address
        .parse::<Address>()
        .map(Mailbox::from)
        .or_else(|_| address.parse::<Mailbox>())
        .map_err(|error| MailError::Permanent(format!("\"{}\" is not a mail address: {error}", address.escape_debug())))
}

fn header(name: &str, value: &str) -> Result<HeaderValue, MailError> {
    let refused = |why: &str| MailError::Permanent(format!("the header \"{}\" {why}", name.escape_debug()));
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(refused("is decided by the message itself"));
    }
    if !name.chars().all(|c| c.is_ascii_graphic()) {
        return Err(refused("has a name that is not allowed"));
    }
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| refused("has a name that is not allowed"))?;
    Ok(HeaderValue::new(name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email {
            message_id: "1@autoos.example".into(),
            to: vec!["Ada Lovelace <ada@example.com>".into(), "grace@example.com".into()],
            subject: "Hello".into(),
            text: "Hello, Ada.\n".into(),
            html: Some("<p>Hello, Ada.</p>".into()),
            headers: vec![("X-Kind".into(), "welcome".into())],
        }
    }

    fn written(email: &Email) -> Result<String, MailError> {
        let from = "AUTOOS <autoos@example.com>".parse().unwrap();
        let at = DateTime::<Utc>::from_timestamp(1_767_258_900, 0).unwrap();
        email.message(&from, at).map(|message| String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_message_says_who_when_and_that_a_program_wrote_it() {
        let text = written(&email()).unwrap();
        for line in [
            "From: AUTOOS <autoos@example.com>\r\n",
            "grace@example.com",
            "Date: Thu, 01 Jan 2026 09:15:00 +0000\r\n",
            "Message-ID: <1@autoos.example>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Kind: welcome\r\n",
            "multipart/alternative",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn a_mail_without_html_has_a_single_part() {
        let text = written(&Email { html: None, ..email() }).unwrap();
        assert!(text.contains("Content-Type: text/plain") && !text.contains("multipart"), "{text}");
    }

    #[test]
    fn line_breaks_cannot_smuggle_in_headers() {
        let sneaky = "x\r\nBcc: eve@example.com".to_owned();
        let text =
            written(&Email { subject: sneaky.clone(), headers: vec![("X-Note".into(), sneaky)], ..email() }).unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }

    #[test]
    fn what_can_never_be_delivered_is_a_permanent_error() {
        let header = |name: &str| vec![(name.to_owned(), "x".to_owned())];
        for bad in [
            Email { to: vec!["not an address".into()], ..email() },
            Email { to: Vec::new(), ..email() },
            Email { message_id: "a\r\nBcc: eve@example.com".into(), ..email() },
            Email { headers: header("Bcc"), ..email() },
            Email { headers: header("X:Y"), ..email() },
            Email { headers: header("X\r\nBcc"), ..email() },
        ] {
            assert!(matches!(written(&bad), Err(MailError::Permanent(_))), "{bad:?}");
        }
    }
}
