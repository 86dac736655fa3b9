//! In whichever order the states of a history are written, each under the number that it was read with: what is known in
//! the end is the same, and nobody is told of anything twice.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::store::invoices::{self, Filter};

use super::{Customer, Seen, day, items};
use crate::harness::engines::both_engines;

/// Kinds of mails about what still holds at the end of a history, so that it does not matter when it was seen.
const LASTING: [&str; 3] = ["payment_confirmed", "invoice_paid", "subscription_ended"];

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let longer = shorter.iter().flat_map(|order| {
        (0..count).map(move |place| {
            let mut order = order.clone();
            order.insert(place, count - 1);
            order
        })
    });
    longer.collect()
}

/// How a subscription that is known as active goes on: its renewal fails twice and is paid, the plan is changed and
/// cancelled.
fn history(ada: &Customer<'_>) -> Vec<Seen> {
    let open = |attempts: i64| ada.renewal(&json!({"status": "open", "amount_paid": 0, "attempt_count": attempts}));
    let paid = || vec![ada.invoice(&json!({})), ada.renewal(&json!({}))];
    let changed = ada.renewal(&json!({
        "id": ada.id("in3"), "billing_reason": "subscription_update", "created": day(32),
        "lines": {"data": [{"amount": 2_000, "price": {"id": "price_employee"}}]},
    }));
    let subscription = |status: &str, price: &str, cancelled: bool| {
        vec![ada.subscription(&json!({
            "status": status, "items": items(price, 31, 62), "cancel_at_period_end": cancelled,
            "latest_invoice": ada.id("in2"),
        }))]
    };
    let seen = |subscriptions, invoices| Seen { subscriptions, invoices, ..Seen::default() };
    vec![
        seen(subscription("past_due", "price_student", false), vec![open(1)]),
        seen(subscription("past_due", "price_student", false), vec![open(2)]),
        seen(subscription("active", "price_student", false), paid()),
        seen(subscription("active", "price_employee", true), [paid(), vec![changed]].concat()),
    ]
}

/// What is known of a customer and what was told of what lasts, without what differs from one customer to the other.
async fn known(ada: &Customer<'_>) -> Value {
    let filter = Filter { user: Some(ada.user), before: None };
    let mut tx = ada.app.services.db.read().await.expect("a reader");
    let invoices = invoices::list(&mut tx, &filter, 10).await.expect("invoices");
    drop(tx);
    let mut invoices: Vec<_> = (invoices.iter())
        .map(|one| format!("{} {} {} {}", one.stripe_id, one.status, one.amount_paid, one.created_at))
        .collect();
    invoices.sort();
    let mut payments: Vec<_> = (ada.payments().await.iter())
        .map(|one| format!("{:?} {} {} {} {:?}", one.stripe_id, one.status, one.amount, one.tier, one.paid_at))
        .collect();
    payments.sort();
    let mut told = BTreeMap::new();
    for kind in LASTING {
        told.insert(kind, ada.told(kind).await);
    }
    let row = format!("{:?}", ada.row().await);
    let all = json!({"row": row, "invoices": invoices, "payments": payments, "told": told}).to_string();
    serde_json::from_str(&all.replace(&format!("_{}", ada.tag), "")).expect("JSON")
}

/// What the changes that were told add up to: each begins where the one before it ended.
async fn told_state(ada: &Customer<'_>) -> Value {
    let mut state = json!({"tier": "student", "status": "active", "billing_cycle": "monthly", "renews": true});
    for mail in ada.said("subscription_changed").await {
        let change = json!(mail);
        for name in ["tier", "status", "billing_cycle", "renews"] {
            if !change[name].is_null() {
                assert_eq!(change[name]["from"], state[name], "{name}: {change}");
                state[name] = change[name]["to"].clone();
            }
        }
    }
    state
}

/// A customer whose subscription is known, with the history that follows, each state under its number.
async fn prepared(ada: &Customer<'_>, history: &[Seen]) -> Vec<(Seen, i64)> {
    let first = Seen {
        subscriptions: vec![ada.subscription(&json!({}))],
        invoices: vec![ada.invoice(&json!({}))],
        ..Seen::default()
    };
    ada.sync(&first).await;
    let mut numbered = Vec::new();
    for seen in history {
        numbered.push((seen.clone(), ada.number().await));
    }
    numbered
}

both_engines! {
    async fn the_order_of_writing_does_not_matter(app: App) {
        app.clock.advance(TimeDelta::days(33));
        let mut expected = None;
        for (run, order) in orders(4).into_iter().enumerate() {
            let ada = Customer::new(&app, &format!("run{run:02}")).await;
            let states = prepared(&ada, &history(&ada)).await;
            let mut newest = 0;
            for place in &order {
                let (seen, number) = &states[*place];
                let synced = ada.write(seen, *number).await;
                assert_eq!(synced.written, *number > newest, "{order:?}");
                newest = newest.max(*number);
            }
            let known_now = known(&ada).await;
            assert_eq!(&known_now, expected.get_or_insert_with(|| known_now.clone()), "{order:?}");
            // At most once, and only if it was seen while it was so.
            assert!(ada.told("payment_failed").await <= 1, "{order:?}");
            let told = told_state(&ada).await;
            let last = json!({"tier": "employee", "status": "active", "billing_cycle": "monthly", "renews": false});
            assert_eq!(told, last, "{order:?}");
            // Written again, it changes nothing.
            let mails = ada.mails().await;
            ada.sync(&states[3].0).await;
            assert_eq!((known(&ada).await, ada.mails().await), (known_now, mails), "{order:?}");
        }
        let told = json!({"payment_confirmed": 1, "invoice_paid": 2, "subscription_ended": 0});
        assert_eq!(expected.expect("what is known")["told"], told);
    }

    async fn an_end_is_told_once_in_whichever_order_what_came_before_it_is_seen(app: App) {
        app.clock.advance(TimeDelta::days(33));
        let mut expected = None;
        for (run, order) in orders(4).into_iter().enumerate() {
            let ada = Customer::new(&app, &format!("run{run:02}")).await;
            let mut history = history(&ada);
            let over = json!({"status": "canceled", "items": items("price_employee", 31, 62)});
            let invoices = history[3].invoices.clone();
            let end = Seen { subscriptions: vec![ada.subscription(&over)], invoices, ..Seen::default() };
            history[2] = end;
            history.swap(2, 3);
            let states = prepared(&ada, &history).await;
            for place in &order {
                ada.write(&states[*place].0, states[*place].1).await;
            }
            let known_now = known(&ada).await;
            assert_eq!(&known_now, expected.get_or_insert_with(|| known_now.clone()), "{order:?}");
            ada.sync(&states[3].0).await;
            assert_eq!(known(&ada).await, known_now, "{order:?}");
        }
        let told = json!({"payment_confirmed": 1, "invoice_paid": 2, "subscription_ended": 1});
        assert_eq!(expected.expect("what is known")["told"], told);
    }
}
