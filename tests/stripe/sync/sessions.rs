//! Payments by QR code that lead to a page of Stripe: what is granted when they are made, and what is not.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::money::Currency;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::email::Mail;
use shared::ids::PaymentId;
use shared::store::payments::{self, Payment};
use shared::store::{accounts, subscriptions};

use super::{Customer, Seen, at, begin, mail, with};
use crate::harness::engines::both_engines;

/// Asks for a payment of a month, as the API does.
async fn ask(ada: &Customer<'_>) -> PaymentId {
    let now = ada.app.clock.now();
    let payment = Payment {
        id: PaymentId::new(now),
        user_id: Some(ada.user),
        kind: PaymentKind::Qr,
        scheme: Scheme::Stripe,
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 999,
        currency: Currency::USD,
        status: PaymentStatus::Pending,
        payload: "https://checkout.example/1".to_owned(),
        created_at: now,
        expires_at: now + TimeDelta::minutes(15),
        paid_at: None,
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: Some(ada.id("cs")),
        payment_intent: None,
        refund_of: None,
        review: None,
    };
    let mut tx = begin(ada.app).await;
    payments::insert(&mut tx, &payment).await.expect("a payment");
    tx.commit().await.expect("a commit");
    payment.id
}

/// The session when it has been paid, with some fields changed.
fn session(ada: &Customer<'_>, fields: &Value) -> Seen {
    let usual = json!({
        "id": ada.id("cs"), "object": "checkout.session", "customer": ada.id("cus"), "status": "complete",
        "payment_status": "paid", "amount_total": 999, "currency": "usd", "payment_intent": ada.id("pi"),
    });
    Seen { sessions: vec![with(usual, fields)], ..Seen::default() }
}

async fn payment(ada: &Customer<'_>, id: PaymentId) -> Payment {
    let mut tx = ada.app.services.db.read().await.expect("a reader");
    payments::get(&mut tx, id).await.expect("a row").expect("a payment")
}

/// The payment is there, nothing was granted for it, and the review says why.
async fn is_reviewed(ada: &Customer<'_>, id: PaymentId, why: &str) {
    let payment = payment(ada, id).await;
    assert_eq!(payment.status, PaymentStatus::Paid);
    assert!(payment.review.as_deref().is_some_and(|review| review.contains(why)), "{payment:?}");
    assert_eq!(ada.told("qr_received").await, 0);
}

both_engines! {
    async fn a_page_that_was_paid_begins_the_plan_once(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let id = ask(&ada).await;
        for _ in 0..3 {
            ada.sync(&session(&ada, &json!({}))).await;
        }
        let paid = payment(&ada, id).await;
        assert_eq!((paid.status, paid.late, paid.review), (PaymentStatus::Paid, false, None));
        assert_eq!(paid.payment_intent.as_deref(), Some("pi_ada"));
        let row = ada.row().await;
        assert_eq!((row.subscription.tier, row.subscription.current_period_end), (Tier::Student, at(31)));
        assert_eq!(row.stripe_subscription, None);
        assert_eq!(ada.mails().await, [mail("qr_received", &id.to_string())]);
        let Mail::QrReceived(said) = ada.only("qr_received").await else { panic!("another mail") };
        assert_eq!((said.amount.as_str(), said.reference.as_str(), said.period_end), ("USD 9.99", "pi_ada", at(31)));
    }

    async fn a_page_that_is_not_paid_grants_nothing(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let id = ask(&ada).await;
        for fields in [
            json!({"status": "open", "payment_status": "unpaid"}),
            json!({"status": "complete", "payment_status": "unpaid"}),
            json!({"status": "expired", "payment_status": "unpaid"}),
            json!({"payment_status": null}),
        ] {
            ada.sync(&session(&ada, &fields)).await;
            assert_eq!(payment(&ada, id).await.status, PaymentStatus::Pending, "{fields}");
        }
        app.clock.advance(TimeDelta::minutes(15));
        ada.sync(&session(&ada, &json!({"status": "expired", "payment_status": "unpaid"}))).await;
        assert_eq!(payment(&ada, id).await.status, PaymentStatus::Expired);
        assert_eq!((ada.subscribed().await, ada.mails().await), (None, Vec::new()));
        // The money came all the same.
        ada.sync(&session(&ada, &json!({}))).await;
        let paid = payment(&ada, id).await;
        assert_eq!((paid.status, paid.late), (PaymentStatus::Paid, true));
        assert!(ada.row().await.subscription.runs(app.clock.now()));
    }

    async fn a_page_whose_money_will_not_come_has_failed(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let id = ask(&ada).await;
        let unpaid = json!({"payment_status": "unpaid"});
        ada.sync(&Seen { failed_sessions: vec![ada.id("cs")], ..session(&ada, &unpaid) }).await;
        assert_eq!(payment(&ada, id).await.status, PaymentStatus::Failed);
    }

    async fn money_that_does_not_match_grants_nothing_and_waits_for_a_person(app: App) {
        for (tag, fields) in [
            ("less", json!({"amount_total": 998})),
            ("more", json!({"amount_total": 1_000})),
            ("none", json!({"amount_total": null})),
            ("rupees", json!({"currency": "inr"})),
        ] {
            let ada = Customer::new(&app, tag).await;
            let id = ask(&ada).await;
            ada.sync(&session(&ada, &fields)).await;
            is_reviewed(&ada, id, "USD 9.99 was asked for").await;
            assert_eq!(ada.subscribed().await, None, "{tag}");
        }
    }

    async fn who_is_billed_by_stripe_meanwhile_is_not_given_a_second_plan(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let id = ask(&ada).await;
        let subscriptions = vec![ada.subscription(&json!({}))];
        ada.sync(&Seen { subscriptions, ..session(&ada, &json!({})) }).await;
        is_reviewed(&ada, id, "Stripe bills a subscription").await;
        assert_eq!(ada.row().await.stripe_subscription.as_deref(), Some("sub_ada"));
        // One that was given up does not stand in the way.
        let eve = Customer::new(&app, "eve").await;
        let id = ask(&eve).await;
        let subscriptions = vec![eve.subscription(&json!({"status": "canceled"}))];
        eve.sync(&Seen { subscriptions, ..session(&eve, &json!({})) }).await;
        assert_eq!(payment(&eve, id).await.review, None);
        assert_eq!(eve.row().await.stripe_subscription, None);
    }

    async fn a_page_that_a_closed_account_paid_waits_for_a_person(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let id = ask(&ada).await;
        let mut tx = begin(&app).await;
        assert!(accounts::anonymise(&mut tx, ada.user, app.clock.now()).await.expect("a change"));
        tx.commit().await.expect("a commit");
        ada.sync(&session(&ada, &json!({}))).await;
        is_reviewed(&ada, id, "closed").await;
        assert_eq!(ada.subscribed().await, None);
    }

    async fn a_page_follows_on_the_same_plan_that_runs(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let mut tx = begin(&app).await;
        let now = app.clock.now();
        subscriptions::activate(&mut tx, ada.user, Tier::Student, BillingCycle::Monthly, now).await.expect("a month");
        tx.commit().await.expect("a commit");
        ask(&ada).await;
        ada.sync(&session(&ada, &json!({}))).await;
        assert_eq!(ada.row().await.subscription.current_period_end, at(59));
    }

    async fn a_page_of_somebody_else_is_left_alone(app: App) {
        let (ada, eve) = (Customer::new(&app, "ada").await, Customer::new(&app, "eve").await);
        let id = ask(&ada).await;
        eve.sync(&session(&ada, &json!({}))).await;
        assert_eq!(payment(&ada, id).await.status, PaymentStatus::Pending);
        assert_eq!((eve.subscribed().await, ada.subscribed().await), (None, None));
    }
}
