//! More sign-ins than passwords can be checked: those beyond the queue are sent away at once, everybody else is served.

use futures_util::future::join_all;
use serde_json::json;
use shared::passwords::Passwords;
use shared::services::Services;

use super::{PROXIED, WRONG, at};
use crate::harness::engines::{both_engines, serve};
use crate::journeys::address;
use crate::journeys::client::{Answer, Client, PASSWORD};
use crate::journeys::here::Here;

/// Sent away, with a time to come back.
fn shed(answer: &Answer) {
    answer.problem(503, "busy");
    assert_eq!(answer.header("retry-after"), "1");
}

async fn sign_up(client: &Client, n: usize) -> Answer {
    let body = json!({
        "email": address(&format!("flood-{n}")), "username": format!("flood-{n}"), "password": PASSWORD,
        "full_name": "Ada Lovelace", "role": "student",
    });
    client.post("/auth/signup", &body).await
}

both_engines! {
    async fn a_flood_is_shed_and_everything_else_goes_on(app: App with PROXIED) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await.client;
        let before = here.app.services.passwords.operations();
        // Half of them are newcomers, half guess, each at a place of its own: throttles do not help here.
        let ask = |n: usize| {
            let client = at(&here.nobody, &format!("10.0.{n}.1"));
            async move {
                if n.is_multiple_of(2) {
                    return sign_up(&client, n).await;
                }
                client.sign_in(&address(&format!("who{n}")), WRONG).await
            }
        };
        let mut flood = Box::pin(join_all((0..120).map(ask)));
        let mut alive = 0;
        let answers = loop {
            // Fewer than the limit of requests, which has nothing to do with this.
            let signed_in = alive < 20;
            let others = async {
                here.nobody.get("/health/live").await.must(200);
                if signed_in {
                    ada.get("/auth/me").await.must(200);
                }
            };
            tokio::select! {
                answers = &mut flood => break answers,
                () = others => alive += 1,
            }
        };
        assert!(alive > 0, "nobody else was served");
        let (refused, served): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 503);
        for answer in &refused {
            shed(answer);
        }
        assert!(served.iter().all(|answer| [201, 401].contains(&answer.status)));
        assert!(!refused.is_empty() && served.len() >= 16, "{} were served", served.len());
        // To send somebody away costs no hash, and leaves nothing behind.
        assert_eq!(here.app.services.passwords.operations() - before, served.len() as u64);
        for (n, answer) in answers.iter().enumerate() {
            if n.is_multiple_of(2) && answer.status == 503 {
                sign_up(&here.nobody, n).await.must(201);
            }
        }
    }

    async fn whoever_is_sent_away_has_not_used_up_a_try(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        // As in a flood that leaves no room at all.
        let passwords = Passwords::new(0).expect("a hash");
        let full = serve(Services { passwords, ..here.app.services.clone() }).await;
        let nobody = here.nobody.at(&full);
        for _ in 0..12 {
            shed(&nobody.sign_in(&address("ada"), PASSWORD).await);
            shed(&ada.client.at(&full).close(PASSWORD).await);
        }
        shed(&sign_up(&nobody, 1).await);
        nobody.get("/health/live").await.must(200);
        ada.client.at(&full).get("/auth/me").await.must(200);
        nobody.post("/auth/refresh", &ada.refresh).await.must(200);

        here.sign_in("ada", PASSWORD).await.must(200);
        ada.client.close(WRONG).await.problem(401, "invalid_credentials");
        ada.client.close(PASSWORD).await.empty(204);
    }
}
