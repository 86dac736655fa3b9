//! Payments by QR code that lead to a page of Stripe.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{HISTORY, QR, REFUNDS, items, keyed, own, page, says, subscribe, subscriber, text};
use crate::journeys::client::Client;
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::{Till, stories};

fn month_by_code() -> Value {
    json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"})
}

/// Asks for a payment; gives its id and the session of the page that its code leads to.
async fn ask(client: &Client) -> (String, String) {
    let payment = client.post(QR, &month_by_code()).await.must(201);
    (text(&payment, "payment_id").to_owned(), page(&payment["payload"]))
}

async fn read(client: &Client, payment: &str) -> Value {
    client.get(&format!("{QR}/{payment}")).await.must(200)
}

/// The page is closed for good.
fn is_closed(till: &Till, session: &str) {
    assert_eq!(till.stripe.session(session)["status"], "expired");
}

stories! {
    async fn a_code_leads_to_a_page_of_stripe_and_what_is_paid_there_begins_the_plan(till: &Till) {
        let ada = till.here.verified("ada").await;
        let first = keyed(&ada.client, (QR, "one"), &month_by_code()).await;
        let payment = first.must(201);
        says(&payment, &json!({
            "status": "pending", "scheme": "stripe", "kind": "qr", "amount_minor": 999, "currency": "USD",
            "expires_at": "2026-01-15T09:15:00Z", "late": false, "review": null,
        }));
        assert_eq!(keyed(&ada.client, (QR, "one"), &month_by_code()).await.text, first.text);
        let (id, session) = (text(&payment, "payment_id"), page(&payment["payload"]));
        says(&till.stripe.session(&session), &json!({
            "mode": "payment", "amount_total": 999, "currency": "usd", "client_reference_id": id, "status": "open",
            "url": payment["payload"],
        }));
        // The picture of the same address.
        let svg = ada.client.get(&format!("{QR}/{id}.svg")).await;
        assert_eq!((svg.status, svg.text.as_str()), (200, text(&payment, "svg")));

        assert!(till.stripe.pay_checkout(&session));
        assert_eq!(read(&ada.client, id).await["status"], "pending");
        till.tell().await;
        says(&read(&ada.client, id).await, &json!({"status": "paid", "late": false, "review": null}));
        says(&own(&ada.client).await, &json!({
            "tier": "student", "status": "active", "billed_by": null, "current_period_end": "2026-02-15T09:00:00Z",
        }));
        let mails = till.here.mails("ada", "Payment received: USD 9.99 for the student plan").await;
        assert_eq!(mails.len(), 1);
        assert_eq!(items(&ada.client, HISTORY).await.len(), 1);
    }

    async fn a_page_is_closed_after_a_quarter_of_an_hour_and_the_payment_has_expired(till: &Till) {
        let ada = till.here.verified("ada").await;
        let (id, session) = ask(&ada.client).await;
        till.pass(TimeDelta::minutes(15) - TimeDelta::seconds(1));
        assert_eq!(till.duty("expire_payments").await, "0 payments");
        till.tick();
        let client = till.again("ada").await;
        assert_eq!(read(&client, &id).await["status"], "expired", "whether it has been noted or not");
        for (fault, times) in [(Fault::Refuse, 4), (Fault::Status(500, None), 1)] {
            till.stripe.next(fault, times, "POST /v1/checkout/sessions/");
            assert!(till.try_duty("expire_payments").await.is_err());
            assert_eq!(till.stripe.session(&session)["status"], "open");
            till.tick();
        }
        assert_eq!(till.duty("expire_payments").await, "1 payments");
        is_closed(till, &session);
        assert_eq!(till.duty("expire_payments").await, "0 payments");
        till.tell().await;
        assert_eq!(read(&client, &id).await["status"], "expired");
        assert_eq!(own(&client).await["status"], "trial");
    }

    async fn money_that_comes_late_is_taken_and_marked(till: &Till) {
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        let ((of_ada, adas_page), (of_eve, eves_page)) = (ask(&ada.client).await, ask(&eve.client).await);
        // Paid in the last moment, of which the duty learns when it closes the page.
        till.pass(TimeDelta::minutes(14));
        assert!(till.stripe.pay_checkout(&adas_page));
        till.pass(TimeDelta::minutes(2));
        // Paid before the page was closed.
        assert!(till.stripe.pay_checkout(&eves_page));
        assert_eq!(till.duty("expire_payments").await, "0 payments");
        for (name, id) in [("ada", &of_ada), ("eve", &of_eve)] {
            let client = till.again(name).await;
            says(&read(&client, id).await, &json!({"status": "paid", "late": true, "review": null}));
            says(&own(&client).await, &json!({"tier": "student", "entitles": true}));
        }
        till.tell().await;
        assert_eq!((till.told("ada", "qr_received").await, till.told("eve", "qr_received").await), (1, 1));
    }

    async fn money_that_is_not_what_was_asked_for_grants_nothing_until_a_person_has_looked_at_it(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, till.here.verified("ada").await);
        for (amount, currency, shown) in [(998, "usd", "USD 9.98"), (999, "eur", "EUR 9.99"), (999, "jpy", "JPY 999")] {
            let (id, session) = ask(&ada.client).await;
            assert!(till.stripe.pay_checkout_as(&session, amount, currency));
            till.tell().await;
            let paid = read(&ada.client, &id).await;
            assert_eq!(paid["status"], "paid", "{paid}");
            assert!(text(&paid, "review").contains(&format!("{shown} was paid, and USD 9.99 was asked for")), "{paid}");
            let listed = items(&root.client, &format!("{QR}/transactions")).await;
            assert!(listed.iter().any(|one| one["payment_id"] == id && one["review"] == paid["review"]), "{listed:?}");
            till.tick();
        }
        assert_eq!(own(&ada.client).await["status"], "trial");
        assert_eq!(till.told("ada", "qr_received").await, 0);
    }

    async fn a_slow_payment_is_waited_for_and_counts_when_the_money_comes(till: &Till) {
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        let ((of_ada, adas_page), (of_eve, eves_page)) = (ask(&ada.client).await, ask(&eve.client).await);
        for session in [&adas_page, &eves_page] {
            assert!(till.stripe.begin_slow_payment(session));
        }
        till.tell().await;
        for (client, id) in [(&ada.client, &of_ada), (&eve.client, &of_eve)] {
            assert_eq!(read(client, id).await["status"], "pending");
            assert_eq!(own(client).await["status"], "trial");
        }
        till.stripe.settle_slow_payment(&eves_page, false);
        till.tell().await;
        assert_eq!(read(&eve.client, &of_eve).await["status"], "failed");
        // Banks take days, and nobody waits at the code for so long.
        till.pass(TimeDelta::minutes(15));
        assert_eq!(till.duty("expire_payments").await, "1 payments");
        till.pass(TimeDelta::days(4));
        till.stripe.settle_slow_payment(&adas_page, true);
        till.tell().await;
        let client = till.again("ada").await;
        says(&read(&client, &of_ada).await, &json!({"status": "paid", "late": true, "review": null}));
        says(&own(&client).await, &json!({"tier": "student", "current_period_start": "2026-01-19T09:15:00Z"}));
        assert_eq!(own(&till.again("eve").await).await["status"], "trial");
    }

    async fn nobody_pays_by_code_for_what_stripe_bills(till: &Till) {
        let root = till.here.admin("root").await;
        let ada = till.here.verified("ada").await;
        let (id, session) = ask(&ada.client).await;
        subscribe(&ada.client, "student").await.must(200);
        let problem = ada.client.post(QR, &month_by_code()).await.problem(409, "wrong_state");
        assert!(text(&problem, "detail").contains("/payments/change-plan"), "{problem}");
        // The page was open before.
        assert!(till.stripe.pay_checkout(&session));
        till.tell().await;
        let paid = read(&ada.client, &id).await;
        assert_eq!(paid["status"], "paid", "{paid}");
        assert!(text(&paid, "review").contains("Stripe bills a subscription of this account"), "{paid}");
        says(&own(&ada.client).await, &json!({"billed_by": "stripe", "current_period_end": "2026-02-15T09:00:00Z"}));
        let back = json!({"payment_id": id, "reason": "Paid twice"});
        says(&root.client.post(REFUNDS, &back).await.must(201), &json!({"amount_minor": 999, "refund_of": id}));
        // Somebody whose subscription runs since long is not asked to pay at all.
        let eve = subscriber(till, "eve", "student").await;
        eve.client.post(QR, &month_by_code()).await.problem(409, "wrong_state");
        assert_eq!(items(&eve.client, HISTORY).await.len(), 1);
    }
}
