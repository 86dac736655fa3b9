//! Accounts that are closed: Stripe bills them no longer, whatever comes in between.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{HISTORY, INVOICES, QR, REFUNDS, items, open_page, page, says, subscriber};
use crate::journeys::client::PASSWORD;
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::stories;

stories! {
    async fn a_closed_account_is_billed_no_longer_and_its_pages_are_closed(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, subscriber(till, "ada", "student").await);
        let eve = till.here.verified("eve").await;
        let for_plan = open_page(&eve.client, "student").await;
        let by_code = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        let for_code = page(&eve.client.post(QR, &by_code).await.must(201)["payload"]);
        for account in [&ada, &eve] {
            account.client.close(PASSWORD).await.empty(204);
        }
        till.app().run_until_idle().await;
        assert_eq!(till.standing(&ada).await.status, "canceled");
        for session in [&for_plan, &for_code] {
            assert_eq!(till.stripe.session(session)["status"], "expired");
        }
        till.tell().await;
        assert_eq!(till.told("ada", "subscription_ended").await, 0, "nobody is there to read it");
        // What was paid stays, and tells of nobody.
        let history = items(&root.client, &format!("{HISTORY}?user_id={}", ada.id)).await;
        says(&history[0], &json!({"kind": "invoice", "status": "paid", "amount_minor": 999}));
        let invoices = items(&root.client, &format!("{INVOICES}?user_id={}", ada.id)).await;
        says(&invoices[0], &json!({"status": "paid", "hosted_url": null, "pdf_url": null}));
    }

    async fn while_stripe_is_out_of_reach_nothing_is_erased_and_it_is_tried_again(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, subscriber(till, "ada", "student").await);
        let of_ada = format!("{INVOICES}?user_id={}", ada.id);
        till.stripe.next(Fault::Refuse, 2 * 4, "/v1/");
        ada.client.close(PASSWORD).await.empty(204);
        for _ in 0..2 {
            till.app().run_until_idle().await;
            assert_eq!(till.standing(&ada).await.status, "active");
            assert!(items(&root.client, &of_ada).await[0]["hosted_url"].is_string());
            till.pass(TimeDelta::minutes(1));
        }
        till.app().run_until_idle().await;
        assert_eq!(till.standing(&ada).await.status, "canceled");
        assert!(items(&root.client, &of_ada).await[0]["hosted_url"].is_null());
    }

    async fn a_page_that_is_paid_after_the_account_was_closed_begins_nothing(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, till.here.verified("ada").await);
        let session = open_page(&ada.client, "student").await;
        // Stripe says that there is no such page, and somebody pays there all the same.
        till.stripe.next(Fault::Status(404, None), 1, "POST /v1/checkout/sessions/");
        ada.client.close(PASSWORD).await.empty(204);
        till.app().run_until_idle().await;
        assert!(till.stripe.pay_checkout(&session));
        assert_eq!(till.standing(&ada).await.status, "active");
        till.tell().await;
        assert_eq!(till.standing(&ada).await.status, "canceled");
        assert_eq!(till.told("ada", "payment_confirmed").await, 0);
        // Somebody has to give the money back, and can.
        let of_ada = format!("{HISTORY}?user_id={}", ada.id);
        let paid = items(&root.client, &of_ada).await;
        says(&paid[0], &json!({"kind": "invoice", "status": "paid", "amount_minor": 999, "user_id": ada.id}));
        let back = json!({"payment_id": paid[0]["payment_id"], "reason": "Paid after the account was closed"});
        root.client.post(REFUNDS, &back).await.must(201);
        assert_eq!(till.stripe.refunds().len(), 1);
        assert_eq!(items(&root.client, "/payments/subscriptions").await, Vec::<Value>::new());
    }
}
