//! Tokens that nobody gave: forged, altered, over, meant for others. The attacker has a real one to start from.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::tokens::Tokens;

use crate::harness::engines::{App, Settings, both_engines};
use crate::journeys::client::{Client, send};
use crate::journeys::here::{Account, Here};

const SECRET: &str = "what signs tokens in these tests, 5f21";
const OTHER: &str = "what the attacker would like it to be";
/// The same key as an empty one, which the library does not take.
const NOTHING: &[u8] = b"\0";
const EDDSA: Settings = &[("JWT_ALGORITHM", "EdDSA")];

/// A token, taken apart.
struct Parts {
    header: Value,
    claims: Value,
    signature: String,
}

impl Parts {
    fn of(token: &str) -> Self {
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{token}") };
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        Self { header: read(header), claims: read(claims), signature: signature.to_owned() }
    }

    /// The same with another member of the header; null removes it.
    fn header(&self, name: &str, value: Value) -> Self {
        Self { header: with(&self.header, name, value), claims: self.claims.clone(), signature: self.signature.clone() }
    }

    /// The same with another claim; null removes it.
    fn claim(&self, name: &str, value: Value) -> Self {
        Self { header: self.header.clone(), claims: with(&self.claims, name, value), signature: self.signature.clone() }
    }

    fn message(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// With the signature that it came with.
    fn unchanged(&self) -> String {
        format!("{}.{}", self.message(), self.signature)
    }

    fn unsigned(&self) -> String {
        format!("{}.", self.message())
    }

    fn signed(&self, secret: &[u8]) -> String {
        let message = self.message();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.as_object().cloned().expect("an object");
    object.remove(name);
    if !value.is_null() {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

/// The API with a secret that the test knows.
async fn here(mut app: App) -> Here {
    app.services.tokens = Arc::new(Tokens::new("autoos", &SecretString::from(SECRET), None));
    Here::new(app).await
}

fn bearer(account: &Account) -> String {
    account.tokens["access_token"].as_str().expect("a token").to_owned()
}

async fn refused(nobody: &Client, what: &str, token: &str) {
    let answer = nobody.with_bearer(token).get("/auth/me").await;
    assert_eq!(answer.status, 401, "{what}: {}", answer.text);
    answer.problem(401, "unauthorized");
    let answer = nobody.post("/auth/refresh", &json!({ "refresh_token": token })).await;
    assert!([401, 422].contains(&answer.status), "{what}: {}", answer.text);
}

both_engines! {
    async fn a_token_is_signed_by_us_or_worth_nothing(app: App) {
        let here = here(app).await;
        let ada = here.sign_up("ada").await;
        let real = Parts::of(&bearer(&ada));
        // Made by hand with the right secret it is as good as a real one, so what follows fails for its own reason.
        here.nobody.with_bearer(&real.signed(SECRET.as_bytes())).get("/auth/me").await.must(200);

        for none in ["none", "None", "NONE", "nOnE", ""] {
            let forged = real.header("alg", json!(none));
            refused(&here.nobody, none, &forged.unsigned()).await;
            refused(&here.nobody, none, &forged.unchanged()).await;
        }
        for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"] {
            refused(&here.nobody, algorithm, &real.header("alg", json!(algorithm)).signed(SECRET.as_bytes())).await;
        }
        refused(&here.nobody, "no algorithm", &real.header("alg", Value::Null).signed(SECRET.as_bytes())).await;
        refused(&here.nobody, "another secret", &real.signed(OTHER.as_bytes())).await;
        refused(&here.nobody, "no secret", &real.signed(NOTHING)).await;
        refused(&here.nobody, "no signature", &real.unsigned()).await;
        for (name, value) in [("role", json!("admin")), ("exp", json!(9_999_999_999_i64)), ("ctr", json!(7))] {
            refused(&here.nobody, name, &real.claim(name, value).unchanged()).await;
        }
        let whole = bearer(&ada);
        for (what, broken) in [
            ("cut", whole[..whole.len() - 2].to_owned()),
            ("one part more", format!("{whole}.e30")),
            ("padded", format!("{whole}=")),
            ("with a gap", whole.replacen('.', ". ", 1)),
            ("no header", whole.split_once('.').expect("parts").1.to_owned()),
            ("huge", format!("{}{whole}", "A".repeat(8_000))),
        ] {
            refused(&here.nobody, what, &broken).await;
        }
    }

    async fn a_token_cannot_choose_the_key_that_it_is_checked_with(app: App) {
        let here = here(app).await;
        let real = Parts::of(&bearer(&here.sign_up("ada").await));
        let odd = ["nobody", "", "../../../../dev/null", "' or '1'='1"].map(Value::from);
        for kid in odd.into_iter().chain([json!(7), Value::Null]) {
            let forged = real.header("kid", kid.clone());
            refused(&here.nobody, &kid.to_string(), &forged.signed(SECRET.as_bytes())).await;
            refused(&here.nobody, &kid.to_string(), &forged.signed(NOTHING)).await;
        }
        let own = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(OTHER), "alg": "HS256"});
        for (name, value) in [
            ("jwk", own.clone()),
            ("jku", json!("https://evil.example/keys.json")),
            ("x5u", json!("https://evil.example/keys.pem")),
            ("x5c", json!(["AAAA"])),
        ] {
            refused(&here.nobody, name, &real.header(name, value).signed(OTHER.as_bytes())).await;
        }
    }

    async fn a_token_for_others_or_for_another_time_is_none_here(app: App) {
        let here = here(app).await;
        let (ada, eve) = (here.sign_up("ada").await, here.sign_up("eve").await);
        let real = Parts::of(&bearer(&ada));
        let now = here.app.clock.now().timestamp();
        let all = [
            ("iss", vec![json!("somebody-else"), json!(""), Value::Null]),
            ("aud", vec![json!("somebody-else"), json!(["somebody-else"]), json!(""), Value::Null]),
            ("exp", vec![json!(now), json!(now - 1), json!(0), json!(-1), json!("9999999999"), Value::Null]),
            ("typ", vec![json!("admin"), json!("ACCESS"), json!(["access"]), Value::Null]),
            // The session is ada's, whoever it is said to be.
            ("sub", vec![json!(eve.id), json!("ada"), Value::Null]),
            ("sid", vec![json!("0199e0a4-0000-7000-8000-000000000001"), json!(""), Value::Null]),
        ];
        for (name, values) in all {
            for value in values {
                let what = format!("{name} {value}");
                refused(&here.nobody, &what, &real.claim(name, value).signed(SECRET.as_bytes())).await;
            }
        }
        // What a token says of a role is for readers; the database decides.
        let admin = here.nobody.with_bearer(&real.claim("role", json!("admin")).signed(SECRET.as_bytes()));
        assert_eq!(admin.get("/auth/me").await.must(200)["role"], "professional");
        admin.get("/auth/users").await.problem(403, "forbidden");
    }

    async fn a_token_is_good_for_its_own_kind_and_time(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        let refresh = ada.tokens["refresh_token"].as_str().expect("a token");
        here.nobody.with_bearer(refresh).get("/auth/me").await.problem(401, "wrong_token_type");
        let access = json!({"refresh_token": bearer(&ada)});
        for route in ["/auth/refresh", "/auth/signout"] {
            here.nobody.post(route, &access).await.problem(401, "wrong_token_type");
        }
        for scheme in ["Basic", "Token", "Bearer:", ""] {
            let request = here.nobody.request(Method::GET, "/auth/me");
            let request = request.header("authorization", format!("{scheme} {}", bearer(&ada)));
            send(request).await.problem(401, "unauthorized");
        }
        // Not where it could end up in logs.
        here.nobody.get(&format!("/auth/me?access_token={}", bearer(&ada))).await.problem(401, "unauthorized");
        here.pass(TimeDelta::minutes(15) - TimeDelta::seconds(1));
        ada.client.get("/auth/me").await.must(200);
        here.pass(TimeDelta::seconds(1));
        ada.client.get("/auth/me").await.problem(401, "unauthorized");
        let access = here.nobody.post("/auth/refresh", &ada.refresh).await.must(200);
        here.nobody.with_tokens(&access["tokens"]).get("/auth/me").await.must(200);
    }

    async fn a_public_key_is_no_secret(app: App with EDDSA) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        let real = Parts::of(&bearer(&ada));
        assert_eq!(real.header["alg"], "EdDSA");
        let set = here.nobody.get("/.well-known/jwks.json").await.must(200);
        let public = set["keys"][0]["x"].as_str().expect("a public key");
        let bytes = URL_SAFE_NO_PAD.decode(public).expect("base64url");
        let forged = real.header("alg", json!("HS256"));
        for secret in [bytes.as_slice(), public.as_bytes(), SECRET.as_bytes()] {
            refused(&here.nobody, "HS256", &forged.signed(secret)).await;
            refused(&here.nobody, "EdDSA in name", &real.signed(secret)).await;
        }
        refused(&here.nobody, "none", &real.header("alg", json!("none")).unsigned()).await;
        refused(&here.nobody, "altered", &real.claim("role", json!("admin")).unchanged()).await;
        refused(&here.nobody, "a key of nobody", &real.header("kid", json!("nobody")).unchanged()).await;
        ada.client.get("/auth/me").await.must(200);
    }
}
