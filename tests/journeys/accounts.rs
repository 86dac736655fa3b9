//! The story of an account: signing up, verifying the address, signing in and out.
//!
//! Passwords, sessions, the second factor, admins and the end of an account have files of their own; what attackers try
//! is in `tests/attacks`.

use serde_json::json;

use super::address;
use super::client::{PASSWORD, faulty};

journey! {
    async fn an_address_is_verified_once_and_the_trial_begins_once(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let ada = site.client().with_tokens(&signed_up["tokens"]);
        let token = json!({"token": site.verification_token("ada").await});
        // Mail scanners open links: looking at the page must not spend the token.
        let page = ada.get(&format!("/auth/verify-email?token={}", token["token"].as_str().unwrap_or_default())).await;
        assert_eq!(page.status, 200, "{}", page.text);
        ada.post("/auth/verify-email", &token).await.must(200);
        ada.post("/auth/verify-email", &token).await.problem(400, "invalid_token");
        ada.post("/auth/verify-email", &json!({"token": "made-up"})).await.problem(400, "invalid_token");

        let trial = ada.get("/payments/trial").await.must(200);
        assert_eq!(trial["is_active"], true, "{trial}");
        assert_eq!(trial["days_remaining"], 30, "{trial}");
        assert_eq!((&trial["credits_total"], &trial["credits_remaining"]), (&json!(10), &json!(10)));
        let me = ada.get("/auth/me").await.must(200);
        assert_eq!(me["username"], "ada", "{me}");
        assert_eq!(me["email_verified"], true, "{me}");
        assert_eq!(me["credits"], 10, "{me}");
    }

    async fn a_sign_up_is_told_everything_that_is_wrong_at_once(site: Site) {
        let nobody = site.client();
        let bad = json!({"email": "ada", "username": "a", "password": "short", "full_name": "", "role": "admin"});
        let problem = nobody.post("/auth/signup", &bad).await.problem(422, "validation_failed");
        assert_eq!(faulty(&problem), ["email", "username", "full_name", "role", "password"], "{problem}");

        site.sign_up("ada").await;
        let again = |email: &str, username: &str| json!({
            "email": email, "username": username, "password": PASSWORD, "full_name": "Ada", "role": "student",
        });
        // Neither the address nor the user name may be taken again, whatever its case.
        for body in [again("ADA@example.com", "eve"), again("eve@example.com", "Ada")] {
            nobody.post("/auth/signup", &body).await.problem(409, "already_exists");
        }
    }

    async fn signing_in_does_not_tell_who_has_an_account(site: Site) {
        site.sign_up("ada").await;
        let nobody = site.client();
        let body = |email: &str, password: &str| json!({"email": email, "password": password});
        let wrong = nobody.post("/auth/signin", &body(&address("ada"), "Wrong-Horse7-Battery")).await;
        let unknown = nobody.post("/auth/signin", &body(&address("eve"), PASSWORD)).await;
        let wrong = wrong.problem(401, "invalid_credentials");
        let unknown = unknown.problem(401, "invalid_credentials");
        assert_eq!(wrong["detail"], unknown["detail"]);

        let signed_in = nobody.post("/auth/signin", &body("Ada@Example.com", PASSWORD)).await.must(200);
        let ada = nobody.with_tokens(&signed_in["tokens"]);
        ada.get("/auth/me").await.must(200);
        let refresh = json!({"refresh_token": signed_in["tokens"]["refresh_token"]});
        let signed_out = nobody.post("/auth/signout", &refresh).await;
        assert_eq!((signed_out.status, signed_out.text.as_str()), (204, ""));
        ada.get("/auth/me").await.problem(401, "unauthorized");
        nobody.post("/auth/refresh", &refresh).await.problem(401, "unauthorized");
    }

    async fn a_token_is_good_for_its_own_purpose_only(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let nobody = site.client();
        let (access, refresh) = (&signed_up["tokens"]["access_token"], &signed_up["tokens"]["refresh_token"]);
        nobody.get("/auth/me").await.problem(401, "unauthorized");
        for token in ["", "no.token.atall", "🦀"] {
            nobody.with_bearer(token).get("/auth/me").await.problem(401, "unauthorized");
        }
        let refresh_as_access = nobody.with_bearer(refresh.as_str().unwrap_or_default());
        refresh_as_access.get("/auth/me").await.problem(401, "wrong_token_type");
        nobody.post("/auth/refresh", &json!({ "refresh_token": access })).await.problem(401, "wrong_token_type");
        // One letter of the signature is another one.
        let mut forged = access.as_str().unwrap_or_default().to_owned();
        let last = if forged.ends_with('A') { "Q" } else { "A" };
        forged.replace_range(forged.len() - 1.., last);
        nobody.with_bearer(&forged).get("/auth/me").await.problem(401, "unauthorized");
    }
}
