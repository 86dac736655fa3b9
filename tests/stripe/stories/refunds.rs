//! Money that goes back: by admins here, by admins at Stripe, and when a bank sends it back.

use serde_json::{Value, json};

use super::{HISTORY, REFUNDS, items, keyed, own, says, subscriber, text};
use crate::journeys::client::{Client, faulty};
use crate::journeys::here::Account;
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::{Till, stories};

/// An admin, and somebody who has paid for a month: the payment's id.
async fn begin(till: &Till) -> (Account, Account, String) {
    let (root, ada) = (till.here.admin("root").await, subscriber(till, "ada", "student").await);
    let payment = text(&items(&ada.client, HISTORY).await[0], "payment_id").to_owned();
    // What comes later is above it in the history.
    till.tick();
    (root, ada, payment)
}

/// A refund of all that is left.
fn rest(payment: &str) -> Value {
    json!({"payment_id": payment, "reason": "Was ill"})
}

fn part(payment: &str, amount: i64) -> Value {
    json!({"payment_id": payment, "amount_minor": amount, "reason": "Was ill"})
}

/// What the payments of the first page are and how they stand, the newest first.
async fn history(client: &Client, path: &str) -> Vec<(String, String, i64)> {
    let line = |item: &Value| {
        let amount = item["amount_minor"].as_i64().expect("an amount");
        (text(item, "kind").to_owned(), text(item, "status").to_owned(), amount)
    };
    items(client, path).await.iter().map(line).collect()
}

fn line(kind: &str, status: &str, amount: i64) -> (String, String, i64) {
    (kind.to_owned(), status.to_owned(), amount)
}

/// What Stripe calls the payment of the only invoice.
fn intent(till: &Till) -> String {
    let invoice = till.stripe.invoices().pop().expect("an invoice");
    text(&invoice["payments"]["data"][0]["payment"], "payment_intent").to_owned()
}

stories! {
    async fn a_payment_is_given_back_in_parts_and_never_more_than_was_paid(till: &Till) {
        let (root, ada, payment) = begin(till).await;
        for _ in 0..2 {
            let refund = root.client.post(REFUNDS, &part(&payment, 300)).await.must(201);
            says(&refund, &json!({
                "kind": "refund", "scheme": "stripe", "status": "paid", "amount_minor": 300, "currency": "USD",
                "refund_of": payment, "user_id": ada.id,
            }));
            till.tick();
        }
        let too_much = root.client.post(REFUNDS, &part(&payment, 400)).await.problem(422, "validation_failed");
        assert_eq!(faulty(&too_much), ["amount_minor"], "{too_much}");
        root.client.post(REFUNDS, &rest(&payment)).await.must(201);
        root.client.post(REFUNDS, &part(&payment, 1)).await.problem(409, "wrong_state");
        let told = json!({"payment_id": payment, "reason": "Was ill", "reference": "R-9001"});
        root.client.post(REFUNDS, &told).await.problem(422, "validation_failed");
        ada.client.post(REFUNDS, &rest(&payment)).await.problem(403, "forbidden");

        // What Stripe tells of it is no news.
        for _ in 0..2 {
            assert_eq!(history(&ada.client, HISTORY).await, [
                line("refund", "paid", 399), line("refund", "paid", 300), line("refund", "paid", 300),
                line("invoice", "paid", 999),
            ]);
            till.tell().await;
        }
        assert_eq!(till.stripe.refunds().len(), 3);
        // Money back is not the end of the plan.
        assert_eq!(own(&ada.client).await["status"], "active");
        let audit = items(&root.client, "/auth/audit?kind=payment_refunded").await;
        assert_eq!(audit.len(), 3, "{audit:?}");
        says(&audit[0], &json!({"actor": format!("admin:{}", root.id), "user_id": ada.id}));
        says(&audit[0]["detail"], &json!({"reason": "Was ill", "amount_minor": 399, "payment_id": payment}));
    }

    async fn the_history_shows_everybody_their_own_and_admins_all_page_by_page(till: &Till) {
        let (root, ada, payment) = begin(till).await;
        root.client.post(REFUNDS, &part(&payment, 300)).await.must(201);
        till.tick();
        let eve = subscriber(till, "eve", "employee").await;
        assert_eq!(history(&eve.client, HISTORY).await, [line("invoice", "paid", 2_999)]);
        let expected = [line("invoice", "paid", 2_999), line("refund", "paid", 300), line("invoice", "paid", 999)];
        for (client, filter, expected) in [
            (&root.client, String::new(), &expected[..]),
            (&root.client, format!("&user_id={}", ada.id), &expected[1..]),
            (&ada.client, format!("&user_id={}", eve.id), &expected[1..]),
        ] {
            let mut cursor = String::new();
            for (place, one) in expected.iter().enumerate() {
                let path = format!("{HISTORY}?limit=1{filter}{cursor}");
                assert_eq!(history(client, &path).await, std::slice::from_ref(one), "{path}");
                let next = client.get(&path).await.must(200)["next_cursor"].clone();
                assert_eq!(next.is_null(), place + 1 == expected.len(), "{path}");
                cursor = format!("&cursor={}", next.as_str().unwrap_or_default());
            }
        }
    }

    async fn a_refund_whose_answer_is_lost_is_made_once(till: &Till) {
        let (root, ada, payment) = begin(till).await;
        till.stripe.next(Fault::Lose, 4, "POST /v1/refunds");
        root.client.post(REFUNDS, &part(&payment, 300)).await.problem(503, "payments_unavailable");
        till.tick();
        let refund = root.client.post(REFUNDS, &part(&payment, 300)).await.must(201);
        // The same when Stripe tells of it before it is asked for again.
        till.stripe.next(Fault::Lose, 4, "POST /v1/refunds");
        let lost = keyed(&root.client, (REFUNDS, "one"), &rest(&payment)).await;
        lost.problem(503, "payments_unavailable");
        till.tell().await;
        assert_eq!(history(&ada.client, HISTORY).await.len(), 3);
        till.tick();
        let first = keyed(&root.client, (REFUNDS, "one"), &rest(&payment)).await;
        says(&first.must(201), &json!({"amount_minor": 699, "status": "paid"}));
        assert_eq!(keyed(&root.client, (REFUNDS, "one"), &rest(&payment)).await.text, first.text);
        let made = till.stripe.refunds();
        assert_eq!(made.iter().map(|one| &one["amount"]).collect::<Vec<_>>(), [300, 699]);
        assert_eq!(made[0]["metadata"]["refund_id"], refund["payment_id"]);
        assert_eq!(items(&root.client, "/auth/audit?kind=payment_refunded").await.len(), 2);
    }

    async fn what_is_given_back_in_the_dashboard_of_stripe_appears_here_and_counts(till: &Till) {
        let (root, ada, payment) = begin(till).await;
        let intent = intent(till);
        till.stripe.refund_in_dashboard(&intent, 400);
        till.tell().await;
        let shown = items(&ada.client, HISTORY).await;
        says(&shown[0], &json!({"kind": "refund", "status": "paid", "amount_minor": 400, "refund_of": payment}));
        root.client.post(REFUNDS, &part(&payment, 600)).await.problem(422, "validation_failed");
        till.tick();
        // One of which we have not heard yet: Stripe knows better.
        till.stripe.refund_in_dashboard(&intent, 500);
        let refused = root.client.post(REFUNDS, &part(&payment, 100)).await.problem(409, "wrong_state");
        assert!(text(&refused, "detail").starts_with("Stripe refuses this refund: "), "{refused}");
        till.tell().await;
        says(&root.client.post(REFUNDS, &rest(&payment)).await.must(201), &json!({"amount_minor": 99}));
        let refused = root.client.post(REFUNDS, &rest(&payment)).await.problem(409, "wrong_state");
        assert!(text(&refused, "detail").contains("All of this payment"), "{refused}");
        assert_eq!(till.stripe.refunds().len(), 3);
    }

    async fn a_refund_that_a_bank_sends_back_has_failed_and_may_be_made_again(till: &Till) {
        let (root, ada, payment) = begin(till).await;
        root.client.post(REFUNDS, &rest(&payment)).await.must(201);
        till.tell().await;
        till.stripe.fail_refund(text(&till.stripe.refunds()[0], "id"));
        till.tell().await;
        assert_eq!(history(&ada.client, HISTORY).await, [line("refund", "failed", 999), line("invoice", "paid", 999)]);
        till.tick();
        root.client.post(REFUNDS, &rest(&payment)).await.must(201);
        till.tell().await;
        let expected = [line("refund", "paid", 999), line("refund", "failed", 999), line("invoice", "paid", 999)];
        assert_eq!(history(&ada.client, HISTORY).await, expected);
    }
}
