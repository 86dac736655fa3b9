//! What the program has stored, compared with the stand-in.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::payment::{PaymentKind, PaymentStatus};
use shared::on;
use shared::store::{Db, credits, invoices, payments};

use super::couriers::Bag;
use super::history::History;

/// More than anybody has.
const ALL: i64 = 1_000;

/// Every event is stored and applied, also those that were never delivered.
pub(super) async fn events(db: &Db, bag: &Bag) {
    let mut tx = db.read().await.expect("a reader");
    let rows: Vec<(String, String, String)> = on!(tx, |c| {
        sqlx::query_as("select id, status, via from stripe_events").fetch_all(&mut *c).await.expect("events")
    });
    let left: Vec<_> = rows.iter().filter(|(_, status, _)| status != "applied").collect();
    assert!(left.is_empty(), "{} are not applied, as {:?}", left.len(), left[0]);
    let found: BTreeSet<String> = rows.iter().filter(|(.., via)| via == "reconcile").map(|row| row.0.clone()).collect();
    let stored: BTreeSet<String> = rows.into_iter().map(|row| row.0).collect();
    assert_eq!(stored.symmetric_difference(bag.events()).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(bag.withheld().difference(&found).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Everybody's subscription is the one at Stripe.
pub(super) async fn subscriptions(db: &Db, history: &History<'_>) {
    let (standings, bills) = (history.standings(), history.bills());
    let mut tx = db.read().await.expect("a reader");
    for payer in &history.payers {
        let ours = credits::facts(&mut tx, payer.user).await.expect("facts").subscribed;
        let ours = ours.unwrap_or_else(|| panic!("{payer:?} has no subscription"));
        let theirs = &standings[&payer.customer];
        let end = ours.subscription.current_period_end.timestamp();
        assert_eq!(
            (ours.stripe_subscription.as_deref(), ours.subscription.status.as_str(), Some(ours.subscription.tier)),
            (Some(theirs.id.as_str()), theirs.status, history.tier(&theirs.price)),
            "{payer:?}"
        );
        assert_eq!((end, ours.cancel_at_period_end), (theirs.period_end, theirs.ends.is_some()), "{payer:?}");
        // Days of grace begin with the first invoice that is not paid.
        let unpaid = bills.iter().filter(|bill| bill.customer == payer.customer && bill.status == "open");
        let since = unpaid.map(|bill| bill.created).min().filter(|_| theirs.status == "past_due");
        assert_eq!(ours.past_due_since.map(|since| since.timestamp()), since, "{payer:?}");
    }
}

/// Everybody's invoices are those at Stripe, and what was paid of them are payments.
pub(super) async fn money(db: &Db, history: &History<'_>) {
    let bills = history.bills();
    let mut tx = db.read().await.expect("a reader");
    let (mut count, mut sum) = (0, 0);
    for payer in &history.payers {
        let filter = invoices::Filter { user: Some(payer.user), ..invoices::Filter::default() };
        let ours = invoices::list(&mut tx, &filter, ALL).await.expect("invoices").into_iter();
        let ours = ours.map(|row| (row.stripe_id, (row.status, row.amount_due, row.amount_paid)));
        let theirs = bills.iter().filter(|bill| bill.customer == payer.customer);
        let all = theirs.clone().map(|bill| (bill.id.clone(), (bill.status.clone(), bill.due, bill.paid)));
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), all.collect::<BTreeMap<_, _>>(), "{payer:?}");

        let (user, kind) = (Some(payer.user), Some(PaymentKind::Invoice));
        let filter = payments::Filter { user, kind, ..payments::Filter::default() };
        let ours = payments::list(&mut tx, &filter, ALL).await.expect("payments").into_iter();
        let ours: BTreeMap<_, _> = ours.map(|paid| (paid.stripe_id, (paid.status, paid.amount))).collect();
        let paid = theirs.filter(|bill| bill.paid > 0);
        let paid = paid.map(|bill| (Some(bill.id.clone()), (PaymentStatus::Paid, bill.paid)));
        assert_eq!(ours, paid.collect::<BTreeMap<_, _>>(), "{payer:?}");
        count += ours.len();
        sum += ours.values().map(|(_, amount)| amount).sum::<i64>();
    }
    println!("{count} payments of {sum} cents");
}
