//! Stored hashes of passwords over the years: one that is weaker than those of today is replaced when its owner signs in.

use futures_util::future::join_all;
use serde_json::json;
use shared::passwords::Passwords;
use shared::store::users;

use super::address;
use super::client::{Answer, Client, PASSWORD};
use crate::harness::engines::{App, both_engines, serve};

/// Of [`PASSWORD`], made by another program with 8 MiB and one pass.
const WEAK: &str = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdCBvZiB0aGUgdGVzdA$H/AB6H4qksuf0A0zT6Q2R4ZasGtk8egA+WdnefszHeY";

/// The account of `ada`, as it was stored long ago; gives somebody who is not signed in.
async fn old_account(app: &App) -> Client {
    let nobody = Client::new(&serve(app.services.clone()).await);
    let body = json!({
        "email": address("ada"), "username": "ada", "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "professional",
    });
    nobody.post("/auth/signup", &body).await.must(201);
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let ada = users::by_email(&mut tx, &address("ada")).await.expect("a row").expect("an account");
    users::set_password(&mut tx, ada.id, WEAK).await.expect("a change");
    tx.commit().await.expect("a commit");
    nobody
}

async fn stored(app: &App) -> String {
    let mut reader = app.services.db.read().await.expect("a reader");
    users::by_email(&mut reader, &address("ada")).await.expect("a row").expect("an account").password_hash
}

async fn sign_in(nobody: &Client, password: &str) -> Answer {
    nobody.post("/auth/signin", &json!({"email": address("ada"), "password": password})).await
}

#[test]
fn a_hash_that_was_made_with_less_than_today_is_outdated_and_one_made_with_more_is_not() {
    for (from, to, outdated) in [
        ("m=8192,t=1", "m=8192,t=1", true),
        ("m=8192,t=1", "m=19456,t=2", false),
        ("m=8192,t=1", "m=47104,t=3", false),
        ("m=8192,t=1", "m=47104,t=1", true),
        ("m=8192,t=1", "m=19455,t=9", true),
        ("argon2id$v=19$m=8192,t=1", "argon2i$v=19$m=19456,t=2", true),
        ("v=19$m=8192,t=1", "v=16$m=19456,t=2", true),
        ("v=19$m=8192,t=1", "m=19456,t=2", true),
        ("$argon2id", "argon2id", true),
    ] {
        assert_eq!(Passwords::is_outdated(&WEAK.replace(from, to)), outdated, "{from} to {to}");
    }
    assert!(Passwords::is_outdated(""));
}

#[tokio::test]
async fn a_hash_of_today_is_as_strong_as_owasp_asks_for_and_an_old_one_is_checked_as_it_was_made() {
    let passwords = Passwords::new(1).expect("a hash");
    let hash = passwords.hash(PASSWORD.to_owned()).await.expect("a hash");
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!Passwords::is_outdated(&hash));
    for (password, right) in [(PASSWORD, true), ("Wrong-Horse7-Battery", false)] {
        let verified = passwords.verify(password.to_owned(), Some(WEAK.to_owned())).await;
        assert_eq!(verified.expect("a check"), right, "{password}");
    }
}

both_engines! {
    async fn a_weak_hash_is_replaced_by_signing_in_and_by_nothing_else(app: App) {
        let nobody = old_account(&app).await;
        sign_in(&nobody, "Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
        assert_eq!(stored(&app).await, WEAK);

        let signed_in = sign_in(&nobody, PASSWORD).await.must(200);
        let fresh = stored(&app).await;
        assert!(fresh != WEAK && !Passwords::is_outdated(&fresh), "{fresh}");
        nobody.with_tokens(&signed_in["tokens"]).get("/auth/me").await.must(200);

        // It is that of the same password, and stays.
        sign_in(&nobody, PASSWORD).await.must(200);
        assert_eq!(stored(&app).await, fresh);
        sign_in(&nobody, "Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
    }

    async fn all_who_sign_in_while_a_weak_hash_is_replaced_get_in(app: App) {
        let nobody = old_account(&app).await;
        // No more than may try at once.
        for answer in join_all((0..4).map(|_| sign_in(&nobody, PASSWORD))).await {
            answer.must(200);
        }
        assert!(!Passwords::is_outdated(&stored(&app).await));
    }
}
