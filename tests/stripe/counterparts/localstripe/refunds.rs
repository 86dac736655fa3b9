//! Money that is given back: by an admin of ours, or elsewhere.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::super::text;
use super::{Site, current, history};
use crate::harness::engines::both_engines;
use crate::journeys::client::faulty;
use crate::journeys::here::Account;

const REFUNDS: &str = "/payments/refunds";

/// A part of what somebody has paid first.
async fn part(account: &Account, amount: i64) -> Value {
    let mut body = whole(account).await;
    body["amount_minor"] = json!(amount);
    body
}

/// All that is left of it.
async fn whole(account: &Account) -> Value {
    let payments = history(account).await;
    let first = payments.iter().find(|payment| payment["kind"] == "invoice").expect("a payment");
    json!({"payment_id": first["payment_id"], "reason": "Paid twice"})
}

/// What localstripe has given back.
async fn given(site: &Site) -> Vec<Value> {
    site.rows("/v1/refunds?limit=100").await
}

both_engines! {
    async fn an_admin_gives_a_payment_back_in_parts_and_never_more_than_was_paid(app: App) {
        let site = Site::open(app).await;
        let (root, ada) = (site.here.admin("root").await.client, site.here.verified("ada").await);
        let bought = site.subscribe(&ada).await;
        let first = root.post(REFUNDS, &part(&ada, 500).await).await.must(201);
        for (field, value) in [
            ("kind", json!("refund")), ("status", json!("paid")), ("scheme", json!("stripe")),
            ("amount_minor", json!(500)), ("currency", json!("USD")), ("user_id", json!(ada.id)),
        ] {
            assert_eq!(first[field], value, "{field} in {first}");
        }
        // localstripe itself would give back any amount.
        let refused = root.post(REFUNDS, &part(&ada, 500).await).await.problem(422, "validation_failed");
        assert_eq!(faulty(&refused), ["amount_minor"]);
        root.post(REFUNDS, &part(&ada, 499).await).await.must(201);
        root.post(REFUNDS, &whole(&ada).await).await.problem(409, "wrong_state");
        ada.client.post(REFUNDS, &whole(&ada).await).await.problem(403, "forbidden");

        let given = given(&site).await;
        let mut amounts: Vec<_> = given.iter().filter_map(|refund| refund["amount"].as_i64()).collect();
        amounts.sort_unstable();
        assert_eq!(amounts, [499, 500]);
        let is_first = |refund: &&Value| refund["metadata"]["refund_id"] == first["payment_id"];
        assert_eq!(given.iter().find(is_first).expect("the first")["amount"], 500);
        assert_eq!(history(&ada).await.len(), 3);
        // Money back is not the end of the plan.
        assert_eq!(current(&ada).await, bought);
    }

    async fn an_admin_gives_back_all_of_a_payment(app: App) {
        let site = Site::open(app).await;
        let (root, ada) = (site.here.admin("root").await.client, site.here.verified("ada").await);
        site.subscribe(&ada).await;
        let refund = root.post(REFUNDS, &whole(&ada).await).await.must(201);
        assert_eq!((&refund["amount_minor"], &refund["status"]), (&json!(999), &json!("paid")), "{refund}");
        root.post(REFUNDS, &part(&ada, 1).await).await.problem(409, "wrong_state");
        assert_eq!(given(&site).await.len(), 1);
    }

    async fn what_was_given_back_elsewhere_is_seen_when_everybody_is_read(app: App) {
        let site = Site::open(app).await;
        let (root, ada) = (site.here.admin("root").await.client, site.here.verified("ada").await);
        site.subscribe(&ada).await;
        let customer = site.customer("ada").await;
        let invoices = site.rows(&format!("/v1/invoices?customer={customer}&limit=100")).await;
        let intent = text(&invoices[0]["payment_intent"]);
        site.post("/v1/refunds", &format!("payment_intent={intent}&amount=300")).await;
        // localstripe has no events about refunds.
        assert_eq!(site.duty("reconcile_stripe").await, "all 1 customers are read");
        let seen = history(&ada).await;
        let refunds: Vec<_> = seen.iter().filter(|payment| payment["kind"] == "refund").collect();
        assert_eq!(refunds.len(), 1, "{seen:?}");
        assert_eq!((&refunds[0]["amount_minor"], &refunds[0]["status"]), (&json!(300), &json!("paid")));
        site.here.pass(TimeDelta::seconds(1));
        root.post(REFUNDS, &part(&ada, 700).await).await.problem(422, "validation_failed");
        root.post(REFUNDS, &part(&ada, 699).await).await.must(201);
    }
}
