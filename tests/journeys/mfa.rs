//! The second factor as its owner uses it and as a thief tries it. Codes come from Python's standard library, which
//! knows nothing of ours.
//!
//! What depends on the passing of time runs against the API in this process, whose clock the test moves.

use std::collections::BTreeSet;
use std::process::Command;

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::on;

use super::address;
use super::client::{Answer, Client, PASSWORD, send};
use crate::harness::engines::{self, App, both_engines};

const SETUP: &str = "/auth/mfa/setup";
const VERIFY: &str = "/auth/mfa/verify";
const DISABLE: &str = "/auth/mfa/disable";
const BACKUP_CODES: &str = "/auth/mfa/backup-codes";

/// Prints the code of a secret and a step.
const AUTHENTICATOR: &str = "
import base64, hmac, struct, sys
mac = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', int(sys.argv[2])), 'sha1').digest()
at = mac[-1] & 15
print('%06d' % ((struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6))
";

/// The code that an authenticator app shows during a step.
fn code(secret: &str, step: i64) -> String {
    let output = Command::new("python3").args(["-c", AUTHENTICATOR, secret, &step.to_string()]).output();
    let output = output.expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A code that is wrong around a step.
fn wrong_code(secret: &str, step: i64) -> String {
    let right: Vec<String> = (step - 2..=step + 2).map(|step| code(secret, step)).collect();
    (0..10).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).expect("a wrong code")
}

fn step(clock: &Clock) -> i64 {
    clock.now().timestamp() / 30
}

/// The API in this process.
async fn serve(app: &App) -> Client {
    Client::new(&engines::serve(app.services.clone()).await)
}

async fn sign_up(nobody: &Client, name: &str) -> Client {
    let body = json!({
        "email": address(name), "username": name, "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "professional",
    });
    nobody.with_tokens(&nobody.post("/auth/signup", &body).await.must(201)["tokens"])
}

/// Signs `ada` in.
async fn sign_in(nobody: &Client, code: Option<&str>) -> Answer {
    let body = json!({"email": address("ada"), "password": PASSWORD, "mfa_code": code});
    nobody.post("/auth/signin", &body).await
}

async fn set_up(user: &Client) -> Answer {
    send(user.request(Method::POST, SETUP)).await
}

async fn verify(user: &Client, code: &str) -> Answer {
    user.post(VERIFY, &json!({ "code": code })).await
}

fn password(password: &str) -> Value {
    json!({ "password": password })
}

fn secret(setup: &Value) -> String {
    setup["secret"].as_str().unwrap_or_else(|| panic!("no secret in {setup}")).to_owned()
}

/// The ten backup codes of an answer.
fn backup_codes(answer: &Value) -> Vec<String> {
    let codes: Vec<String> = serde_json::from_value(answer["backup_codes"].clone()).expect("backup codes");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10, "{answer}");
    codes
}

/// Turns the second factor on with the code of a step; gives the secret and the backup codes.
async fn turn_on(user: &Client, step: i64) -> (String, Vec<String>) {
    let secret = secret(&set_up(user).await.must(200));
    let on = verify(user, &code(&secret, step)).await.must(200);
    (secret, backup_codes(&on))
}

journey! {
    async fn a_code_of_the_app_is_asked_for_and_good_once(site: Site) {
        let nobody = site.client();
        let ada = sign_up(&nobody, "ada").await;
        let setup = set_up(&ada).await.must(200);
        let secret = secret(&setup);
        let uri = setup["otpauth_uri"].as_str().unwrap_or_default();
        assert!(uri.starts_with(&format!("otpauth://totp/AUTOOS:ada%40example.com?secret={secret}&")), "{uri}");
        assert!(setup["qr_svg"].as_str().is_some_and(|svg| svg.starts_with("<svg ")), "{setup}");
        // Until the app has shown that it has the secret, nobody is locked out by a picture that was never scanned.
        sign_in(&nobody, None).await.must(200);

        // The steps are chosen so that the test has half a minute to get here and there.
        let step = step(&Clock::System);
        verify(&ada, &wrong_code(&secret, step)).await.problem(400, "invalid_mfa_code");
        assert_eq!(ada.get("/auth/me").await.must(200)["mfa_enabled"], false);
        let first = code(&secret, step);
        let on = verify(&ada, &first).await.must(200);
        assert_eq!(on["mfa_enabled"], true, "{on}");
        assert_eq!(backup_codes(&on).len(), 10);
        set_up(&ada).await.problem(409, "wrong_state");
        verify(&ada, &first).await.problem(409, "wrong_state");

        sign_in(&nobody, None).await.problem(401, "mfa_required");
        sign_in(&nobody, Some(&first)).await.problem(401, "invalid_mfa_code");
        let next = code(&secret, step + 1);
        let signed_in = sign_in(&nobody, Some(&next)).await.must(200);
        sign_in(&nobody, Some(&next)).await.problem(401, "invalid_mfa_code");
        let me = nobody.with_tokens(&signed_in["tokens"]).get("/auth/me").await.must(200);
        assert_eq!(me["mfa_enabled"], true, "{me}");
    }

    async fn a_backup_code_is_good_once_and_void_when_replaced(site: Site) {
        let nobody = site.client();
        let ada = sign_up(&nobody, "ada").await;
        let (_, old) = turn_on(&ada, step(&Clock::System)).await;
        let typed = old[0].to_uppercase().replace('-', " ");
        sign_in(&nobody, Some(&typed)).await.must(200);
        sign_in(&nobody, Some(&old[0])).await.problem(401, "invalid_mfa_code");

        ada.post(BACKUP_CODES, &password("Wrong-Horse7-Battery")).await.problem(401, "invalid_credentials");
        let new = backup_codes(&ada.post(BACKUP_CODES, &password(PASSWORD)).await.must(200));
        assert!(new.iter().all(|code| !old.contains(code)));
        sign_in(&nobody, Some(&old[1])).await.problem(401, "invalid_mfa_code");
        sign_in(&nobody, Some(&new[0])).await.must(200);
    }

    async fn turning_the_second_factor_off_takes_the_password(site: Site) {
        let nobody = site.client();
        let ada = sign_up(&nobody, "ada").await;
        let (secret, codes) = turn_on(&ada, step(&Clock::System)).await;
        // The access token alone, or a code alone, does not do.
        for wrong in ["Wrong-Horse7-Battery", &codes[0]] {
            ada.post(DISABLE, &password(wrong)).await.problem(401, "invalid_credentials");
        }
        sign_in(&nobody, None).await.problem(401, "mfa_required");
        let off = ada.post(DISABLE, &password(PASSWORD)).await.must(200);
        assert_eq!(off, json!({"mfa_enabled": false}));

        sign_in(&nobody, None).await.must(200);
        ada.post(BACKUP_CODES, &password(PASSWORD)).await.problem(409, "wrong_state");
        verify(&ada, &code(&secret, step(&Clock::System))).await.problem(409, "wrong_state");
        ada.post(DISABLE, &password(PASSWORD)).await.must(200);
        // A new secret may begin with the step that the old one has spent.
        let (second, _) = turn_on(&ada, step(&Clock::System)).await;
        assert_ne!(second, secret);
    }

    async fn the_second_factor_is_nobody_elses_business(site: Site) {
        let nobody = site.client();
        set_up(&nobody).await.problem(401, "unauthorized");
        verify(&nobody, "123456").await.problem(401, "unauthorized");
        for route in [DISABLE, BACKUP_CODES] {
            nobody.post(route, &password(PASSWORD)).await.problem(401, "unauthorized");
        }
        let ada = sign_up(&nobody, "ada").await;
        verify(&ada, "123456").await.problem(409, "wrong_state");
        for (route, body) in [(VERIFY, json!({})), (DISABLE, json!({"password": PASSWORD, "user_id": "eve"}))] {
            ada.post(route, &body).await.problem(422, "validation_failed");
        }
    }
}

both_engines! {
    async fn a_code_is_good_for_a_step_around_its_own_but_never_after_a_later_one(app: App) {
        let nobody = serve(&app).await;
        let ada = sign_up(&nobody, "ada").await;
        let first = step(&app.clock);
        let (secret, _) = turn_on(&ada, first).await;
        app.clock.advance(TimeDelta::seconds(30));
        let second = code(&secret, first + 1);
        sign_in(&nobody, Some(&second)).await.must(200);
        sign_in(&nobody, Some(&second)).await.problem(401, "invalid_mfa_code");
        // Two steps ahead is too early; half a minute later it is not.
        let fourth = code(&secret, first + 3);
        sign_in(&nobody, Some(&fourth)).await.problem(401, "invalid_mfa_code");
        app.clock.advance(TimeDelta::seconds(30));
        sign_in(&nobody, Some(&fourth)).await.must(200);
        // In time and never used, but somebody may have watched it being typed before the later one.
        sign_in(&nobody, Some(&code(&secret, first + 2))).await.problem(401, "invalid_mfa_code");
        app.clock.advance(TimeDelta::seconds(60));
        sign_in(&nobody, Some(&code(&secret, first + 4))).await.must(200);
    }

    async fn guessing_codes_ends_after_ten_for_a_quarter_of_an_hour(app: App) {
        let nobody = serve(&app).await;
        let (ada, eve) = (sign_up(&nobody, "ada").await, sign_up(&nobody, "eve").await);
        let secret = secret(&set_up(&ada).await.must(200));
        let wrong = wrong_code(&secret, step(&app.clock));
        for _ in 0..10 {
            verify(&ada, &wrong).await.problem(400, "invalid_mfa_code");
        }
        let refused = verify(&ada, &code(&secret, step(&app.clock))).await;
        refused.problem(429, "rate_limited");
        assert_eq!(refused.header("retry-after"), "900");
        turn_on(&eve, step(&app.clock)).await;

        app.clock.advance(TimeDelta::minutes(15));
        let ada = nobody.with_tokens(&sign_in(&nobody, None).await.must(200)["tokens"]);
        verify(&ada, &code(&secret, step(&app.clock))).await.must(200);
    }

    async fn right_codes_are_not_counted_against_anybody(app: App) {
        let nobody = serve(&app).await;
        let ada = sign_up(&nobody, "ada").await;
        let first = step(&app.clock);
        let (secret, _) = turn_on(&ada, first).await;
        for later in 1..=12 {
            app.clock.advance(TimeDelta::seconds(30));
            sign_in(&nobody, Some(&code(&secret, first + later))).await.must(200);
        }
    }

    async fn nothing_that_opens_an_account_is_readable_in_the_database(app: App) {
        let nobody = serve(&app).await;
        let (ada, eve) = (sign_up(&nobody, "ada").await, sign_up(&nobody, "eve").await);
        let (secret, codes) = turn_on(&ada, step(&app.clock)).await;
        let mut tx = app.services.db.begin().await.expect("a transaction");
        let sealed: String = on!(tx, |c| {
            let sql = "select totp_secret from users where username = 'ada'";
            sqlx::query_scalar(sql).fetch_one(&mut *c).await.expect("a secret")
        });
        let hashes: Vec<String> = on!(tx, |c| {
            sqlx::query_scalar("select hash from backup_codes").fetch_all(&mut *c).await.expect("hashes")
        });
        assert!(sealed.starts_with("v1.") && !sealed.contains(&secret), "{sealed}");
        assert_eq!(hashes.len(), codes.len());
        for code in codes {
            let bare = code.replace('-', "");
            assert!(hashes.iter().all(|hash| !hash.contains(&code) && !hash.contains(&bare)), "{code}");
        }

        // Whoever can write to the database still cannot give an account a secret that they know.
        on!(tx, |c| {
            let sql = "update users set totp_secret = $1 where username = 'eve'";
            sqlx::query(sql).bind(&sealed).execute(&mut *c).await.expect("a change").rows_affected()
        });
        tx.commit().await.expect("a commit");
        verify(&eve, &code(&secret, step(&app.clock))).await.problem(500, "internal");
    }

    async fn what_happens_to_a_second_factor_is_recorded(app: App) {
        let nobody = serve(&app).await;
        let ada = sign_up(&nobody, "ada").await;
        turn_on(&ada, step(&app.clock)).await;
        let codes = backup_codes(&ada.post(BACKUP_CODES, &password(PASSWORD)).await.must(200));
        sign_in(&nobody, Some(&codes[0])).await.must(200);
        for _ in 0..2 {
            // It is off after the first time, and nothing happens then.
            ada.post(DISABLE, &password(PASSWORD)).await.must(200);
        }
        let mut reader = app.services.db.read().await.expect("a reader");
        let kinds: Vec<String> = on!(reader, |c| {
            let sql = "select kind from account_events where kind like '%mfa%' or kind like '%backup%' order by kind";
            sqlx::query_scalar(sql).fetch_all(&mut *c).await.expect("events")
        });
        assert_eq!(kinds, ["backup_code_used", "backup_codes_replaced", "mfa_disabled", "mfa_enabled"]);
    }
}
