//! Tokens signed with keys that the program makes: anybody can check them, and keys follow each other unnoticed.
//!
//! The program's own processes show the first; the months that the second takes pass in a service in this process,
//! whose clock is moved by hand.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::on;
use shared::services::Services;
use shared::tokens::Tokens;
use shared::tokens::keyring;

use super::address;
use super::client::{Client, PASSWORD};
use crate::harness::engines::{App, Settings, both_engines, serve};

/// Keys instead of a secret.
const EDDSA: Settings = &[("JWT_ALGORITHM", "EdDSA")];
const JWKS: &str = "/.well-known/jwks.json";

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap_or_else(|error| panic!("{error} in {part}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The header of a token.
fn header(token: &str) -> Value {
    let part = token.split('.').next().unwrap_or_default();
    serde_json::from_slice(&decoded(part)).unwrap_or_else(|error| panic!("{error} in {token}"))
}

/// The key that a token names.
fn kid(token: &str) -> String {
    text(&header(token), "kid").to_owned()
}

/// Checks a signature as a stranger would, who knows nothing but the published keys.
fn check(token: &str, published: &Value) {
    let (message, signature) = token.rsplit_once('.').unwrap_or_else(|| panic!("{token}"));
    assert_eq!(header(token)["alg"], "EdDSA");
    let keys = published["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key = keys.iter().find(|key| text(key, "kid") == kid(token)).unwrap_or_else(|| panic!("{published}"));
    for (member, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")] {
        assert_eq!(key[member], value, "{key}");
    }
    assert!(key.get("d").is_none(), "a private key is published");
    let public = UnparsedPublicKey::new(&ED25519, decoded(text(key, "x")));
    assert!(public.verify(message.as_bytes(), &decoded(signature)).is_ok(), "{token}");
}

async fn published(client: &Client) -> Vec<String> {
    let set = client.get(JWKS).await.must(200);
    let keys = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().map(|key| text(key, "kid").to_owned()).collect()
}

/// The tokens of a new account.
async fn sign_up(client: &Client, name: &str) -> Value {
    let body = json!({
        "email": address(name), "username": name, "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "professional",
    });
    client.post("/auth/signup", &body).await.must(201)["tokens"].clone()
}

/// The key that signs now: that of a session that begins now.
async fn signing(client: &Client, name: &str) -> String {
    let body = json!({"email": address(name), "password": PASSWORD});
    let signed_in = client.post("/auth/signin", &body).await.must(200);
    let tokens = &signed_in["tokens"];
    client.with_tokens(tokens).get("/auth/me").await.must(200);
    assert_eq!(kid(text(tokens, "access_token")), kid(text(tokens, "refresh_token")));
    kid(text(tokens, "access_token"))
}

/// Does the scheduler's duty as if this were its time.
async fn rotate(app: &App) {
    let done = ::scheduler::once(&app.services, "rotate_signing_keys", app.clock.now()).await;
    assert!(done.is_ok(), "{done:?}");
}

/// Another process of the same deployment, which has just read the keys.
async fn another_process(app: &App) -> Services {
    let services = app.services.clone();
    let keys = keyring::load(&services.db, &services.seal, services.clock.now()).await;
    let keys = keys.unwrap_or_else(|error| panic!("{error}"));
    Services { tokens: Arc::new(Tokens::with("autoos", keys)), ..services }
}

journey! {
    async fn anybody_can_check_a_token_with_the_published_keys(site: Site with EDDSA) {
        let mut site = site;
        let signed_up = site.sign_up("ada").await;
        let ada = site.client().with_tokens(&signed_up["tokens"]);
        ada.get("/auth/me").await.must(200);
        let answer = site.client().get(JWKS).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=300");
        let keys = answer.must(200);
        check(text(&signed_up["tokens"], "access_token"), &keys);
        check(text(&signed_up["tokens"], "refresh_token"), &keys);

        // The key is kept: a restart ends no session, and the same key signs.
        site.crash_api().await;
        ada.get("/auth/me").await.must(200);
        assert_eq!(site.client().get(JWKS).await.must(200), keys);
        let refresh = json!({"refresh_token": signed_up["tokens"]["refresh_token"]});
        let refreshed = site.client().post("/auth/refresh", &refresh).await.must(200);
        check(text(&refreshed["tokens"], "access_token"), &keys);
    }

    async fn a_secret_is_never_published(site: Site) {
        let signed_up = site.sign_up("ada").await;
        assert_eq!(header(text(&signed_up["tokens"], "access_token"))["alg"], "HS256");
        assert_eq!(site.client().get(JWKS).await.must(200), json!({"keys": []}));
    }
}

both_engines! {
    async fn keys_follow_each_other_and_no_session_breaks(app: App with EDDSA) {
        let nobody = Client::new(&serve(app.services.clone()).await);
        let first = kid(text(&sign_up(&nobody, "ada").await, "access_token"));
        app.clock.advance(TimeDelta::days(29));
        rotate(&app).await;
        assert_eq!(published(&nobody).await, std::slice::from_ref(&first));

        app.clock.advance(TimeDelta::days(1));
        rotate(&app).await;
        let keys = published(&nobody).await;
        assert_eq!((keys.len(), &keys[0]), (2, &first));
        let second = keys[1].clone();
        app.clock.advance(TimeDelta::hours(24) - TimeDelta::minutes(1));
        assert_eq!(signing(&nobody, "ada").await, first, "the next key is published, but does not sign for a day");
        let eve = sign_up(&nobody, "eve").await;
        assert_eq!(kid(text(&eve, "access_token")), first);

        app.clock.advance(TimeDelta::minutes(1));
        assert_eq!(signing(&nobody, "ada").await, second, "no process has to be told");
        nobody.with_tokens(&eve).get("/auth/me").await.must(200);
        // What the first key signed a minute before its end is good for thirty days.
        for _ in 0..29 {
            rotate(&app).await;
            app.clock.advance(TimeDelta::days(1));
        }
        app.clock.advance(TimeDelta::days(1) - TimeDelta::minutes(2));
        rotate(&app).await;
        assert!(published(&nobody).await.contains(&first));
        let refresh = json!({"refresh_token": eve["refresh_token"]});
        let refreshed = nobody.post("/auth/refresh", &refresh).await.must(200);
        assert_eq!(kid(text(&refreshed["tokens"], "refresh_token")), second);

        app.clock.advance(TimeDelta::days(1) + TimeDelta::minutes(2));
        rotate(&app).await;
        let keys = published(&nobody).await;
        assert_eq!((keys.contains(&first), keys.len()), (false, 2), "nothing that it signed is good any more");
        assert_eq!(signing(&nobody, "ada").await, keys[1]);
    }

    async fn a_key_that_another_process_made_is_found_when_a_token_names_it(app: App with EDDSA) {
        let here = Client::new(&serve(app.services.clone()).await);
        let there = Client::new(&serve(another_process(&app).await).await);
        app.clock.advance(TimeDelta::days(30));
        rotate(&app).await;
        app.clock.advance(TimeDelta::hours(24));
        assert_eq!((published(&here).await.len(), published(&there).await.len()), (2, 1));
        let ada = sign_up(&here, "ada").await;
        there.with_tokens(&ada).get("/auth/me").await.must(200);
        assert_eq!(published(&here).await, published(&there).await);
    }

    async fn withdrawn_keys_end_their_sessions_and_others_take_over_at_once(app: App with EDDSA) {
        let here = Client::new(&serve(app.services.clone()).await);
        let there = Client::new(&serve(another_process(&app).await).await);
        let ada = sign_up(&here, "ada").await;
        there.with_tokens(&ada).get("/auth/me").await.must(200);
        there.with_bearer(&made_up()).get("/auth/me").await.problem(401, "unauthorized");
        withdraw_all(&app).await;
        here.with_tokens(&ada).get("/auth/me").await.problem(401, "unauthorized");

        let eve = sign_up(&here, "eve").await;
        // A made-up key was searched for in this very second; strangers cannot have that done at will.
        there.with_tokens(&eve).get("/auth/me").await.problem(401, "unauthorized");
        app.clock.advance(TimeDelta::seconds(1));
        there.with_tokens(&eve).get("/auth/me").await.must(200);
        there.with_tokens(&ada).get("/auth/me").await.problem(401, "unauthorized");
    }
}

/// A token that names a key which nobody has made.
fn made_up() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "EdDSA", "typ": "JWT", "kid": "made-up"}));
    format!("{header}.{}.AAAA", part(json!({"sub": "ada"})))
}

/// Deletes every key, as after a break-in, and has the app notice.
async fn withdraw_all(app: &App) {
    let now = app.clock.now();
    let mut tx = app.services.db.begin().await.expect("a transaction");
    on!(tx, |c| sqlx::query("delete from signing_keys").execute(&mut *c).await.map(drop)).expect("a change");
    tx.commit().await.expect("a commit");
    app.services.reload_keys(now).await.expect("keys");
}
