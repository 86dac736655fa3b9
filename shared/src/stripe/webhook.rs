//! What Stripe sends on its own: whether it is Stripe's, and what it is about.
//!
//! A signature is an HMAC-SHA256 of the time and the bytes of the body as they came, keyed with the whole secret, and
//! there may be several, one for each secret in use (<https://docs.stripe.com/webhooks#verify-manually>). The time is
//! signed along, so that what somebody has overheard is good for minutes only. What an event says beyond whom it is
//! about is not read: it may be old, and Stripe is asked instead.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::error::StripeResult;
use super::objects::Event;
use super::transport::decode;

/// How many seconds the time of signing may be from ours, before or after.
const TOLERANCE: u64 = 300;

/// Why something is not from Stripe, as far as we can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// We have nothing to check it with.
    #[error("no webhook secret is configured")]
    NoSecret,
    /// The header has no time, or no signature of the kind that we know.
    #[error("the signature header cannot be read")]
    Malformed,
    /// It was signed with another secret, or changed since.
    #[error("no signature matches")]
    NoMatch,
    /// It was signed too long ago, or our clocks differ.
    #[error("it was signed more than 300 seconds ago, or in the future")]
    TooOld,
}

/// Checks the signature of a body, as it came, against any of the secrets. `header` is `Stripe-Signature`.
pub fn verify(
    payload: &[u8],
    header: &str,
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let Signed { time, signatures } = Signed::read(header).ok_or(SignatureError::Malformed)?;
    let seconds: i64 = time.parse().map_err(|_| SignatureError::Malformed)?;
    let matches = |secret: &SecretString| {
        let tag = sign(secret, time, payload);
        signatures.iter().any(|signature| verify_slices_are_equal(tag.as_ref(), signature).is_ok())
    };
    if !secrets.iter().any(matches) {
        return Err(SignatureError::NoMatch);
    }
    if now.timestamp().abs_diff(seconds) > TOLERANCE {
        return Err(SignatureError::TooOld);
    }
    Ok(())
}

/// What a body tells that was verified.
pub fn event(payload: &[u8]) -> StripeResult<Event> {
    decode(payload)
}

fn sign(secret: &SecretString, time: &str, payload: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(time.as_bytes());
    context.update(b".");
    context.update(payload);
    context.sign()
}

/// `t=1768467600,v1=c8d4…,v1=afb6…`; what has another name is of other kinds.
struct Signed<'a> {
    time: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    fn read(header: &'a str) -> Option<Self> {
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let (_, time) = parts().find(|(name, _)| *name == "t")?;
        let signatures = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, text)| hex::decode(text).ok());
        Some(Self { time, signatures: signatures.collect() }).filter(|signed| !signed.signatures.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &[u8] = br#"{"id": "evt_1", "type": "invoice.paid"}"#;
    /// 15 January 2026 at nine.
    const TIME: i64 = 1_768_467_600;
    // The signatures of the time, a dot and the payload were made with Python:
    // hmac.new(secret.encode(), b"1768467600." + payload, hashlib.sha256).hexdigest()
    /// By `whsec_one`.
    const ONE: &str = "c8d4a46bac1baa27257b0531566999c81020f39a13b0aee313988b504561f999";
    /// By `whsec_two`.
    const TWO: &str = "afb683c77506e130919283bc740b8a20e1ffa0adc380bbac1f022fcb762c9423";

    /// Secrets are told apart by spaces.
    fn secrets(texts: &str) -> Vec<SecretString> {
        texts.split_whitespace().map(SecretString::from).collect()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn verified(header: &str, texts: &str) -> Result<(), SignatureError> {
        verify(PAYLOAD, header, &secrets(texts), at(TIME))
    }

    #[test]
    fn a_signature_by_any_secret_is_good() {
        let zeros = "0".repeat(64);
        for (header, texts) in [
            (format!("t={TIME},v1={ONE}"), "whsec_one"),
            (format!("t={TIME},v1={TWO}"), "whsec_one whsec_two"),
            (format!("t={TIME},v1={TWO},v1={ONE}"), "whsec_one"),
            (format!("v1={ONE},t={TIME},v0=6ffb"), "whsec_one"),
            (format!("t={TIME}, v1={zeros}, v1={ONE}, v2=x"), "whsec_one"),
            (format!("t={TIME},v1={}", ONE.to_uppercase()), "whsec_one"),
            (format!("t={TIME},v1=none,v1={ONE}"), "whsec_one"),
        ] {
            assert_eq!(verified(&header, texts), Ok(()), "{header}");
        }
    }

    #[test]
    fn the_bytes_count_and_not_what_they_mean() {
        let signed = |payload: &[u8], signature: &str| {
            verify(payload, &format!("t={TIME},v1={signature}"), &secrets("whsec_one"), at(TIME))
        };
        let text = "{\"name\": \"Söhne\"}\n".as_bytes();
        let signature = "1820e2ad2adf0cb88204586901aa2c253b8bf4961858cd2c24bacf0fcf9ac571";
        assert_eq!(signed(text, signature), Ok(()));
        assert_eq!(signed(&text[..text.len() - 1], signature), Err(SignatureError::NoMatch));
        assert_eq!(signed(b"", "3819fd80bf133ba0cea43c874ef860b8b9a6868d52f3e07700a8a37b40e8de92"), Ok(()));
    }

    #[test]
    fn another_secret_another_time_or_a_part_is_no_match() {
        for (header, texts) in [
            (format!("t={TIME},v1={ONE}"), "whsec_two"),
            (format!("t={TIME},v1={ONE}"), "one"),
            (format!("t={TIME},v1="), "whsec_one"),
            (format!("t={},v1={ONE}", TIME + 1), "whsec_one"),
            (format!("t=0{TIME},v1={ONE}"), "whsec_one"),
            (format!("t={TIME},v1={}", &ONE[..62]), "whsec_one"),
            (format!("t={TIME},v1={ONE}00"), "whsec_one"),
            (format!("t={TIME},v1={TWO}"), "whsec_one"),
        ] {
            assert_eq!(verified(&header, texts), Err(SignatureError::NoMatch), "{header}");
        }
    }

    #[test]
    fn a_header_without_time_or_known_signature_is_malformed() {
        for header in [
            String::new(),
            "t".to_owned(),
            format!("t={TIME}"),
            format!("v1={ONE}"),
            format!("t=,v1={ONE}"),
            format!("t=soon,v1={ONE}"),
            format!("t=99999999999999999999,v1={ONE}"),
            format!("t={TIME},v0={ONE}"),
            format!("t={TIME},v1=not hexadecimal"),
            format!("t:{TIME};v1:{ONE}"),
        ] {
            let expected = Err(SignatureError::Malformed);
            assert_eq!(verified(&header, "whsec_one"), expected, "{header}");
        }
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_around_its_time() {
        let header = format!("t={TIME},v1={ONE}");
        for (distance, expected) in [
            (-301, Err(SignatureError::TooOld)),
            (-300, Ok(())),
            (0, Ok(())),
            (300, Ok(())),
            (301, Err(SignatureError::TooOld)),
        ] {
            let result = verify(PAYLOAD, &header, &secrets("whsec_one"), at(TIME + distance));
            assert_eq!(result, expected, "{distance}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is_good() {
        assert_eq!(verified(&format!("t={TIME},v1={ONE}"), ""), Err(SignatureError::NoSecret));
    }

    #[test]
    fn an_event_needs_an_id_and_a_type() {
        let read = event(PAYLOAD).unwrap();
        assert_eq!((read.id.as_str(), read.kind.as_str()), ("evt_1", "invoice.paid"));
        for other in ["", "[]", "{}", r#"{"id": "evt_1"}"#, r#"{"type": "invoice.paid"}"#, r#"{"id": 1, "type": "x"}"#]
        {
            assert!(event(other.as_bytes()).is_err(), "{other}");
        }
    }
}
