//! What `http.request` makes of an answer: the step's output, or a failure that is worth another try or not.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::{Map, Value, json};

use super::ActionError;

/// The longest pause that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The failure that a status stands for which was not expected.
pub(super) fn status_error(call: &str, status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> ActionError {
    let message = format!("{call} answered {}", status.as_u16());
    if !(status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)) {
        return ActionError::Fail(message);
    }
    match retry_after(headers, now) {
        Some(pause) => ActionError::RetryAfter(message, pause),
        None => ActionError::Retry(message),
    }
}

/// `Retry-After` is a number of seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok()?,
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

/// The output of the step: `json` or `text` only where the body is that.
pub(super) fn output(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut output = Map::new();
    output.insert("status".into(), status.as_u16().into());
    output.insert("headers".into(), json!(header_map(headers)));
    output.insert("bytes".into(), body.len().into());
    if let Some(parsed) = json_body(headers, body) {
        output.insert("json".into(), parsed);
    } else if let Some(text) = text_body(body) {
        output.insert("text".into(), text.into());
    }
    Value::Object(output)
}

/// A header that came more than once is one list, as if it had been sent so.
fn header_map(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut map: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str())
            .and_modify(|all| *all = format!("{all}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    map
}

/// JSON that says so, or that cannot be anything else: a lone word or number without a type stays text.
fn json_body(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let declared = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_json);
    let looks_so = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    if declared || looks_so { serde_json::from_slice(body).ok() } else { None }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

/// Databases cannot keep a NUL in a text, and no text has one.
fn text_body(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn error(status: u16, retry_after: &'static str) -> ActionError {
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        status_error(
            "GET https://x/",
            StatusCode::from_u16(status).unwrap(),
            &headers(&[("retry-after", retry_after)]),
            now,
        )
    }

    fn kind_of_body(content_type: &'static str, body: &[u8]) -> &'static str {
        let output = output(StatusCode::OK, &headers(&[("content-type", content_type)]), body);
        assert_eq!(output["bytes"], body.len());
        ["json", "text"].into_iter().find(|kind| output.get(kind).is_some()).unwrap_or("neither")
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(error(status, ""), ActionError::Retry(format!("GET https://x/ answered {status}")));
        }
        for status in [300, 304, 400, 401, 403, 404, 409, 410, 422] {
            assert_eq!(error(status, "5"), ActionError::Fail(format!("GET https://x/ answered {status}")));
        }
    }

    #[test]
    fn a_server_may_ask_for_a_pause_of_up_to_an_hour() {
        let pause = |text| match error(503, text) {
            ActionError::RetryAfter(_, pause) => Some(pause.as_secs()),
            _ => None,
        };
        assert_eq!(pause("120"), Some(120));
        assert_eq!(pause("999999"), Some(3600));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(pause("Sun, 06 Nov 1994 08:00:00 GMT"), None);
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-1"), None);
    }

    #[test]
    fn a_body_is_json_text_or_neither() {
        assert_eq!(kind_of_body("application/json; charset=utf-8", b"7"), "json");
        assert_eq!(kind_of_body("application/problem+json", b"{}"), "json");
        assert_eq!(kind_of_body("text/plain", b" [1, 2]"), "json");
        assert_eq!(kind_of_body("text/plain", b"7"), "text");
        assert_eq!(kind_of_body("application/json", b"{oops"), "text");
        assert_eq!(kind_of_body("text/html", b"<p>"), "text");
        assert_eq!(kind_of_body("text/plain", b""), "text");
        assert_eq!(kind_of_body("image/png", b"\x89PNG"), "neither");
        assert_eq!(kind_of_body("text/plain", b"a\0b"), "neither");
    }

    #[test]
    fn headers_are_in_lower_case_and_repeated_ones_are_a_list() {
        let output = output(StatusCode::OK, &headers(&[("vary", "a"), ("x-one", "1"), ("vary", "b")]), b"");
        assert_eq!(output["headers"], json!({"vary": "a, b", "x-one": "1"}));
    }
}
