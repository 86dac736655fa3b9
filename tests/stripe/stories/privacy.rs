//! What somebody has paid is nobody else's business.

use serde_json::json;

use super::{HISTORY, INVOICES, QR, REFUNDS, items, says, subscriber, text};
use crate::journeys::client::Client;
use crate::stripe::world::stories;

/// Whose the items of a list are, each once.
async fn owners(client: &Client, path: &str) -> Vec<String> {
    let items = items(client, path).await;
    let mut owners: Vec<_> = items.iter().map(|item| text(item, "user_id").to_owned()).collect();
    owners.sort();
    owners.dedup();
    owners
}

stories! {
    async fn everybody_sees_their_own_invoices_and_payments_and_admins_those_of_all(till: &Till) {
        let root = till.here.admin("root").await;
        let (ada, eve) = (subscriber(till, "ada", "student").await, subscriber(till, "eve", "employee").await);
        let payment = items(&ada.client, HISTORY).await[0]["payment_id"].clone();
        let part = json!({"payment_id": payment, "amount_minor": 100, "reason": "Was ill"});
        root.client.post(REFUNDS, &part).await.must(201);
        till.tell().await;
        let (adas, eves) = (ada.id.to_string(), eve.id.to_string());
        let mut both = vec![adas.clone(), eves.clone()];
        both.sort();
        for path in [HISTORY, INVOICES] {
            let (of_ada, of_eve) = (format!("{path}?user_id={adas}"), format!("{path}?user_id={eves}"));
            for own in [path, of_ada.as_str(), of_eve.as_str()] {
                assert_eq!(owners(&ada.client, own).await, std::slice::from_ref(&adas), "{own}");
                assert_eq!(owners(&eve.client, own).await, std::slice::from_ref(&eves), "{own}");
            }
            assert_eq!(owners(&root.client, path).await, both, "{path}");
            assert_eq!(owners(&root.client, &of_eve).await, std::slice::from_ref(&eves), "{path}");
            till.here.nobody.get(path).await.problem(401, "unauthorized");
        }
    }

    async fn a_payment_by_code_and_its_page_are_for_its_owner_and_for_admins(till: &Till) {
        let root = till.here.admin("root").await;
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        let by_code = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        let payment = ada.client.post(QR, &by_code).await.must(201);
        let path = format!("{QR}/{}", text(&payment, "payment_id"));
        for ending in ["", ".svg", ".png"] {
            eve.client.get(&format!("{path}{ending}")).await.problem(403, "not_owner");
            till.here.nobody.get(&format!("{path}{ending}")).await.problem(401, "unauthorized");
        }
        says(&root.client.get(&path).await.must(200), &json!({"payload": payment["payload"], "user_id": ada.id}));
        eve.client.get(&format!("{QR}/transactions")).await.problem(403, "forbidden");
        // Nobody else's word counts, not even an admin's: Stripe tells of it.
        let reference = json!({"reference": "R-0001"});
        eve.client.post(&format!("{path}/confirm"), &reference).await.problem(403, "forbidden");
        root.client.post(&format!("{path}/confirm"), &reference).await.problem(409, "wrong_state");
        assert_eq!(ada.client.get(&path).await.must(200)["status"], "pending");
    }
}
