//! Invoices: one row for each, as Stripe last told of it.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::money::Currency;
use shared::ids::{self, UserId};
use shared::store::invoices::{self, Filter, Invoice};
use shared::store::{Tx, accounts};

use super::begin;
use crate::harness::engines::both_engines;

/// An invoice that is to be paid.
pub(super) fn invoice(stripe_id: &str, user_id: Option<UserId>, at: DateTime<Utc>) -> Invoice {
    Invoice {
        id: ids::new(at),
        stripe_id: stripe_id.to_owned(),
        user_id,
        number: None,
        status: "open".to_owned(),
        billing_reason: Some("subscription_cycle".to_owned()),
        amount_due: 999,
        amount_paid: 0,
        currency: Currency::USD,
        hosted_url: Some("https://invoice.example/1".to_owned()),
        pdf_url: Some("https://invoice.example/1.pdf".to_owned()),
        period_start: Some(at),
        period_end: None,
        created_at: at,
    }
}

async fn put(tx: &mut Tx, invoice: &Invoice) -> Option<String> {
    invoices::put(tx, invoice).await.expect("an invoice")
}

async fn list(tx: &mut Tx, user: Option<UserId>) -> Vec<Invoice> {
    invoices::list(tx, &Filter { user, before: None }, 10).await.expect("invoices")
}

both_engines! {
    async fn an_invoice_becomes_what_stripe_tells_of_it_and_its_old_status_is_given(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let whole = invoice("in_1", Some(ada), now);
        let first = Invoice { billing_reason: None, hosted_url: None, period_start: None, ..whole };
        assert_eq!(put(&mut tx, &first).await, None);
        assert_eq!(list(&mut tx, Some(ada)).await, std::slice::from_ref(&first));
        let paid = Invoice {
            id: ids::new(now),
            number: Some("A-0001".to_owned()),
            status: "paid".to_owned(),
            amount_due: 1_000,
            amount_paid: 1_000,
            currency: Currency::INR,
            period_end: Some(now + TimeDelta::days(30)),
            created_at: now + TimeDelta::days(1),
            ..invoice("in_1", None, now)
        };
        assert_eq!(put(&mut tx, &paid).await.as_deref(), Some("open"));
        assert_eq!(put(&mut tx, &paid).await.as_deref(), Some("paid"));
        let expected = Invoice { id: first.id, user_id: Some(ada), created_at: now, ..paid };
        assert_eq!(list(&mut tx, None).await, [expected]);
    }

    async fn invoices_are_listed_the_newest_first_by_account_and_in_pages(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let mut all = Vec::new();
        for (number, user) in (0..).zip([Some(ada), Some(eve), None, Some(ada)]) {
            let one = invoice(&format!("in_{number}"), user, now + TimeDelta::seconds(number));
            assert_eq!(put(&mut tx, &one).await, None);
            all.insert(0, one);
        }
        assert_eq!(list(&mut tx, None).await, all);
        assert_eq!(list(&mut tx, Some(ada)).await, [all[0].clone(), all[3].clone()]);
        assert_eq!(list(&mut tx, Some(UserId::new(now))).await, []);
        assert_eq!(invoices::list(&mut tx, &Filter::default(), 3).await.expect("invoices"), all[..3]);
        let rest = Filter { user: Some(ada), before: Some(all[0].id) };
        assert_eq!(invoices::list(&mut tx, &rest, 3).await.expect("invoices"), all[3..]);
    }

    async fn the_links_of_a_closed_account_are_dropped_and_do_not_come_again(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let (mine, hers) = (invoice("in_1", Some(ada), now), invoice("in_2", Some(eve), now));
        put(&mut tx, &mine).await;
        put(&mut tx, &hers).await;
        let bare = Invoice { hosted_url: None, pdf_url: None, ..mine.clone() };
        invoices::anonymise(&mut tx, ada).await.expect("a change");
        assert_eq!(list(&mut tx, Some(ada)).await, std::slice::from_ref(&bare));
        assert_eq!(list(&mut tx, Some(eve)).await, [hers]);
        assert!(accounts::anonymise(&mut tx, ada, now).await.expect("a change"));
        assert_eq!(put(&mut tx, &mine).await.as_deref(), Some("open"));
        assert_eq!(list(&mut tx, Some(ada)).await, [bare]);
        put(&mut tx, &invoice("in_3", Some(ada), now)).await;
        assert!(list(&mut tx, Some(ada)).await.iter().all(|one| one.hosted_url.is_none() && one.pdf_url.is_none()));
    }
}
