//! Passwords that are forgotten, reset and changed.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::address;
use super::client::{PASSWORD, faulty};
use super::here::{Here, RESET, VERIFY};
use crate::harness::engines::both_engines;

const FORGOT_ROUTE: &str = "/auth/forgot-password";
const RESEND_ROUTE: &str = "/auth/resend-verification";
const RESET_ROUTE: &str = "/auth/reset-password";
const CHANGE_ROUTE: &str = "/auth/change-password";

const NEW: &str = "Another-Horse8-Battery";
/// Long and mixed, but made of the owner's name.
const GUESSABLE: &str = "Ada-Lovelace1!";
const CHANGED: &str = "password was changed";

fn email(name: &str) -> Value {
    json!({"email": address(name)})
}

fn reset(token: &str, password: &str) -> Value {
    json!({"token": token, "new_password": password})
}

fn change(old: &str, new: &str) -> Value {
    json!({"old_password": old, "new_password": new})
}

journey! {
    async fn a_forgotten_password_is_replaced_through_a_link_in_a_mail(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let nobody = site.client();
        let ada = nobody.with_tokens(&signed_up["tokens"]);
        ada.get("/auth/me").await.must(200);
        nobody.post(FORGOT_ROUTE, &json!({"email": "ADA@Example.com"})).await.empty(202);
        let token = site.mail(&address("ada"), RESET).await.token();
        // Mail scanners open links: looking at the page must not spend the token.
        let page = nobody.get(&format!("{RESET_ROUTE}?token={token}")).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{}", page.text);
        // Neither does a password that is refused.
        let weak = nobody.post(RESET_ROUTE, &reset(&token, GUESSABLE)).await.problem(422, "validation_failed");
        assert_eq!(faulty(&weak), ["new_password"], "{weak}");

        nobody.post(RESET_ROUTE, &reset(&token, NEW)).await.must(200);
        nobody.post(RESET_ROUTE, &reset(&token, PASSWORD)).await.problem(400, "invalid_token");
        ada.get("/auth/me").await.problem(401, "unauthorized");
        let refresh = json!({"refresh_token": signed_up["tokens"]["refresh_token"]});
        nobody.post("/auth/refresh", &refresh).await.problem(401, "unauthorized");
        let told = site.mail(&address("ada"), CHANGED).await;
        assert!(told.text.contains("From: 127.0.0.1"), "{}", told.text);
        nobody.sign_in(&address("ada"), PASSWORD).await.problem(401, "invalid_credentials");
        nobody.sign_in(&address("ada"), NEW).await.must(200);
    }

    async fn a_changed_password_ends_every_other_session(site: Site) {
        let nobody = site.client();
        let here = nobody.with_tokens(&site.sign_up("ada").await["tokens"]);
        let there = nobody.with_tokens(&nobody.sign_in(&address("ada"), PASSWORD).await.must(200)["tokens"]);
        nobody.post(CHANGE_ROUTE, &change(PASSWORD, NEW)).await.problem(401, "unauthorized");
        here.post(CHANGE_ROUTE, &change("Wrong-Horse7-Battery", NEW)).await.problem(401, "invalid_credentials");
        let weak = here.post(CHANGE_ROUTE, &change(PASSWORD, GUESSABLE)).await.problem(422, "validation_failed");
        assert_eq!(faulty(&weak), ["new_password"], "{weak}");
        there.get("/auth/me").await.must(200);

        here.post(CHANGE_ROUTE, &change(PASSWORD, NEW)).await.must(200);
        there.get("/auth/me").await.problem(401, "unauthorized");
        here.get("/auth/me").await.must(200);
        site.mail(&address("ada"), CHANGED).await;
        nobody.sign_in(&address("ada"), PASSWORD).await.problem(401, "invalid_credentials");
        nobody.sign_in(&address("ada"), NEW).await.must(200);
    }
}

both_engines! {
    async fn a_link_that_resets_a_password_is_good_for_an_hour(app: App) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        here.nobody.post(FORGOT_ROUTE, &email("ada")).await.empty(202);
        let token = here.token("ada", RESET).await;
        here.pass(TimeDelta::hours(1) - TimeDelta::seconds(1));
        // That it is the password which is refused shows that the link is still good.
        here.nobody.post(RESET_ROUTE, &reset(&token, GUESSABLE)).await.problem(422, "validation_failed");
        here.pass(TimeDelta::seconds(1));
        here.nobody.post(RESET_ROUTE, &reset(&token, NEW)).await.problem(400, "invalid_token");
        here.sign_in("ada", PASSWORD).await.must(200);
        assert!(here.mails("ada", CHANGED).await.is_empty());
    }

    async fn of_several_links_only_one_is_used_and_only_once(app: App) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        for _ in 0..3 {
            here.nobody.post(FORGOT_ROUTE, &email("ada")).await.empty(202);
        }
        let tokens = here.tokens("ada", RESET).await;
        assert_eq!(tokens.len(), 3);
        let (first, second) = (reset(&tokens[0], NEW), reset(&tokens[0], "Third-Horse9-Battery"));
        let (a, b) = tokio::join!(here.nobody.post(RESET_ROUTE, &first), here.nobody.post(RESET_ROUTE, &second));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{} {}", a.text, b.text);
        for token in &tokens {
            here.nobody.post(RESET_ROUTE, &reset(token, NEW)).await.problem(400, "invalid_token");
        }
        // A link is good for its own purpose only.
        let verifies = here.token("ada", VERIFY).await;
        here.nobody.post(RESET_ROUTE, &reset(&verifies, NEW)).await.problem(400, "invalid_token");
        here.nobody.post("/auth/verify-email", &json!({ "token": verifies })).await.must(200);
    }

    async fn nobody_is_mailed_who_has_no_use_for_a_link(app: App) {
        let here = Here::new(app).await;
        let admin = here.admin("root").await;
        here.verified("ada").await;
        here.sign_up("eve").await;
        let shut = here.sign_up("bob").await.id;
        admin.client.patch(&format!("/auth/users/{shut}"), &json!({"disabled": true})).await.must(200);
        let first = here.token("eve", VERIFY).await;
        for route in [RESEND_ROUTE, FORGOT_ROUTE] {
            for name in ["ada", "eve", "bob", "nobody"] {
                here.nobody.post(route, &email(name)).await.empty(202);
            }
        }
        let got = async |subject: &str| {
            let mut counts = Vec::new();
            for name in ["ada", "eve", "bob", "nobody"] {
                counts.push(here.mails(name, subject).await.len());
            }
            counts
        };
        // The first of each came with the sign-up.
        assert_eq!(got(VERIFY).await, [1, 2, 1, 0]);
        assert_eq!(got(RESET).await, [1, 1, 0, 0]);
        // The new link works, and nothing is left to do for the old one.
        let tokens = here.tokens("eve", VERIFY).await;
        let second = tokens.into_iter().find(|token| *token != first).expect("another token");
        here.nobody.post("/auth/verify-email", &json!({ "token": second })).await.must(200);
        for route in [RESEND_ROUTE, FORGOT_ROUTE] {
            let refused = here.nobody.post(route, &json!({"email": "no address"})).await;
            assert_eq!(faulty(&refused.problem(422, "validation_failed")), ["email"]);
        }
    }

    async fn an_address_is_mailed_at_most_five_links_an_hour_and_nobody_can_tell(app: App) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        for _ in 0..8 {
            here.nobody.post(FORGOT_ROUTE, &email("ada")).await.empty(202);
        }
        assert_eq!(here.mails("ada", RESET).await.len(), 5);
        here.pass(TimeDelta::hours(1));
        here.nobody.post(FORGOT_ROUTE, &email("ada")).await.empty(202);
        assert_eq!(here.mails("ada", RESET).await.len(), 6);
    }
}
