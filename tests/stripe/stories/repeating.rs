//! Requests that are sent again, at once, or after something went wrong: what is asked for is done once.

use chrono::TimeDelta;
use serde_json::json;
use shared::on;

use super::{
    CANCEL, HISTORY, MAKING, QR, SUBSCRIBE, VISA, items, keyed, month, open_page, own, page, says, subscribe, with_card,
};
use crate::journeys::client::{Answer, eventually};
use crate::stand_ins::stripe_like::Fault;
use crate::stripe::world::{Till, stories};

/// As often as a request is sent before it is given up.
const PATIENCE: usize = 4;
/// What Stripe is asked for, in this order, when somebody subscribes for the first time to what nobody has bought yet.
const STEPS: [&str; 8] = [
    "POST /v1/customers",
    "GET /v1/prices",
    "POST /v1/products",
    "POST /v1/prices",
    "GET /v1/subscriptions",
    "POST /v1/payment_methods",
    MAKING,
    "GET /v1/invoices",
];

/// It was not brought to its end, and may be tried again.
fn is_unavailable(answer: &Answer) {
    answer.problem(503, "payments_unavailable");
    assert_eq!(answer.header("retry-after"), "5");
}

/// Checks that all that a first subscription takes has been done so many times.
fn is_done(till: &Till, times: usize) {
    for kind in [
        "customer.created",
        "product.created",
        "price.created",
        "payment_method.attached",
        "customer.subscription.created",
        "charge.succeeded",
    ] {
        assert_eq!(till.happened(kind), times, "{kind}");
    }
}

stories! {
    async fn a_repeated_request_gets_the_first_answer_byte_for_byte(till: &Till) {
        let ada = till.here.verified("ada").await;
        // A refused key is free again.
        let declined = with_card("student", "pm_card_chargeCustomerFail");
        keyed(&ada.client, (SUBSCRIBE, "one"), &declined).await.problem(402, "payment_declined");
        let first = keyed(&ada.client, (SUBSCRIBE, "one"), &with_card("student", VISA)).await;
        first.must(200);
        till.tick();
        till.tell().await;
        let again = keyed(&ada.client, (SUBSCRIBE, "one"), &with_card("student", VISA)).await;
        assert_eq!((again.status, &again.text), (200, &first.text));
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        let other = with_card("employee", VISA);
        keyed(&ada.client, (SUBSCRIBE, "one"), &other).await.problem(422, "idempotency_key_reused");
        assert_eq!(till.standings(&ada).await.len(), 1);
        assert_eq!(items(&ada.client, HISTORY).await.len(), 1);
    }

    async fn while_a_request_is_worked_on_another_one_has_to_wait(till: &Till) {
        let ada = till.here.verified("ada").await;
        till.stripe.next(Fault::Held, 1, MAKING);
        let client = ada.client.clone();
        let first = tokio::spawn(async move { subscribe(&client, "student").await });
        till.asked(0, MAKING).await;
        for tier in ["student", "employee"] {
            let second = subscribe(&ada.client, tier).await;
            second.problem(409, "in_progress");
            assert_eq!(second.header("retry-after"), "1");
        }
        // Stripe tells of it before we have its answer.
        till.tell().await;
        assert_eq!(own(&ada.client).await["status"], "active");
        till.stripe.let_go(1);
        let answer = first.await.expect("a task").must(200);
        assert_eq!(answer["subscription"], own(&ada.client).await);
        subscribe(&ada.client, "student").await.problem(409, "wrong_state");
        assert_eq!(till.told("ada", "payment_confirmed").await, 1);
    }

    async fn a_request_that_nobody_waits_for_is_done_all_the_same(till: &Till) {
        let ada = till.here.verified("ada").await;
        till.stripe.next(Fault::Held, 1, MAKING);
        let client = ada.client.clone();
        let request = tokio::spawn(async move { subscribe(&client, "student").await });
        till.asked(0, MAKING).await;
        request.abort();
        assert!(request.await.is_err());
        till.stripe.let_go(1);
        eventually(async || {
            let own = own(&ada.client).await;
            if own["status"] == "active" { Ok(()) } else { Err(own.to_string()) }
        })
        .await;
    }

    async fn an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(till: &Till) {
        let ada = till.here.verified("ada").await;
        // Once: nobody notices.
        till.stripe.next(Fault::Lose, 1, MAKING);
        subscribe(&ada.client, "student").await.must(200);
        // Until our patience is over.
        let eve = till.here.verified("eve").await;
        till.stripe.next(Fault::Lose, PATIENCE, MAKING);
        is_unavailable(&subscribe(&eve.client, "student").await);
        till.tick();
        subscribe(&eve.client, "student").await.must(200);
        till.tell().await;
        for (name, account) in [("ada", &ada), ("eve", &eve)] {
            assert_eq!(till.standings(account).await.len(), 1);
            assert_eq!(items(&account.client, HISTORY).await.len(), 1);
            assert_eq!(till.told(name, "payment_confirmed").await, 1);
        }
        assert_eq!(till.happened("charge.succeeded"), 2);
    }

    async fn wherever_stripe_is_out_of_reach_the_same_request_goes_on_later(till: &Till) {
        // Each has a plan that nobody has bought before.
        for (times, (name, tier, fault)) in (1..).zip([
            ("ada", "student", Fault::Refuse), ("eve", "employee", Fault::Lose),
            ("kim", "professional", Fault::Status(429, Some(9))),
        ]) {
            let account = till.here.verified(name).await;
            // Whoever is told to wait longer than patience lasts is not asked again.
            let sent = if fault == Fault::Status(429, Some(9)) { 1 } else { PATIENCE };
            for step in STEPS {
                till.stripe.next(fault, sent, step);
                is_unavailable(&subscribe(&account.client, tier).await);
                till.tick();
            }
            subscribe(&account.client, tier).await.must(200);
            is_done(till, times);
        }
        till.tell().await;
        assert_eq!(till.told("ada", "payment_confirmed").await, 1);
    }

    async fn what_stripe_itself_could_not_do_is_asked_for_anew(till: &Till) {
        let ada = till.here.verified("ada").await;
        // Under the same key it would say so again for a day.
        till.stripe.next(Fault::Status(500, None), 1, MAKING);
        is_unavailable(&subscribe(&ada.client, "student").await);
        subscribe(&ada.client, "student").await.must(200);
        assert_eq!(till.standings(&ada).await.len(), 1);
    }

    async fn what_stripe_has_done_and_we_have_not_noted_is_noted_by_what_it_tells(till: &Till) {
        let ada = till.here.verified("ada").await;
        let body = with_card("student", VISA);
        till.stripe.next(Fault::Lose, PATIENCE, MAKING);
        is_unavailable(&keyed(&ada.client, (SUBSCRIBE, "one"), &body).await);
        assert_eq!(own(&ada.client).await["status"], "trial");
        till.tell().await;
        says(&own(&ada.client).await, &json!({"tier": "student", "status": "active"}));
        till.tick();
        // Whoever asks again is told that it is done.
        let answer = keyed(&ada.client, (SUBSCRIBE, "one"), &body).await.must(200);
        assert_eq!(answer["subscription"], own(&ada.client).await);
        assert_eq!(till.told("ada", "payment_confirmed").await, 1);
        assert_eq!(till.happened("charge.succeeded"), 1);
    }

    async fn what_a_process_died_at_is_gone_on_with_after_a_minute(till: &Till) {
        let ada = till.here.verified("ada").await;
        till.stripe.next(Fault::Lose, PATIENCE, MAKING);
        is_unavailable(&subscribe(&ada.client, "student").await);
        die(till).await;
        till.tick();
        subscribe(&ada.client, "student").await.problem(409, "in_progress");
        till.pass(TimeDelta::minutes(1));
        subscribe(&ada.client, "student").await.must(200);
        assert_eq!(till.standings(&ada).await.len(), 1);
        assert_eq!(till.happened("charge.succeeded"), 1);
    }

    async fn of_two_requests_at_once_one_is_done(till: &Till) {
        let (ada, eve) = (till.here.verified("ada").await, till.here.verified("eve").await);
        let (student, employee) = (with_card("student", VISA), with_card("employee", VISA));
        let (a, b) = tokio::join!(ada.client.post(SUBSCRIBE, &student), ada.client.post(SUBSCRIBE, &student));
        let keys = [(SUBSCRIBE, "one"), (SUBSCRIBE, "two")];
        let (c, d) = tokio::join!(keyed(&eve.client, keys[0], &student), keyed(&eve.client, keys[1], &employee));
        for pair in [[a, b], [c, d]] {
            let mut statuses = [pair[0].status, pair[1].status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 409], "{} {}", pair[0].text, pair[1].text);
        }
        for account in [&ada, &eve] {
            assert_eq!(till.standings(account).await.len(), 1);
        }
    }

    async fn a_request_that_was_done_long_ago_is_not_taken_for_the_same_one_of_today(till: &Till) {
        let ada = till.here.verified("ada").await;
        till.stripe.next(Fault::Lose, PATIENCE, MAKING);
        is_unavailable(&subscribe(&ada.client, "student").await);
        till.tell().await;
        ada.client.post(CANCEL, &json!({"immediately": true})).await.must(200);
        till.pass(TimeDelta::hours(2));
        // That one is over; whoever wants the same again has it again.
        let client = till.again("ada").await;
        let answer = subscribe(&client, "student").await.must(200);
        says(&answer["subscription"], &json!({"status": "active", "current_period_start": "2026-01-15T11:00:00Z"}));
        let statuses: Vec<_> = till.standings(&ada).await.iter().map(|standing| standing.status).collect();
        assert_eq!(statuses, ["canceled", "active"]);
        till.tell().await;
        assert_eq!(till.told("ada", "payment_confirmed").await, 2);
    }

    async fn a_page_that_nobody_was_led_to_is_not_what_somebody_is_led_to_later(till: &Till) {
        let ada = till.here.verified("ada").await;
        let page_of_qr = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        for (path, body) in [(SUBSCRIBE, &month("student")), (QR, &page_of_qr)] {
            till.stripe.next(Fault::Lose, PATIENCE, "POST /v1/checkout/sessions");
            is_unavailable(&ada.client.post(path, body).await);
        }
        till.pass(TimeDelta::hours(2));
        let client = till.again("ada").await;
        let asked = client.post(QR, &page_of_qr).await.must(201);
        says(&asked, &json!({"status": "pending", "expires_at": "2026-01-15T11:15:00Z"}));
        assert_eq!(till.stripe.session(&page(&asked["payload"]))["status"], "open");
        let session = open_page(&client, "student").await;
        assert!(till.stripe.pay_checkout(&session), "it is open");
        till.tell().await;
        assert_eq!(own(&client).await["status"], "active");
    }
}

/// Makes it look as if whoever is at an operation were still at it, which is what a process leaves that dies.
async fn die(till: &Till) {
    let busy_until = till.now() + TimeDelta::minutes(1);
    let mut tx = till.app().services.db.begin().await.expect("a transaction");
    let sql = "update stripe_operations set busy_until = $1 where status is null";
    let done = on!(tx, |c| sqlx::query(sql).bind(busy_until).execute(&mut *c).await.expect("a change").rows_affected());
    assert_eq!(done, 1);
    tx.commit().await.expect("a commit");
}
