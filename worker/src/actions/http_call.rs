//! One request of `http.request`, and what becomes of it when it is redirected (RFC 9110, section 15.4).
//!
//! It is shown to users as `GET https://host/path`: a query may hold keys, and stays out of messages.

use std::fmt;

use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName,
    HeaderValue,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::actions::params::{self, HttpRequest};
use url::Url;

use super::ActionError;

/// Headers that are ours to set: they manage the connection, or prove that a repeated request is a repetition.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that is ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl Call {
    /// The request that a step asks for.
    pub(super) fn first(params: &HttpRequest, idempotency_key: &str) -> Result<Self, ActionError> {
        let mut url = Url::parse(&params.url).map_err(|error| fail(format!("The URL cannot be read: {error}.")))?;
        if !params.query.is_empty() {
            url.query_pairs_mut().extend_pairs(params.query.iter().map(|(name, value)| (name, value.to_string())));
        }
        let mut headers = user_headers(params)?;
        let key = HeaderValue::from_str(idempotency_key).map_err(|_| fail("The step's id cannot be sent.".into()))?;
        headers.insert(HeaderName::from_static("idempotency-key"), key);
        let body = params.body.as_ref().map(|value| body(value, &mut headers));
        Ok(Self { method: method(params.method), url, headers, body })
    }

    /// The request that follows when the answer points elsewhere.
    pub(super) fn redirected(mut self, status: StatusCode, to: Url) -> Self {
        let post_moved =
            [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND].contains(&status) && self.method == Method::POST;
        if post_moved || (status == StatusCode::SEE_OTHER && self.method != Method::HEAD) {
            self.method = Method::GET;
            self.body = None;
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
                self.headers.remove(name);
            }
        }
        if to.origin() != self.url.origin() {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
        }
        self.url = to;
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}", self.method, self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path())
    }
}

fn user_headers(params: &HttpRequest) -> Result<HeaderMap, ActionError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &params.headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| fail(format!("\"{}\" is not the name of a header.", name.escape_debug())))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(fail(format!("The header \"{name}\" cannot be set by a workflow.")));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| fail(format!("The header \"{name}\" has a value that cannot be sent.")))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

/// A text goes as it is, everything else as JSON; a content type that the user gave is kept.
fn body(value: &Value, headers: &mut HeaderMap) -> Vec<u8> {
    let (bytes, content_type) = match value {
        Value::String(text) => (text.clone().into_bytes(), "text/plain; charset=utf-8"),
        other => (other.to_string().into_bytes(), "application/json"),
    };
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
    bytes
}

fn method(method: params::Method) -> Method {
    match method {
        params::Method::Get => Method::GET,
        params::Method::Post => Method::POST,
        params::Method::Put => Method::PUT,
        params::Method::Patch => Method::PATCH,
        params::Method::Delete => Method::DELETE,
        params::Method::Head => Method::HEAD,
    }
}

fn fail(message: String) -> ActionError {
    ActionError::Fail(message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(with: Value) -> Result<Call, ActionError> {
        Call::first(&serde_json::from_value(with).unwrap(), "workflow:step")
    }

    fn post() -> Call {
        let headers = json!({"Authorization": "Bearer x", "Cookie": "a=b", "X-Mine": "1"});
        call(json!({"method": "POST", "url": "https://a.example/one", "headers": headers, "body": {"n": 1}})).unwrap()
    }

    fn to(url: &str) -> Url {
        url.parse().unwrap()
    }

    #[test]
    fn a_call_is_shown_without_its_query() {
        let call =
            call(json!({"url": "https://a.example:8443/x/y?key=secret", "query": {"b": 1, "c d": true}})).unwrap();
        assert_eq!(call.to_string(), "GET https://a.example:8443/x/y");
        assert_eq!(call.url.as_str(), "https://a.example:8443/x/y?key=secret&b=1&c+d=true");
    }

    #[test]
    fn bodies_are_text_or_json_and_say_so() {
        assert_eq!(post().headers[CONTENT_TYPE], "application/json");
        assert_eq!(post().body.unwrap(), b"{\"n\":1}");
        let text =
            call(json!({"url": "https://a.example", "body": "<a/>", "headers": {"content-type": "text/xml"}})).unwrap();
        assert_eq!(text.headers[CONTENT_TYPE], "text/xml");
        assert_eq!(text.body.unwrap(), b"<a/>");
    }

    #[test]
    fn a_workflow_cannot_set_the_headers_that_are_ours() {
        for name in ["Host", "Content-Length", "Connection", "Transfer-Encoding", "IDEMPOTENCY-KEY", "bad name", ""] {
            let result = call(json!({"url": "https://a.example", "headers": {name: "x"}}));
            assert!(matches!(result, Err(ActionError::Fail(_))), "{name}");
        }
        assert!(call(json!({"url": "https://a.example", "headers": {"X-A": "one\r\nX-B: two"}})).is_err());
        assert_eq!(post().headers["idempotency-key"], "workflow:step");
    }

    #[test]
    fn a_post_that_is_redirected_becomes_a_get_where_the_rules_say_so() {
        for (status, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
            let next = post().redirected(StatusCode::from_u16(status).unwrap(), to("https://a.example/two"));
            assert_eq!(next.method, method, "{status}");
            assert_eq!(next.body.is_some(), method == "POST", "{status}");
            assert_eq!(next.headers.contains_key(CONTENT_TYPE), method == "POST", "{status}");
        }
        let put = Call { method: Method::PUT, ..post() };
        assert_eq!(put.redirected(StatusCode::FOUND, to("https://a.example/")).method, Method::PUT);
        let head = Call { method: Method::HEAD, ..post() };
        assert_eq!(head.redirected(StatusCode::SEE_OTHER, to("https://a.example/")).method, Method::HEAD);
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let same = post().redirected(StatusCode::FOUND, to("https://a.example:443/two"));
        assert!(same.headers.contains_key(AUTHORIZATION) && same.headers.contains_key(COOKIE));
        for url in ["https://b.example/", "http://a.example/", "https://a.example:444/"] {
            let other = post().redirected(StatusCode::FOUND, to(url));
            assert!(!other.headers.contains_key(AUTHORIZATION) && !other.headers.contains_key(COOKIE), "{url}");
            assert!(other.headers.contains_key("x-mine") && other.headers.contains_key("idempotency-key"), "{url}");
        }
    }
}
