//! Signed-in devices: listing and ending them, tokens that are renewed, lost and stolen, sign-ins from elsewhere.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::address;
use super::client::{Answer, Client, PASSWORD};
use super::here::{Here, account};
use crate::harness::engines::both_engines;

const SESSIONS: &str = "/auth/sessions";
const ENDED: &str = "A session of your AUTOOS account was ended";
const NEW_SIGN_IN: &str = "New sign-in";

async fn signed_in(client: &Client) -> Client {
    client.with_tokens(&client.sign_in(&address("ada"), PASSWORD).await.must(200)["tokens"])
}

async fn refresh(client: &Client, body: &Value) -> Answer {
    client.post("/auth/refresh", body).await
}

/// What refreshes a session after it was refreshed.
fn next(refreshed: &Value) -> Value {
    json!({"refresh_token": refreshed["tokens"]["refresh_token"]})
}

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().cloned().unwrap_or_default()
}

/// The session that a client is in.
async fn own_session(client: &Client) -> Value {
    let page = client.get(SESSIONS).await.must(200);
    let own = items(&page).into_iter().filter(|session| session["current"] == true).collect::<Vec<_>>();
    assert_eq!(own.len(), 1, "{page}");
    own[0].clone()
}

async fn end(client: &Client, session: &Value) -> Answer {
    client.delete(&format!("{SESSIONS}/{}", session["session_id"].as_str().unwrap_or_default())).await
}

journey! {
    async fn a_user_sees_all_sessions_and_ends_one_of_them(site: Site) {
        site.sign_up("ada").await;
        let phone = signed_in(&site.client().with("user-agent", "Phone/1")).await;
        let laptop = signed_in(&site.client().with("user-agent", "Laptop/2")).await;
        let page = phone.get(SESSIONS).await.must(200);
        let devices: Vec<_> = items(&page).iter().map(|session| session["device"].clone()).collect();
        assert_eq!(devices, [json!("Laptop/2"), json!("Phone/1"), Value::Null], "{page}");
        assert_eq!(page["next_cursor"], Value::Null, "{page}");
        let lost = own_session(&laptop).await;
        assert_eq!((&lost["device"], &lost["address"]), (&json!("Laptop/2"), &json!("127.0.0.1")), "{lost}");

        end(&phone, &lost).await.empty(204);
        laptop.get("/auth/me").await.problem(401, "unauthorized");
        end(&phone, &lost).await.problem(404, "not_found");
        for id in ["0199e0a4-0000-7000-8000-000000000001", "x", "%ff"] {
            phone.delete(&format!("{SESSIONS}/{id}")).await.problem(404, "not_found");
        }
        assert_eq!(items(&phone.get(SESSIONS).await.must(200)).len(), 2);
        let own = own_session(&phone).await;
        end(&phone, &own).await.empty(204);
        phone.get("/auth/me").await.problem(401, "unauthorized");
    }

    async fn signing_out_everywhere_is_true_of_the_very_next_request(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let (first, second) = (account(&site.client(), &signed_up).client, signed_in(&site.client()).await);
        first.post("/auth/signout-all", &json!({})).await.empty(204);
        for client in [&first, &second] {
            client.get("/auth/me").await.problem(401, "unauthorized");
        }
        let spent = json!({"refresh_token": signed_up["tokens"]["refresh_token"]});
        refresh(&first, &spent).await.problem(401, "unauthorized");
        // To sign out of what has ended is no fault.
        first.post("/auth/signout", &spent).await.empty(204);
        signed_in(&site.client()).await.get("/auth/me").await.must(200);
    }

    async fn a_spent_refresh_token_is_good_for_a_lost_answer_but_not_for_a_thief(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let nobody = site.client();
        let first = next(&signed_up);
        let second = refresh(&nobody, &first).await.must(200);
        assert_ne!(next(&second), first);
        // The answer got lost: the same pair again.
        assert_eq!(refresh(&nobody, &first).await.must(200), second);

        let third = refresh(&nobody, &next(&second)).await.must(200);
        let ada = nobody.with_tokens(&third["tokens"]);
        ada.get("/auth/me").await.must(200);
        // The successor was used, so whoever has the first one now is not its owner: the session is over.
        refresh(&nobody.with("user-agent", "Thief/3"), &first).await.problem(401, "token_reused");
        ada.get("/auth/me").await.problem(401, "unauthorized");
        refresh(&nobody, &next(&third)).await.problem(401, "unauthorized");
        let told = site.mail(&address("ada"), ENDED).await;
        assert!(told.text.contains("Device: Thief/3"), "{}", told.text);
    }
}

both_engines! {
    async fn a_lost_answer_can_be_had_again_for_a_minute_and_is_theft_after_that(app: App) {
        let here = Here::new(app).await;
        let (ada, other) = (here.sign_up("ada").await, here.sign_in("ada", PASSWORD).await.must(200));
        let second = refresh(&here.nobody, &ada.refresh).await.must(200);
        here.pass(TimeDelta::seconds(59));
        assert_eq!(refresh(&here.nobody, &ada.refresh).await.must(200), second);
        ada.client.get("/auth/me").await.must(200);

        here.pass(TimeDelta::seconds(1));
        refresh(&here.nobody, &ada.refresh).await.problem(401, "token_reused");
        here.nobody.with_tokens(&second["tokens"]).get("/auth/me").await.problem(401, "unauthorized");
        for body in [&ada.refresh, &next(&second)] {
            refresh(&here.nobody, body).await.problem(401, "unauthorized");
        }
        // Nobody has done anything with the other session.
        here.nobody.with_tokens(&other["tokens"]).get("/auth/me").await.must(200);
        assert_eq!(here.mails("ada", ENDED).await.len(), 1);
    }

    async fn of_many_who_refresh_at_the_same_time_all_get_the_same_pair(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        here.pass(TimeDelta::seconds(1));
        let answers = join_all((0..20).map(|_| refresh(&here.nobody, &ada.refresh))).await;
        let pairs: BTreeSet<_> = answers.iter().map(|answer| answer.must(200).to_string()).collect();
        assert_eq!(pairs.len(), 1, "{pairs:?}");
        let pair = answers[0].must(200);
        refresh(&here.nobody, &next(&pair)).await.must(200);
    }

    async fn a_session_ends_after_thirty_days_however_often_it_is_refreshed(app: App) {
        let here = Here::new(app).await;
        let mut body = here.sign_up("ada").await.refresh;
        for _ in 0..29 {
            here.pass(TimeDelta::days(1));
            body = next(&refresh(&here.nobody, &body).await.must(200));
        }
        here.pass(TimeDelta::days(1) - TimeDelta::seconds(60));
        let last = refresh(&here.nobody, &body).await.must(200);
        let ada = here.nobody.with_tokens(&last["tokens"]);
        ada.get("/auth/me").await.must(200);
        here.pass(TimeDelta::seconds(60));
        ada.get("/auth/me").await.problem(401, "unauthorized");
        refresh(&here.nobody, &next(&last)).await.problem(401, "unauthorized");
    }

    async fn a_list_of_sessions_is_read_in_pages_that_new_ones_do_not_move(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        for n in 1..6 {
            here.pass(TimeDelta::seconds(1));
            let device = here.nobody.with("user-agent", &format!("Device/{n}"));
            device.sign_in(&address("ada"), PASSWORD).await.must(200);
        }
        let devices = |page: &Value| items(page).iter().map(|session| session["device"].clone()).collect::<Vec<_>>();
        let first = ada.client.get(&format!("{SESSIONS}?limit=4")).await.must(200);
        assert_eq!(devices(&first), ["Device/5", "Device/4", "Device/3", "Device/2"], "{first}");
        here.pass(TimeDelta::seconds(1));
        here.sign_in("ada", PASSWORD).await.must(200);
        let cursor = first["next_cursor"].as_str().unwrap_or_default();
        let second = ada.client.get(&format!("{SESSIONS}?limit=4&cursor={cursor}")).await.must(200);
        assert_eq!(devices(&second), [json!("Device/1"), Value::Null], "{second}");
        assert_eq!(second["next_cursor"], Value::Null, "{second}");
        assert_eq!((&items(&first)[0]["current"], &items(&second)[1]["current"]), (&json!(false), &json!(true)));

        // It was last used when it last got tokens.
        here.pass(TimeDelta::minutes(5));
        refresh(&here.nobody, &ada.refresh).await.must(200);
        let own = own_session(&ada.client).await;
        assert_eq!(own["created_at"], "2026-01-15T09:00:00Z", "{own}");
        assert_eq!(own["last_used_at"], "2026-01-15T09:05:06Z", "{own}");
        // What is over is not listed.
        here.pass(TimeDelta::days(30));
        let left = items(&signed_in(&here.nobody).await.get(SESSIONS).await.must(200));
        assert_eq!((left.len(), &left[0]["current"]), (1, &json!(true)), "{left:?}");
    }

    async fn a_sign_in_from_an_unknown_device_is_told_by_mail_unless_unwanted(app: App) {
        let here = Here::new(app).await;
        let device = |name: &str| here.nobody.with("user-agent", name);
        let ada = here.sign_up_with(&device("Phone/1"), "ada").await.client;
        signed_in(&device("Phone/1")).await;
        device("Thief/3").sign_in(&address("ada"), "Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
        assert!(here.mails("ada", NEW_SIGN_IN).await.is_empty());

        signed_in(&device("Laptop/2")).await;
        let mails = here.mails("ada", NEW_SIGN_IN).await;
        assert_eq!(mails.len(), 1);
        assert!(mails[0].text.contains("From: 127.0.0.1\n  Device: Laptop/2\n"), "{}", mails[0].text);
        signed_in(&device("Laptop/2")).await;
        assert_eq!(here.mails("ada", NEW_SIGN_IN).await.len(), 1, "it is known now");

        let me = ada.patch("/auth/me", &json!({"mail_on_signin": false})).await.must(200);
        assert_eq!(me["mail_on_signin"], false, "{me}");
        signed_in(&device("Tablet/4")).await;
        assert_eq!(here.mails("ada", NEW_SIGN_IN).await.len(), 1, "it is not wanted");

        ada.patch("/auth/me", &json!({"mail_on_signin": true})).await.must(200);
        // Nor is a device known that does not say what it is.
        signed_in(&here.nobody).await;
        let mails = here.mails("ada", NEW_SIGN_IN).await;
        assert!(mails.iter().any(|mail| mail.text.contains("Device: unknown")), "{} mails", mails.len());
        assert_eq!(mails.len(), 2);
    }
}
