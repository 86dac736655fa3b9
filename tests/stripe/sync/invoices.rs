//! Invoices and what was paid and given back for them.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::payment::{PaymentKind, PaymentStatus};
use shared::domain::tier::Tier;
use shared::ids::PaymentId;
use shared::store::invoices::{self, Filter, Invoice};
use shared::store::payments;

use super::{Customer, Seen, at, begin, day, items, mail, with};
use crate::harness::engines::both_engines;

async fn stored(ada: &Customer<'_>) -> Vec<Invoice> {
    let filter = Filter { user: Some(ada.user), before: None };
    let mut tx = ada.app.services.db.read().await.expect("a reader");
    invoices::list(&mut tx, &filter, 10).await.expect("invoices")
}

fn billed(ada: &Customer<'_>, invoices: Vec<Value>) -> Seen {
    Seen { subscriptions: vec![ada.subscription(&json!({}))], invoices, ..Seen::default() }
}

/// A refund of the first invoice, with some fields changed.
fn refund(ada: &Customer<'_>, fields: &Value) -> Value {
    let usual = json!({
        "id": ada.id("re"), "object": "refund", "amount": 400, "currency": "usd", "status": "pending",
        "payment_intent": ada.id("pi1"), "created": day(1), "metadata": {},
    });
    with(usual, fields)
}

both_engines! {
    async fn an_invoice_is_stored_with_its_pages_and_follows_what_becomes_of_it(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let draft = json!({"status": "draft", "number": null, "attempt_count": 0, "amount_paid": 0});
        ada.sync(&billed(&ada, vec![ada.invoice(&draft)])).await;
        assert_eq!(stored(&ada).await, [], "a draft may never become more");
        let open = json!({"status": "open", "amount_paid": 0, "attempt_count": 0});
        ada.sync(&billed(&ada, vec![ada.invoice(&open)])).await;
        let before = stored(&ada).await;
        assert_eq!((before[0].status.as_str(), before[0].amount_paid), ("open", 0));
        assert!(ada.payments().await.is_empty());
        ada.sync(&billed(&ada, vec![ada.invoice(&json!({}))])).await;
        let after = stored(&ada).await;
        assert_eq!((after.len(), after[0].id, after[0].created_at), (1, before[0].id, at(0)));
        assert_eq!((after[0].status.as_str(), after[0].amount_paid), ("paid", 999));
        assert_eq!(after[0].hosted_url.as_deref(), Some("https://invoice.example/1"));
        assert_eq!(ada.payments().await[0].paid_at, Some(at(0)));
        assert_eq!(ada.told("payment_failed").await, 0, "it was never tried in vain");
    }

    async fn a_payment_of_long_ago_is_written_and_is_no_news(app: App) {
        let ada = Customer::new(&app, "ada").await;
        app.clock.advance(TimeDelta::days(32 + 7));
        let renewed = ada.subscription(&json!({"items": items("price_student", 31, 62)}));
        let open = json!({"id": ada.id("in3"), "status": "open", "amount_paid": 0});
        let invoices = vec![ada.invoice(&json!({})), ada.renewal(&json!({})), ada.renewal(&open)];
        ada.sync(&Seen { subscriptions: vec![renewed], invoices, ..Seen::default() }).await;
        assert_eq!((ada.payments().await.len(), stored(&ada).await.len()), (2, 3));
        assert_eq!(ada.mails().await, [mail("payment_confirmed", "stripe:sub_ada")]);
    }

    async fn a_payment_is_for_what_its_invoice_says_whatever_the_subscription_is_now(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let line = |amount: i64, price: &str| json!({"amount": amount, "pricing": {"price_details": {"price": price}}});
        let upgrade = json!({
            "id": ada.id("in3"), "billing_reason": "subscription_update", "amount_paid": 2_000,
            "lines": {"data": [line(-999, "price_student"), line(2_999, "price_employee")]},
        });
        // An invoice of something else has no plan, and is no payment for one.
        let other = json!({"id": ada.id("in4"), "lines": {"data": [line(500, "price_x")]}, "parent": null});
        let bare = json!({"id": ada.id("in5"), "lines": null});
        let fields = [json!({}), upgrade, other, bare];
        let invoices = fields.iter().map(|fields| ada.invoice(fields)).collect();
        let subscription = ada.subscription(&json!({"items": items("price_employee", 0, 31)}));
        ada.sync(&Seen { subscriptions: vec![subscription], invoices, ..Seen::default() }).await;
        assert_eq!(stored(&ada).await.len(), 4);
        let mut paid: Vec<_> = ada.payments().await.into_iter().map(|one| (one.stripe_id, one.tier)).collect();
        paid.sort();
        let expected = [("in1", Tier::Student), ("in3", Tier::Employee), ("in5", Tier::Employee)];
        assert_eq!(paid, expected.map(|(id, tier)| (Some(ada.id(id)), tier)));
        assert_eq!(ada.told("invoice_paid").await, 1, "the upgrade");
    }

    async fn a_refund_is_written_under_the_id_that_it_was_given_and_follows_what_becomes_of_it(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&billed(&ada, vec![ada.invoice(&json!({}))])).await;
        let given = PaymentId::new(at(1));
        let named = json!({"metadata": {"refund_id": given.to_string()}});
        for _ in 0..2 {
            ada.sync(&Seen { refunds: vec![refund(&ada, &named)], ..billed(&ada, Vec::new()) }).await;
        }
        let payments = ada.payments().await;
        assert_eq!(payments.len(), 2);
        let (paid, back) = (&payments[0], &payments[1]);
        assert_eq!((back.id, back.kind, back.refund_of), (given, PaymentKind::Refund, Some(paid.id)));
        assert_eq!((back.status, back.amount, back.tier), (PaymentStatus::Pending, 400, Tier::Student));
        for (status, expected) in [("succeeded", PaymentStatus::Paid), ("failed", PaymentStatus::Failed)] {
            let moved = with(refund(&ada, &named), &json!({"status": status}));
            ada.sync(&Seen { refunds: vec![moved], ..billed(&ada, Vec::new()) }).await;
            assert_eq!(ada.payments().await[1].status, expected);
        }
        assert_eq!(ada.payments().await.len(), 2);
    }

    async fn a_refund_that_is_being_made_here_or_is_of_nothing_that_we_know_is_left_alone(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&billed(&ada, vec![ada.invoice(&json!({}))])).await;
        let taken = ada.payments().await[0].id;
        let refunds = vec![
            refund(&ada, &json!({"metadata": {"refund_id": taken.to_string()}})),
            refund(&ada, &json!({"id": ada.id("re2"), "payment_intent": "pi_of_somebody"})),
            refund(&ada, &json!({"id": ada.id("re3"), "payment_intent": null})),
            refund(&ada, &json!({"id": ada.id("re4"), "amount": 0})),
        ];
        ada.sync(&Seen { refunds, ..billed(&ada, Vec::new()) }).await;
        assert_eq!(ada.payments().await.len(), 1);
        // Made on Stripe's own pages, it has no id of ours.
        let odd = refund(&ada, &json!({"metadata": {"refund_id": "x"}, "status": "succeeded"}));
        ada.sync(&Seen { refunds: vec![odd], ..billed(&ada, Vec::new()) }).await;
        let back = ada.payments().await.pop().expect("a refund");
        assert_eq!((back.status, back.paid_at), (PaymentStatus::Paid, Some(at(1))));
        let mut tx = begin(&app).await;
        assert_eq!(payments::refunded(&mut tx, taken).await.expect("a sum"), 400);
    }
}
