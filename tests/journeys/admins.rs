//! What admins do to accounts: it takes effect at once, one of them always stays, and all of it is recorded.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::address;
use super::client::{Answer, Client, PASSWORD};
use super::here::{Account, Here, RESET};
use crate::harness::engines::both_engines;

const USERS: &str = "/auth/users";
const AUDIT: &str = "/auth/audit";

fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().cloned().unwrap_or_default()
}

/// What stands under a name in each item.
fn each<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items.iter().filter_map(|item| item[name].as_str()).collect()
}

/// The user names of a list.
async fn names(admin: &Client, query: &str) -> Vec<String> {
    let page = admin.get(&format!("{USERS}?{query}")).await.must(200);
    each(&items(&page), "username").into_iter().map(str::to_owned).collect()
}

async fn change(admin: &Client, whom: &Account, body: &Value) -> Answer {
    admin.patch(&format!("{USERS}/{}", whom.id), body).await
}

/// The kinds of events of a list, sorted.
async fn kinds(admin: &Client, query: &str) -> Vec<String> {
    let page = admin.get(&format!("{AUDIT}?limit=100&{query}")).await.must(200);
    let items = items(&page);
    let mut kinds: Vec<_> = each(&items, "kind").into_iter().map(str::to_owned).collect();
    kinds.sort_unstable();
    kinds
}

journey! {
    async fn the_first_admin_comes_from_the_command_line_and_shuts_an_account(site: Site) {
        let root = site.admin("root").await;
        let ada = site.user("ada").await;
        let me = ada.get("/auth/me").await.must(200);
        let path = format!("{USERS}/{}", me["user_id"].as_str().unwrap_or_default());
        assert_eq!(names(&root, "q=example").await, ["ada", "root"]);
        assert_eq!(root.get(&path).await.must(200)["email"], address("ada"));
        ada.get(USERS).await.problem(403, "forbidden");

        let shut = root.patch(&path, &json!({"disabled": true})).await.must(200);
        assert_eq!(shut["disabled"], true, "{shut}");
        ada.get("/auth/me").await.problem(401, "unauthorized");
        site.client().sign_in(&address("ada"), PASSWORD).await.problem(401, "invalid_credentials");
        root.patch(&path, &json!({"disabled": false})).await.must(200);
        // Its sessions stay over.
        ada.get("/auth/me").await.problem(401, "unauthorized");
        site.client().sign_in(&address("ada"), PASSWORD).await.must(200);

        root.delete(&path).await.empty(204);
        site.client().sign_in(&address("ada"), PASSWORD).await.problem(401, "invalid_credentials");
        site.mail(&address("ada"), "Your AUTOOS account was deleted").await;
        root.close(PASSWORD).await.problem(401, "invalid_credentials");
    }
}

both_engines! {
    async fn accounts_are_found_by_text_role_and_state(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        for name in ["ada", "bob.b", "bob-c"] {
            here.pass(TimeDelta::seconds(1));
            here.verified(name).await;
        }
        here.pass(TimeDelta::seconds(1));
        let eve = here.sign_up("eve").await;
        let shut = here.sign_in("bob-c", PASSWORD).await.must(200)["user"]["user_id"].clone();
        let shut = format!("{USERS}/{}", shut.as_str().unwrap_or_default());
        root.patch(&shut, &json!({"disabled": true})).await.must(200);
        for (query, expected) in [
            ("", vec!["eve", "bob-c", "bob.b", "ada", "root"]),
            ("q=BOB", vec!["bob-c", "bob.b"]),
            ("q=Lovelace", vec!["eve", "bob-c", "bob.b", "ada", "root"]),
            ("q=eve%40example", vec!["eve"]),
            // None of these is a pattern.
            ("q=%25", vec![]),
            ("q=b_b", vec![]),
            ("q=%00", vec!["eve", "bob-c", "bob.b", "ada", "root"]),
            ("role=admin", vec!["root"]),
            ("role=student", vec![]),
            ("status=active", vec!["bob.b", "ada", "root"]),
            ("status=unverified", vec!["eve"]),
            ("status=disabled&q=bob&role=professional", vec!["bob-c"]),
            ("status=deleted", vec![]),
        ] {
            assert_eq!(names(&root, query).await, expected, "{query}");
        }
        for query in ["role=king", "status=gone", "limit=0", "q=a&q=b"] {
            root.get(&format!("{USERS}?{query}")).await.problem(400, "bad_request");
        }
        let first = root.get(&format!("{USERS}?limit=2")).await.must(200);
        here.pass(TimeDelta::seconds(1));
        here.sign_up("newcomer").await;
        let cursor = first["next_cursor"].as_str().unwrap_or_default();
        assert_eq!(names(&root, &format!("limit=2&cursor={cursor}")).await, ["bob.b", "ada"]);

        eve.client.close(PASSWORD).await.empty(204);
        assert_eq!(names(&root, "status=deleted").await, [format!("deleted:{}", eve.id)]);
        assert_eq!(names(&root, "q=eve").await, Vec::<String>::new());
        for id in ["x", "%ff", "0199e0a4-0000-7000-8000-000000000001"] {
            root.get(&format!("{USERS}/{id}")).await.problem(404, "not_found");
            root.patch(&format!("{USERS}/{id}"), &json!({})).await.problem(404, "not_found");
            root.delete(&format!("{USERS}/{id}")).await.problem(404, "not_found");
        }
    }

    async fn what_an_admin_changes_is_true_of_the_next_request(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        ada.client.get(USERS).await.problem(403, "forbidden");
        let changed = change(&root, &ada, &json!({"role": "admin", "full_name": " Augusta King "})).await.must(200);
        assert_eq!((&changed["role"], &changed["full_name"]), (&json!("admin"), &json!("Augusta King")), "{changed}");
        ada.client.get(USERS).await.must(200);
        change(&root, &ada, &json!({"role": "student"})).await.must(200);
        ada.client.get(USERS).await.problem(403, "forbidden");
        assert_eq!(ada.client.get("/auth/me").await.must(200)["role"], "student");
        // What was signed while the role was another says nothing any more.
        let refreshed = here.nobody.post("/auth/refresh", &ada.refresh).await.must(200);
        here.nobody.with_tokens(&refreshed["tokens"]).get(AUDIT).await.problem(403, "forbidden");

        for (name, value) in [("role", "king"), ("full_name", " "), ("password", PASSWORD), ("tier", "student")] {
            change(&root, &ada, &json!({ name: value })).await.problem(422, "validation_failed");
        }
        change(&root, &ada, &json!({"disabled": true})).await.must(200);
        ada.client.get("/auth/me").await.problem(401, "unauthorized");
        here.nobody.post("/auth/refresh", &ada.refresh).await.problem(401, "unauthorized");
        here.nobody.post("/auth/forgot-password", &json!({"email": address("ada")})).await.empty(202);
        assert!(here.mails("ada", RESET).await.is_empty());
    }

    async fn one_admin_always_stays(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await;
        let path = format!("{USERS}/{}", root.id);
        let both = json!({"full_name": "X", "role": "employee"});
        for body in [json!({"role": "student"}), json!({"disabled": true}), both] {
            change(&root.client, &root, &body).await.problem(409, "last_admin");
        }
        root.client.delete(&path).await.problem(409, "last_admin");
        root.client.close(PASSWORD).await.problem(409, "last_admin");
        let same = root.client.get(&path).await.must(200);
        assert_eq!((&same["role"], &same["full_name"]), (&json!("admin"), &json!("Ada Lovelace")), "{same}");

        // An admin who is shut out does not count.
        let bob = here.admin("bob").await;
        change(&root.client, &bob, &json!({"disabled": true})).await.must(200);
        change(&root.client, &root, &json!({"role": "student"})).await.problem(409, "last_admin");
        change(&root.client, &bob, &json!({"disabled": false})).await.must(200);
        change(&root.client, &root, &json!({"role": "student"})).await.must(200);
        root.client.get(USERS).await.problem(403, "forbidden");
    }

    async fn of_two_admins_who_demote_each_other_one_succeeds(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.admin("ada").await, here.admin("eve").await);
        for round in 0..10 {
            let demotion = json!({"role": "student"});
            let (a, b) = tokio::join!(change(&ada.client, &eve, &demotion), change(&eve.client, &ada, &demotion));
            let (won, winner, late, loser) =
                if a.status == 200 { (&a, &ada, &b, &eve) } else { (&b, &eve, &a, &ada) };
            won.must(200);
            // Whoever comes too late is no admin any more, or is told that nobody else would be left.
            assert!([403, 409].contains(&late.status), "{round}: {}", late.text);
            change(&winner.client, loser, &json!({"role": "admin"})).await.must(200);
        }
    }

    async fn a_closed_account_is_left_as_it_is(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let path = format!("{USERS}/{}", ada.id);
        root.delete(&path).await.empty(204);
        ada.client.get("/auth/me").await.problem(401, "unauthorized");
        root.delete(&path).await.problem(409, "wrong_state");
        change(&root, &ada, &json!({"disabled": false})).await.problem(409, "wrong_state");
        let left = root.get(&path).await.must(200);
        assert_eq!((&left["full_name"], &left["disabled"]), (&json!("Deleted"), &json!(true)), "{left}");
        assert_eq!(here.mails("ada", "account was deleted").await.len(), 1);
    }

    async fn whatever_happens_to_an_account_is_recorded(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await;
        let ada = here.verified("ada").await;
        live_a_little(&here, &ada).await;
        for body in [
            json!({"full_name": "Augusta King"}), json!({"role": "student"}), json!({"disabled": true}),
            json!({"disabled": false}),
        ] {
            change(&root.client, &ada, &body).await.must(200);
        }
        // What changes nothing is no event.
        change(&root.client, &ada, &json!({"role": "student", "disabled": false})).await.must(200);
        root.client.delete(&format!("{USERS}/{}", ada.id)).await.empty(204);
        assert_eq!(kinds(&root.client, &format!("user_id={}", ada.id)).await, [
            "changed_by_admin", "deleted", "disabled", "email_verified", "enabled", "password_changed",
            "password_reset", "profile_changed", "reset_requested", "role_changed", "session_revoked",
            "sign_in_failed", "signed_in", "signed_in", "signed_in", "signed_out", "signed_out_everywhere",
            "signed_up", "token_reused",
        ]);
        let by_root = kinds(&root.client, &format!("actor=admin:{}", root.id)).await;
        assert_eq!(by_root, ["changed_by_admin", "deleted", "disabled", "enabled", "role_changed"]);
        assert_eq!(kinds(&root.client, "kind=token_reused").await, ["token_reused"]);
        assert_eq!(kinds(&root.client, "kind=nothing").await, Vec::<String>::new());
    }

    async fn an_entry_of_the_audit_tells_who_whom_when_from_where_and_no_secret(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await, here.verified("ada").await);
        here.pass(TimeDelta::seconds(1));
        let desk = root.client.with("user-agent", "Desk/1");
        change(&desk, &ada, &json!({"role": "student"})).await.must(200);
        let page = root.client.get(&format!("{AUDIT}?kind=role_changed")).await.must(200);
        let found = items(&page);
        let [entry] = &found[..] else { panic!("{page}") };
        assert_eq!(entry["actor"], format!("admin:{}", root.id), "{entry}");
        assert_eq!(entry["user_id"], ada.id.to_string(), "{entry}");
        assert_eq!((&entry["address"], &entry["device"]), (&json!("127.0.0.1"), &json!("Desk/1")), "{entry}");
        assert_eq!(entry["at"], "2026-01-15T09:00:01Z", "{entry}");
        assert_eq!(entry["detail"], json!({"from": "professional", "to": "student"}), "{entry}");

        here.nobody.sign_in("who@example.com", PASSWORD).await.problem(401, "invalid_credentials");
        let page = root.client.get(&format!("{AUDIT}?limit=100")).await.must(200);
        for secret in [PASSWORD, "who@example.com", "eyJ", "argon2"] {
            assert!(!page.to_string().contains(secret), "{secret} in {page}");
        }
        // The newest first, in pages.
        let whole = items(&page);
        let (mut read, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = root.client.get(&format!("{AUDIT}?limit=2{cursor}")).await.must(200);
            read.extend(items(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(read, whole);
        assert!(each(&whole, "at").is_sorted_by(|later, earlier| later >= earlier), "{page}");
        root.client.get(&format!("{AUDIT}?user_id=x")).await.problem(400, "bad_request");
    }
}

/// Does once all that an owner does, and some of what a thief does.
async fn live_a_little(here: &Here, ada: &Account) {
    let new = "Another-Horse8-Battery";
    let nobody = &here.nobody;
    here.sign_in("ada", "Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
    ada.client.patch("/auth/me", &json!({"organization": "Analytical Society"})).await.must(200);
    let other = here.sign_in("ada", PASSWORD).await.must(200);
    let other = nobody.with_tokens(&other["tokens"]);
    let page = other.get("/auth/sessions").await.must(200);
    let other = items(&page).into_iter().find(|session| session["current"] == true).expect("a session");
    let path = format!("/auth/sessions/{}", other["session_id"].as_str().unwrap_or_default());
    ada.client.delete(&path).await.empty(204);
    let change = json!({"old_password": PASSWORD, "new_password": new});
    ada.client.post("/auth/change-password", &change).await.must(200);
    nobody.post("/auth/refresh", &ada.refresh).await.must(200);
    here.pass(TimeDelta::minutes(1));
    nobody.post("/auth/refresh", &ada.refresh).await.problem(401, "token_reused");

    nobody.post("/auth/forgot-password", &json!({"email": address("ada")})).await.empty(202);
    let token = here.token("ada", RESET).await;
    nobody.post("/auth/reset-password", &json!({"token": token, "new_password": PASSWORD})).await.must(200);
    let signed_in = here.sign_in("ada", PASSWORD).await.must(200);
    let refresh = json!({"refresh_token": signed_in["tokens"]["refresh_token"]});
    nobody.post("/auth/signout", &refresh).await.empty(204);
    let signed_in = here.sign_in("ada", PASSWORD).await.must(200);
    nobody.with_tokens(&signed_in["tokens"]).post("/auth/signout-all", &json!({})).await.empty(204);
}
