//! Guessing passwords and links: few tries for each place, and none that a stranger could use up for the owner.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use super::{PROXIED, WRONG, at};
use crate::harness::engines::both_engines;
use crate::journeys::address;
use crate::journeys::client::{Answer, Client, PASSWORD};
use crate::journeys::here::{Here, RESET};

/// Where the owner usually is.
const HOME: &str = "203.0.113.7";

async fn guess(client: &Client, name: &str) -> Answer {
    client.sign_in(&address(name), WRONG).await
}

/// Guesses as often as it is wrong and not refused.
async fn wrong(client: &Client, name: &str, times: usize) {
    for _ in 0..times {
        guess(client, name).await.problem(401, "invalid_credentials");
    }
}

/// Refused, and told truly how long to wait.
fn stopped(answer: &Answer, seconds: u64) {
    answer.problem(429, "rate_limited");
    assert_eq!(answer.header("retry-after"), seconds.to_string());
}

both_engines! {
    async fn the_sixth_wrong_password_from_one_place_is_not_looked_at(app: App) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        wrong(&here.nobody, "ada", 3).await;
        here.pass(TimeDelta::minutes(1));
        wrong(&here.nobody, "ada", 2).await;
        let before = here.app.services.passwords.operations();
        stopped(&guess(&here.nobody, "ada").await, 840);
        stopped(&here.sign_in("ada", PASSWORD).await, 840);
        // Another way to write the address is no other account, and no header of one's own is another place.
        stopped(&here.nobody.sign_in(" ADA@Example.COM ", WRONG).await, 840);
        stopped(&guess(&at(&here.nobody, "198.51.100.1"), "ada").await, 840);
        assert_eq!(here.app.services.passwords.operations(), before);

        here.pass(TimeDelta::minutes(14) - TimeDelta::milliseconds(1));
        stopped(&guess(&here.nobody, "ada").await, 1);
        here.pass(TimeDelta::milliseconds(1));
        // The three of the first minute are over; with two of the second there is room for three.
        here.sign_in("ada", PASSWORD).await.must(200);
        wrong(&here.nobody, "ada", 3).await;
        stopped(&guess(&here.nobody, "ada").await, 60);
    }

    async fn of_a_hundred_guesses_at_the_same_time_five_are_looked_at(app: App) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        let before = here.app.services.passwords.operations();
        let answers = join_all((0..100).map(|_| guess(&here.nobody, "ada"))).await;
        let mut statuses = BTreeMap::new();
        for answer in &answers {
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
        assert_eq!(statuses, BTreeMap::from([(401, 5), (429, 95)]));
        assert_eq!(here.app.services.passwords.operations() - before, 5);
    }

    async fn right_passwords_never_count(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        wrong(&here.nobody, "ada", 4).await;
        for _ in 0..40 {
            here.sign_in("ada", PASSWORD).await.must(200);
        }
        wrong(&here.nobody, "ada", 1).await;
        stopped(&here.sign_in("ada", PASSWORD).await, 900);
        // What is signed in already goes on.
        ada.client.get("/auth/me").await.must(200);
        here.nobody.post("/auth/refresh", &ada.refresh).await.must(200);
    }

    async fn strangers_who_use_up_an_accounts_tries_do_not_keep_its_owner_out(app: App with PROXIED) {
        let here = Here::new(app).await;
        let home = at(&here.nobody, HOME);
        here.sign_up_with(&home, "ada").await;
        for network in 1..=6 {
            let stranger = at(&here.nobody, &format!("198.51.100.{network}"));
            wrong(&stranger, "ada", 5).await;
            stopped(&guess(&stranger, "ada").await, 900);
        }
        // From now on no other stranger has a try, be the password right or wrong.
        let stranger = at(&here.nobody, "198.51.100.7");
        stopped(&guess(&stranger, "ada").await, 900);
        stopped(&stranger.sign_in(&address("ada"), PASSWORD).await, 900);
        // The owner has the tries of home, and may even mistype.
        wrong(&home, "ada", 4).await;
        let signed_in = home.sign_in(&address("ada"), PASSWORD).await.must(200);
        home.with_tokens(&signed_in["tokens"]).get("/auth/me").await.must(200);
        here.pass(TimeDelta::minutes(15));
        stranger.sign_in(&address("ada"), PASSWORD).await.must(200);
    }

    async fn one_network_has_two_hundred_tries_for_all_accounts_together(app: App with PROXIED) {
        let here = Here::new(app).await;
        here.sign_up("ada").await;
        let sprayer = at(&here.nobody, "198.51.100.1");
        for account in 0..200 {
            wrong(&sprayer, &format!("somebody-{account}"), 1).await;
        }
        stopped(&sprayer.sign_in(&address("ada"), PASSWORD).await, 900);
        here.sign_in("ada", PASSWORD).await.must(200);
        at(&here.nobody, "198.51.100.2").sign_in(&address("ada"), PASSWORD).await.must(200);
    }

    async fn who_has_one_address_of_a_network_has_all_of_it(app: App with PROXIED) {
        let here = Here::new(app).await;
        here.sign_up_with(&at(&here.nobody, HOME), "ada").await;
        for host in 1..=5 {
            wrong(&at(&here.nobody, &format!("2001:db8:0:1::{host}")), "ada", 1).await;
        }
        stopped(&guess(&at(&here.nobody, "2001:db8:0:1:ffff:ffff:ffff:ffff"), "ada").await, 900);
        wrong(&at(&here.nobody, "2001:db8:0:2::1"), "ada", 1).await;

        // Only what the proxy says itself counts, and that is the last entry.
        for lie in 1..=5 {
            wrong(&at(&here.nobody, &format!("10.0.0.{lie}, {HOME}, 198.51.100.1")), "ada", 1).await;
        }
        stopped(&guess(&at(&here.nobody, &format!("{HOME}, 198.51.100.1")), "ada").await, 900);
        at(&here.nobody, HOME).sign_in(&address("ada"), PASSWORD).await.must(200);
    }

    async fn links_cannot_be_guessed(app: App with PROXIED) {
        let here = Here::new(app).await;
        let guesser = at(&here.nobody, "198.51.100.1");
        for n in 0..150 {
            let token = format!("guess-{n}");
            guesser.post("/auth/verify-email", &json!({ "token": token })).await.problem(400, "invalid_token");
            let body = json!({"token": token, "new_password": PASSWORD});
            guesser.post("/auth/reset-password", &body).await.problem(400, "invalid_token");
        }
        stopped(&guesser.post("/auth/verify-email", &json!({"token": "guess"})).await, 900);
        let body = json!({"token": "guess", "new_password": PASSWORD});
        stopped(&guesser.post("/auth/reset-password", &body).await, 900);
        // Everybody else can use theirs.
        here.verified("ada").await;
    }

    async fn a_stolen_access_token_is_no_way_to_find_the_password_out(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await.client;
        for _ in 0..5 {
            let change = json!({"old_password": WRONG, "new_password": "Another-Horse8-Battery"});
            ada.post("/auth/change-password", &change).await.problem(401, "invalid_credentials");
            ada.close(WRONG).await.problem(401, "invalid_credentials");
        }
        stopped(&ada.close(PASSWORD).await, 900);
        // The owner, who is not the thief, can still sign in and end the thief's session.
        here.sign_in("ada", PASSWORD).await.must(200);
        here.pass(TimeDelta::minutes(15) - TimeDelta::seconds(1));
        stopped(&ada.close(PASSWORD).await, 1);
    }

    async fn one_network_cannot_have_mails_sent_without_end(app: App with PROXIED) {
        let here = Here::new(app).await;
        here.verified("ada").await;
        let nuisance = at(&here.nobody, "198.51.100.1");
        let before = here.jobs().await;
        for n in 0..200 {
            nuisance.post("/auth/forgot-password", &json!({"email": address(&format!("n{n}"))})).await.empty(202);
        }
        assert_eq!(here.jobs().await - before, 200);
        // It is answered as ever, and nothing comes of it.
        let body = json!({"email": address("ada")});
        nuisance.post("/auth/forgot-password", &body).await.empty(202);
        nuisance.post("/auth/resend-verification", &body).await.empty(202);
        assert_eq!(here.jobs().await - before, 200);
        here.nobody.post("/auth/forgot-password", &body).await.empty(202);
        assert_eq!(here.tokens("ada", RESET).await.len(), 1);
    }

    async fn links_of_one_sort_that_a_stranger_asks_for_leave_those_of_the_other(app: App with PROXIED) {
        let here = Here::new(app).await;
        here.verified("ada").await;
        let (stranger, body) = (at(&here.nobody, "198.51.100.1"), json!({"email": address("ada")}));
        for _ in 0..10 {
            stranger.post("/auth/resend-verification", &body).await.empty(202);
        }
        here.nobody.post("/auth/forgot-password", &body).await.empty(202);
        assert_eq!(here.tokens("ada", RESET).await.len(), 1);
    }
}
