//! Ways to a subscription: a card, a page of Stripe, and cards that do not pay.

use serde_json::{Value, json};

use super::{
    HISTORY, INVOICES, SUBSCRIBE, VISA, items, month, open_page, own, page, says, submit, subscribe, text, with_card,
};
use crate::journeys::client::faulty;
use crate::stripe::world::stories;

stories! {
    async fn a_card_that_pays_begins_the_plan_at_once_and_it_is_confirmed_once(till: &Till) {
        let ada = till.here.verified("ada").await;
        let answer = subscribe(&ada.client, "student").await.must(200);
        let begun = &answer["subscription"];
        says(begun, &json!({
            "tier": "student", "status": "active", "entitles": true, "billed_by": "stripe", "billing_cycle": "monthly",
            "current_period_start": "2026-01-15T09:00:00Z", "current_period_end": "2026-02-15T09:00:00Z",
            "entitles_until": "2026-02-16T09:00:00Z", "cancel_at_period_end": false, "pending_tier": null,
            "workflows_used": 0, "workflows_limit": 100,
        }));
        says(&answer, &json!({"checkout_url": null, "expires_at": null}));
        assert_eq!(&own(&ada.client).await, begun);
        assert_eq!(ada.client.get("/payments/trial").await.must(200)["is_active"], false);

        // What Stripe tells of it is no news.
        till.tell().await;
        assert_eq!(&own(&ada.client).await, begun);
        let mails = till.here.mails("ada", "Your student plan is active").await;
        assert_eq!(mails.len(), 1);
        assert!(mails[0].text.contains("USD 9.99"), "{}", mails[0].text);
        assert_eq!(till.told("ada", "invoice_paid").await, 0);

        let (history, invoices) = (items(&ada.client, HISTORY).await, items(&ada.client, INVOICES).await);
        assert_eq!((history.len(), invoices.len()), (1, 1), "{history:?} {invoices:?}");
        says(&history[0], &json!({
            "kind": "invoice", "scheme": "stripe", "status": "paid", "tier": "student", "amount_minor": 999,
            "currency": "USD", "paid_at": "2026-01-15T09:00:00Z", "refund_of": null, "review": null,
        }));
        says(&invoices[0], &json!({
            "status": "paid", "billing_reason": "subscription_create", "user_id": ada.id,
            "amount_due": {"amount_minor": 999, "currency": "USD"},
            "amount_paid": {"amount_minor": 999, "currency": "USD"},
        }));
        assert!(text(&invoices[0], "hosted_url").starts_with("https://invoice.stand-in.example/"));

        assert_eq!(submit(&ada.client).await.must(202)["credits_remaining"], json!(null));
        // There is one subscription, whatever else is asked for.
        subscribe(&ada.client, "student").await.problem(409, "wrong_state");
        let larger = ada.client.post(SUBSCRIBE, &month("employee")).await.problem(409, "wrong_state");
        assert!(text(&larger, "detail").contains("/payments/change-plan"), "{larger}");
        assert_eq!(till.standings(&ada).await.len(), 1);
    }

    async fn a_page_of_stripe_begins_the_plan_when_it_is_paid_and_not_when_somebody_comes_back_from_it(till: &Till) {
        let ada = till.here.verified("ada").await;
        let opened = ada.client.post(SUBSCRIBE, &month("student")).await.must(200);
        says(&opened, &json!({"subscription": null, "expires_at": "2026-01-15T10:00:00Z"}));
        let session = page(&opened["checkout_url"]);
        let shown = till.stripe.session(&session);
        says(&shown, &json!({"mode": "subscription", "amount_total": 999, "client_reference_id": ada.id}));
        let (_, back) = text(&shown, "success_url").split_once("/payments/").expect("an address of ours");
        ada.client.get(&format!("/payments/{back}")).await.must(200);
        till.tell().await;
        assert_eq!(own(&ada.client).await["status"], "trial");

        assert!(till.stripe.pay_checkout(&session));
        assert_eq!(own(&ada.client).await["status"], "trial", "nobody has told yet");
        till.tell().await;
        says(&own(&ada.client).await, &json!({"tier": "student", "status": "active", "billed_by": "stripe"}));
        assert_eq!(till.told("ada", "payment_confirmed").await, 1);
        assert_eq!(items(&ada.client, HISTORY).await.len(), 1);
        ada.client.post(SUBSCRIBE, &month("student")).await.problem(409, "wrong_state");
    }

    async fn a_page_is_closed_before_there_is_another_way_to_pay(till: &Till) {
        let ada = till.here.verified("ada").await;
        let first = open_page(&ada.client, "student").await;
        let second = open_page(&ada.client, "employee").await;
        let status = |page: &str| till.stripe.session(page)["status"].clone();
        assert_eq!((status(&first), status(&second)), (json!("expired"), json!("open")));
        // A card that is declined closes it as well.
        let declined = with_card("student", "pm_card_chargeCustomerFail");
        ada.client.post(SUBSCRIBE, &declined).await.problem(402, "payment_declined");
        assert_eq!(status(&second), "expired");
        let third = open_page(&ada.client, "student").await;
        subscribe(&ada.client, "student").await.must(200);
        assert_eq!(status(&third), "expired");
        assert_eq!(till.standings(&ada).await.len(), 1);
    }

    async fn what_was_paid_for_on_a_page_a_moment_ago_is_not_paid_for_again(till: &Till) {
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        for account in [&ada, &eve] {
            assert!(till.stripe.pay_checkout(&open_page(&account.client, "student").await));
        }
        // Nobody has told of it, so Stripe is asked.
        let answer = subscribe(&ada.client, "student").await.must(200);
        says(&answer["subscription"], &json!({"tier": "student", "status": "active"}));
        // Another plan is not what was paid for; and from now on it is known what was.
        subscribe(&eve.client, "employee").await.problem(409, "wrong_state");
        till.app().run_until_idle().await;
        says(&own(&eve.client).await, &json!({"tier": "student", "status": "active"}));
        till.tell().await;
        for (name, account) in [("ada", &ada), ("eve", &eve)] {
            assert_eq!(till.standings(account).await.len(), 1);
            assert_eq!(till.told(name, "payment_confirmed").await, 1);
            assert_eq!(items(&account.client, HISTORY).await.len(), 1);
        }
    }

    async fn a_card_that_does_not_pay_begins_nothing_and_the_next_one_may(till: &Till) {
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        for card in ["pm_card_chargeDeclined", "pm_card_chargeCustomerFail"] {
            let declined = ada.client.post(SUBSCRIBE, &with_card("student", card)).await;
            let problem = declined.problem(402, "payment_declined");
            assert_eq!(problem["detail"], "Your card was declined.", "{card}");
        }
        let asks = with_card("student", "pm_card_authenticationRequired");
        let problem = ada.client.post(SUBSCRIBE, &asks).await.problem(402, "payment_action_required");
        assert!(text(&problem, "detail").contains("Leave payment_method out"), "{problem}");

        // One that Stripe does not know, and one of somebody else.
        subscribe(&eve.client, "student").await.must(200);
        let attached = till.stripe.events().into_iter().rfind(|event| event.kind == "payment_method.attached");
        let hers: Value = attached.expect("a card").json()["data"]["object"].clone();
        for card in ["pm_of_nobody", text(&hers, "id")] {
            let answer = ada.client.post(SUBSCRIBE, &with_card("student", card)).await;
            assert_eq!(faulty(&answer.problem(422, "validation_failed")), ["payment_method"], "{card}");
        }
        till.tell().await;
        assert_eq!(own(&ada.client).await["status"], "trial");
        assert_eq!(till.standings(&ada).await, []);
        assert_eq!(items(&ada.client, HISTORY).await, Vec::<Value>::new());
        assert_eq!(till.told("ada", "payment_confirmed").await + till.told("ada", "payment_failed").await, 0);

        ada.client.post(SUBSCRIBE, &with_card("student", VISA)).await.must(200);
        assert_eq!(own(&ada.client).await["status"], "active");
    }
}
