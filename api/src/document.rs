//! What the `OpenAPI` document says of routes without their saying it: the refusals that follow from what a route
//! takes, that every refusal is a problem document, the headers of answers, and a unique name for each operation.
//!
//! A route says the rest, a refusal by its status and its reason: `(status = 409, description = "It has ended")`.

use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{
    Components, Content, Header, HeaderBuilder, Object, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Type,
};

/// Statuses, and what they mean where a route says nothing else.
const REFUSALS: [(&str, &str); 11] = [
    ("400", "The query or the body cannot be read"),
    ("401", "The access token is missing, or not good any more"),
    ("404", "There is nothing at this address"),
    ("408", "The body did not arrive in time"),
    ("413", "The body has more than 256 KiB"),
    ("414", "The address has more than 8 KiB"),
    ("415", "The body is not application/json"),
    ("422", "Something in the body is not valid; errors tells all of it"),
    ("429", "The rate limit is reached"),
    ("500", "Something went wrong on our side"),
    ("503", "The server is busy or shutting down, or this took too long; try again"),
];

const REQUEST_ID: &str = "X-Request-Id";
const RETRY_AFTER: &str = "Retry-After";
const AUTHENTICATE: &str = "WWW-Authenticate";
const RATES: [&str; 3] = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];

/// Completes a document that has all routes.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            describe(operation);
        }
    }
    add_shared(document.components.get_or_insert_default());
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `get_api_v1_workflows_id` for `GET /api/v1/workflows/{id}`.
fn name(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

fn describe(operation: &mut Operation) {
    let limited = operation.security.is_some();
    for status in refusals(operation) {
        let shared = || Ref::from_response_name(status).into();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(shared);
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            finish(response, status, limited);
        }
    }
}

/// The refusals that follow from what an operation takes.
fn refusals(operation: &Operation) -> Vec<&'static str> {
    let takes = |place: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|one| matches!(one, RefOr::T(one) if one.parameter_in == place))
    };
    let mut statuses = vec!["414", "500", "503"];
    if takes(ParameterIn::Query) {
        statuses.push("400");
    }
    if takes(ParameterIn::Path) {
        statuses.push("404");
    }
    if operation.request_body.is_some() {
        statuses.extend(["400", "408", "413", "415", "422"]);
    }
    if operation.security.is_some() {
        statuses.extend(["401", "429"]);
    }
    statuses
}

/// Makes a refusal a problem, and names the headers; `limited` is what the rate limit of the user counts.
fn finish(response: &mut Response, status: &str, limited: bool) {
    if status >= "400" && response.content.is_empty() {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert("application/problem+json".to_owned(), problem.into());
    }
    let mut headers = vec![REQUEST_ID];
    match status {
        "401" => headers.push(AUTHENTICATE),
        "429" | "503" => headers.push(RETRY_AFTER),
        _ => {}
    }
    if limited && status != "401" {
        headers.extend(RATES);
    }
    for header in headers {
        let shared = RefOr::Ref(Ref::new(format!("#/components/headers/{header}")));
        response.headers.insert(header.to_owned(), shared);
    }
}

/// Adds what operations refer to.
fn add_shared(components: &mut Components) {
    for (status, description) in REFUSALS {
        let mut response = ResponseBuilder::new().description(description).build();
        finish(&mut response, status, status == "429");
        components.responses.insert(status.to_owned(), response.into());
    }
    for (name, kind, description) in [
        (REQUEST_ID, Type::String, "The id of the request, for support"),
        (AUTHENTICATE, Type::String, "Always Bearer"),
        (RETRY_AFTER, Type::Integer, "The seconds after which trying again makes sense"),
        (RATES[0], Type::Integer, "How many requests the rate limit lets in within one window"),
        (RATES[1], Type::Integer, "How many of them are left"),
        (RATES[2], Type::Integer, "The seconds until there are more"),
    ] {
        components.headers.insert(name.to_owned(), header(kind, description).into());
    }
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Every operation with its path and method.
    fn all(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        operations.collect()
    }

    fn document() -> Value {
        serde_json::from_str(&crate::openapi()).unwrap()
    }

    #[test]
    fn a_refusal_that_follows_from_what_a_route_takes_is_documented_with_it() {
        let document = document();
        let statuses = |path: &str, method: &str| {
            let responses = document["paths"][path][method]["responses"].as_object().unwrap();
            responses.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(statuses("/health/live", "get"), "200 414 500 503");
        assert_eq!(statuses("/api/v1/workflows", "get"), "200 400 401 414 429 500 503");
        assert_eq!(statuses("/api/v1/workflows/{id}", "delete"), "200 401 403 404 409 414 429 500 503");
        assert_eq!(statuses("/api/v1/intents", "post"), "202 400 401 402 403 408 413 414 415 422 429 500 503");
    }

    #[test]
    fn every_refusal_is_a_problem_and_every_answer_has_its_headers() {
        let document = document();
        for (name, operation) in all(&document) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = match response["$ref"].as_str() {
                    Some(place) => document.pointer(&place[1..]).unwrap_or_else(|| panic!("{name} {status}: {place}")),
                    None => response,
                };
                assert!(response["headers"][REQUEST_ID].is_object(), "{name} {status}");
                let is_problem = response["content"]["application/problem+json"].is_object();
                let ready = (name.as_str(), status.as_str()) == ("get /health/ready", "503");
                assert_eq!(is_problem, status.as_str() >= "400" && !ready, "{name} {status}");
                for header in response["headers"].as_object().unwrap().values() {
                    let place = header["$ref"].as_str().unwrap();
                    assert!(document.pointer(&place[1..]).is_some(), "{name} {status}: {place}");
                }
            }
        }
        assert!(document["components"]["schemas"]["Problem"]["properties"]["errors"].is_object());
        assert!(document["components"]["schemas"]["FieldError"].is_object());
    }

    #[test]
    fn no_two_operations_have_the_same_name() {
        let document = document();
        let all = all(&document);
        let names: BTreeSet<_> = all.iter().map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(name("get", "/api/v1/workflows/{id}"), "get_api_v1_workflows_id");
        assert_eq!(name("get", "/.well-known/jwks.json"), "get_well_known_jwks_json");
    }
}
