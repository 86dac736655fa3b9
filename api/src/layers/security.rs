//! Headers that tell browsers what never to do with an answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whoever gets data to see is not to run it, whatever it holds. Pages bring their own policy.
const DATA: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year, in seconds, as browsers want it.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Sets them. With `https` browsers come over HTTPS from then on.
pub fn set(headers: &mut HeaderMap, https: bool) {
    let named = HeaderName::from_static;
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (named("cross-origin-opener-policy"), "same-origin"),
        (named("cross-origin-resource-policy"), "same-origin"),
        (named("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    // With the two below, and those that name limits, type and length.
    headers.reserve(always.len() + 8);
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
