//! Plans that end, and what their owners are told of it.

use ::scheduler::once;
use chrono::{Months, TimeDelta};
use serde_json::{Value, json};
use shared::domain::entitlement::Subscription;
use shared::domain::money::Currency;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::{self, UserId};
use shared::on;
use shared::store::subscriptions::{self, Billed};
use shared::store::{accounts, credits, invoices};
use sqlx::types::Json;

use super::{begin, ok};
use crate::harness::engines::{App, both_engines, start};

/// When a month that begins with the test ends.
const MONTH_END: &str = "2026-02-15T09:00:00Z";

async fn warn(app: &App) {
    ok(once(&app.services, "subscription_warnings", app.clock.now()).await);
}

/// How many mails there are of a plan that will end, and of one that has.
async fn counts(app: &App) -> (usize, usize) {
    (app.mails("subscription_ending").await.len(), app.mails("subscription_ended").await.len())
}

/// Does the duty every six hours for so many days; the days on which a mail of each kind was decided on.
async fn watch(app: &App, days: i64) -> (Vec<i64>, Vec<i64>) {
    let (mut ending, mut ended) = (Vec::new(), Vec::new());
    for quarter in 0..days * 4 {
        let before = counts(app).await;
        warn(app).await;
        let after = counts(app).await;
        ending.extend((before.0..after.0).map(|_| quarter / 4));
        ended.extend((before.1..after.1).map(|_| quarter / 4));
        app.clock.advance(TimeDelta::hours(6));
    }
    (ending, ended)
}

/// A month that was paid for once, as by QR code.
async fn buy(app: &App, user: UserId) {
    let mut tx = begin(app).await;
    ok(subscriptions::activate(&mut tx, user, Tier::Student, BillingCycle::Monthly, app.clock.now()).await);
    ok(tx.commit().await);
}

/// A subscription that Stripe bills, as it is written when nothing is wrong with it.
fn billed() -> Billed {
    let period = (start(), start() + Months::new(1));
    Billed {
        stripe_subscription: "sub_1".to_owned(),
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        status: "active".to_owned(),
        period,
        cancel_at_period_end: false,
        past_due_since: None,
        entitles_until: Some(period.1 + TimeDelta::days(1)),
        pending: None,
    }
}

/// The same, cancelled to the end of its period.
fn cancelled() -> Billed {
    Billed { cancel_at_period_end: true, entitles_until: Some(billed().period.1), ..billed() }
}

/// The same, with a payment that has been failing since the beginning of the test.
fn failing() -> Billed {
    let until = start() + TimeDelta::days(7);
    Billed { status: "past_due".to_owned(), past_due_since: Some(start()), entitles_until: Some(until), ..billed() }
}

async fn put(app: &App, user: UserId, billed: &Billed) {
    let mut tx = begin(app).await;
    ok(subscriptions::put_billed(&mut tx, user, billed).await);
    ok(tx.commit().await);
}

/// What a mail of a kind says.
async fn said(app: &App, kind: &str) -> Value {
    let mut tx = ok(app.services.db.read().await);
    let said: Json<Value> = on!(tx, |c| {
        ok(sqlx::query_scalar("select payload from mails where kind = $1").bind(kind).fetch_one(&mut *c).await)
    });
    said.0
}

fn told(occasion: &str) -> Vec<(String, String)> {
    vec![("ada@example.com".to_owned(), occasion.to_owned())]
}

both_engines! {
    async fn a_plan_that_was_paid_for_once_is_warned_of_three_days_ahead_and_when_it_has_ended(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        buy(&app, ada).await;
        assert_eq!(watch(&app, 40).await, (vec![28], vec![31]));
        assert_eq!(app.mails("subscription_ending").await, told(MONTH_END));
        assert_eq!(app.mails("subscription_ended").await, told(MONTH_END));
        let (ending, ended) = (said(&app, "subscription_ending").await, said(&app, "subscription_ended").await);
        assert_eq!((&ending["plan"], &ending["days_left"]), (&json!("student"), &json!(3)), "{ending}");
        assert_eq!(ending["payment_failed"], false, "{ending}");
        assert_eq!(ended["ended_at"], MONTH_END, "{ended}");
    }

    async fn a_plan_that_was_paid_for_again_is_warned_of_again(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        buy(&app, ada).await;
        app.clock.advance(TimeDelta::days(29));
        warn(&app).await;
        buy(&app, ada).await;
        assert_eq!(watch(&app, 40).await, (vec![27], vec![30]));
        let ended = app.mails("subscription_ended").await;
        assert_eq!(ended, told("2026-03-15T09:00:00Z"), "the first end never came");
    }

    async fn what_stripe_renews_is_neither_warned_of_nor_over(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        put(&app, ada, &billed()).await;
        assert_eq!(watch(&app, 40).await, (vec![], vec![]), "it is ours to find out what became of it");
    }

    async fn what_is_cancelled_to_the_end_of_its_period_is_told_of_like_what_is_not_renewed(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        put(&app, ada, &cancelled()).await;
        assert_eq!(watch(&app, 40).await, (vec![28], vec![31]));
        assert_eq!(app.mails("subscription_ending").await, told(MONTH_END));
        assert_eq!(app.mails("subscription_ended").await, told(&format!("sub_1:{MONTH_END}")));
    }

    async fn days_of_grace_are_warned_of_on_the_last_with_the_page_where_it_is_paid(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        put(&app, ada, &failing()).await;
        put_invoice(&app, ada).await;
        assert_eq!(watch(&app, 20).await, (vec![6], vec![7]));
        let ending = said(&app, "subscription_ending").await;
        assert_eq!((&ending["payment_failed"], &ending["days_left"]), (&json!(true), &json!(1)), "{ending}");
        assert_eq!(ending["link"], "https://invoice.example/1", "{ending}");
        // Paid after all, and cancelled: that is another end of the same subscription.
        put(&app, ada, &cancelled()).await;
        assert_eq!(watch(&app, 20).await, (vec![8], vec![11]));
        let names: Vec<_> = app.mails("subscription_ended").await.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, [format!("sub_1:{MONTH_END}:unpaid"), format!("sub_1:{MONTH_END}")]);
    }

    async fn what_an_admin_gave_is_not_warned_of_and_its_end_is_told(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let given = Subscription::new(Tier::Enterprise, "active", start() + TimeDelta::days(10));
        ok(credits::put_subscription(&mut tx, ada, &given, start()).await);
        ok(tx.commit().await);
        assert_eq!(watch(&app, 20).await, (vec![], vec![10]));
    }

    async fn nobody_is_told_whose_account_is_shut_or_closed_and_nobody_of_an_end_that_is_long_past(app: App) {
        let (shut, gone) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        for user in [shut, gone] {
            buy(&app, user).await;
        }
        let mut tx = begin(&app).await;
        assert!(ok(accounts::set_disabled(&mut tx, shut, true).await));
        assert!(ok(accounts::anonymise(&mut tx, gone, app.clock.now()).await));
        ok(tx.commit().await);
        assert_eq!(watch(&app, 40).await, (vec![], vec![]));
        let late = app.verified_user("kim@example.com").await;
        buy(&app, late).await;
        app.clock.advance(TimeDelta::days(28 + 8));
        warn(&app).await;
        assert_eq!(counts(&app).await, (0, 0));
    }
}

/// The invoice that could not be paid.
async fn put_invoice(app: &App, user: UserId) {
    let invoice = invoices::Invoice {
        id: ids::new(start()),
        stripe_id: "in_1".to_owned(),
        user_id: Some(user),
        number: None,
        status: "open".to_owned(),
        billing_reason: None,
        amount_due: 999,
        amount_paid: 0,
        currency: Currency::USD,
        hosted_url: Some("https://invoice.example/1".to_owned()),
        pdf_url: None,
        period_start: None,
        period_end: None,
        created_at: start(),
    };
    let mut tx = begin(app).await;
    ok(invoices::put(&mut tx, &invoice).await);
    ok(tx.commit().await);
}
