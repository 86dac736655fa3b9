//! HTML pages. What a browser may run and use on one is exactly what stands in it, by its SHA-256: text that is slipped
//! in does nothing.
//!
//! A page is one file with `<script>` and `<style>` elements without attributes; it may fetch from this server.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A page that is a part of this program.
pub struct HtmlPage(pub &'static str);

impl IntoResponse for HtmlPage {
    fn into_response(self) -> Response {
        let mut response = Html(self.0).into_response();
        // A policy is ASCII; without one of its own the page would get that of data, which allows nothing.
        if let Ok(policy) = HeaderValue::try_from(policy(self.0)) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

fn policy(html: &str) -> String {
    format!(
        "default-src 'none'; connect-src 'self'; script-src{}; style-src{}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        sources(html, "script"),
        sources(html, "style"),
    )
}

/// What stands in the elements of this name, as sources of a policy.
fn sources(html: &str, element: &str) -> String {
    let (opens, closes) = (format!("<{element}>"), format!("</{element}>"));
    let texts = html.split(&opens).skip(1).filter_map(|rest| rest.split_once(&closes));
    let sources = texts.map(|(text, _)| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(text))));
    sources.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn a_policy_names_each_script_and_style_and_nothing_else() {
        // `printf %s 'a()' | openssl dgst -sha256 -binary | base64`, and so on.
        let html = "<style>b{}</style><script>a()</script><p>text</p><script>c()</script>";
        let (a, b, c) = (
            "'sha256-qVpDBgj7bpq5hMAcGp3AOc79J3Y1Z4HvySTwKrWDoy4='",
            "'sha256-7yqHVAesot11p6HczDsgKRipvI5UPgs97z80zNXlans='",
            "'sha256-uv6BXxguRKhBqgeOtcyTvppA2Vttceh37dUo7xwS8Ug='",
        );
        let expected = format!(
            "default-src 'none'; connect-src 'self'; script-src {a} {c}; style-src {b}; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        );
        assert_eq!(policy(html), expected);
    }
}
