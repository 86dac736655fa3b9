//! Who has an account? Nobody can tell from what is answered, nor from how long it takes: what costs time, hashing
//! passwords and writing jobs, is counted and is the same for every address. (That an address is taken is told to
//! whoever signs up with it, as the contract has it.)

use serde_json::{Value, json};

use super::{PROXIED, WRONG, at};
use crate::harness::engines::both_engines;
use crate::journeys::address;
use crate::journeys::client::{Client, PASSWORD};
use crate::journeys::here::{Here, RESET, VERIFY};

/// What somebody learns from an answer, and what it cost.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
    hashes: u64,
    jobs: i64,
}

/// Accounts in every state there is, and one that there is not.
const NAMES: [&str; 5] = ["active", "unverified", "disabled", "deleted", "unknown"];

/// Makes them.
async fn people(here: &Here) {
    let root = here.admin("root").await.client;
    here.verified("active").await;
    here.sign_up("unverified").await;
    let disabled = here.verified("disabled").await.id;
    root.patch(&format!("/auth/users/{disabled}"), &json!({"disabled": true})).await.must(200);
    here.verified("deleted").await.client.close(PASSWORD).await.empty(204);
    here.app.run_until_idle().await;
}

/// Asks, and watches the server as closely as nobody outside can.
async fn ask(here: &Here, client: &Client, (route, body): (&str, &Value)) -> Seen {
    let passwords = &here.app.services.passwords;
    let (hashes, jobs) = (passwords.operations(), here.jobs().await);
    let answer = client.post(route, body).await;
    let mut body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if let Some(problem) = body.as_object_mut() {
        problem.remove("request_id");
    }
    let headers = answer.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort_unstable();
    let (hashes, jobs) = (passwords.operations() - hashes, here.jobs().await - jobs);
    Seen { status: answer.status, headers, body, hashes, jobs }
}

/// Asks the same about each of these people, each time from another network; gives what is seen every time.
async fn alike(here: &Here, names: &[&str], request: impl Fn(&str) -> (&'static str, Value)) -> Seen {
    let mut seen = Vec::new();
    for (name, network) in names.iter().zip(1..) {
        let (route, body) = request(name);
        seen.push(ask(here, &at(&here.nobody, &format!("198.51.100.{network}")), (route, &body)).await);
    }
    for (name, other) in names.iter().zip(&seen) {
        assert_eq!(*other, seen[0], "{name} is not like {}", names[0]);
    }
    seen.swap_remove(0)
}

fn sign_in(name: &str, password: &str) -> (&'static str, Value) {
    ("/auth/signin", json!({"email": address(name), "password": password}))
}

both_engines! {
    async fn a_sign_in_that_fails_looks_and_costs_the_same_for_everybody(app: App with PROXIED) {
        let here = Here::new(app).await;
        people(&here).await;
        let wrong = alike(&here, &NAMES, |name| sign_in(name, WRONG)).await;
        assert_eq!((wrong.status, &wrong.body["code"]), (401, &json!("invalid_credentials")));
        assert_eq!((wrong.hashes, wrong.jobs), (1, 0));
        // Whoever knows the password of an account that is shut or gone learns nothing from it.
        let right = alike(&here, &NAMES[2..], |name| sign_in(name, PASSWORD)).await;
        assert_eq!(right, wrong);
        let long = alike(&here, &NAMES, |name| sign_in(name, &"Aa1-".repeat(100))).await;
        assert_eq!(long, wrong);
        let empty = alike(&here, &NAMES, |name| sign_in(name, "")).await;
        assert_eq!(empty, wrong);
    }

    async fn whoever_guesses_too_often_is_stopped_at_the_same_place_for_everybody(app: App with PROXIED) {
        let here = Here::new(app).await;
        people(&here).await;
        for _ in 0..5 {
            assert_eq!(alike(&here, &NAMES, |name| sign_in(name, WRONG)).await.status, 401);
        }
        for password in [WRONG, PASSWORD] {
            let stopped = alike(&here, &NAMES, |name| sign_in(name, password)).await;
            assert_eq!((stopped.status, stopped.hashes), (429, 0));
            assert!(stopped.headers.contains(&("retry-after".to_owned(), "900".to_owned())), "{stopped:?}");
        }
    }

    async fn asking_for_a_link_looks_and_costs_the_same_for_everybody(app: App with PROXIED) {
        let here = Here::new(app).await;
        people(&here).await;
        let mut before = Vec::new();
        for name in NAMES {
            before.push(here.mails(name, "").await.len());
        }
        for route in ["/auth/forgot-password", "/auth/resend-verification"] {
            let seen = alike(&here, &NAMES, |name| (route, json!({"email": address(name)}))).await;
            assert_eq!((seen.status, &seen.body), (202, &Value::Null));
            assert_eq!((seen.hashes, seen.jobs), (0, 1));
            here.app.run_until_idle().await;
        }
        // Only the owners see a difference.
        let mut got = Vec::new();
        for (name, before) in NAMES.iter().zip(before) {
            got.push(here.mails(name, "").await.len() - before);
        }
        assert_eq!(got, [1, 2, 0, 0, 0]);
        assert_eq!(here.mails("active", RESET).await.len(), 1);
        assert_eq!(here.mails("unverified", VERIFY).await.len(), 2);
    }

    async fn a_link_that_nobody_was_sent_looks_the_same_as_one_that_is_used_up(app: App with PROXIED) {
        let here = Here::new(app).await;
        here.verified("ada").await;
        let used = here.token("ada", VERIFY).await;
        let reset = json!({"new_password": PASSWORD});
        for (route, rest) in [("/auth/verify-email", json!({})), ("/auth/reset-password", reset)] {
            let seen = alike(&here, &[used.as_str(), "made-up", ""], |token| {
                let mut body = rest.clone();
                body["token"] = json!(token);
                (route, body)
            })
            .await;
            assert_eq!((seen.status, seen.hashes, seen.jobs), (400, 0, 0), "{route}");
        }
    }
}
