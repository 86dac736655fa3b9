//! The subscription: what is granted, for how long, and what its owner is told.

use ::scheduler::once;
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::money::Currency;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::email::Mail;
use shared::job::{Job, Lane};
use shared::store::{accounts, credits, outbox, stripe_prices, subscriptions};
use shared::stripe::sync::{State, Synced, write};

use super::{Customer, Seen, at, begin, day, items, mail, with};
use crate::harness::engines::both_engines;

const DONE: Synced = Synced { written: true, more: false, unknown_price: None };

/// A subscription with its first invoice paid.
fn paid(ada: &Customer<'_>) -> Seen {
    Seen {
        subscriptions: vec![ada.subscription(&json!({}))],
        invoices: vec![ada.invoice(&json!({}))],
        ..Seen::default()
    }
}

/// The same in another state, without another word of invoices.
fn moved(ada: &Customer<'_>, fields: &Value) -> Seen {
    Seen { subscriptions: vec![ada.subscription(fields)], ..Seen::default() }
}

async fn trial_runs(ada: &Customer<'_>) -> bool {
    let mut tx = ada.app.services.db.read().await.expect("a reader");
    let trial = credits::trial(&mut tx, ada.user).await.expect("a row").expect("a trial");
    trial.ends_at > ada.app.clock.now()
}

async fn warn(ada: &Customer<'_>) {
    once(&ada.app.services, "subscription_warnings", ada.app.clock.now()).await.expect("the duty");
}

both_engines! {
    async fn the_first_payment_begins_the_plan_ends_the_trial_and_is_confirmed_once(app: App) {
        let ada = Customer::new(&app, "ada").await;
        for _ in 0..3 {
            assert_eq!(ada.sync(&paid(&ada)).await, DONE);
        }
        let row = ada.row().await;
        assert_eq!((row.subscription.tier, row.subscription.status.as_str()), (Tier::Student, "active"));
        assert_eq!((row.current_period_start, row.subscription.current_period_end), (at(0), at(31)));
        assert_eq!(row.subscription.until(), Some(at(32)), "word of the renewal may be late");
        assert_eq!(row.billing_cycle.as_deref(), Some("monthly"));
        assert!(!trial_runs(&ada).await);
        assert_eq!(ada.mails().await, [mail("payment_confirmed", "stripe:sub_ada")]);
        let Mail::PaymentConfirmed(said) = ada.only("payment_confirmed").await else { panic!("another mail") };
        assert_eq!((said.amount.as_deref(), said.reference.as_deref()), (Some("USD 9.99"), Some("A-0001")));
        assert_eq!((said.paid_at, said.period_end), (at(0), at(31)));
        let payments = ada.payments().await;
        assert_eq!(payments.len(), 1);
        let payment = &payments[0];
        assert_eq!((payment.kind, payment.scheme), (PaymentKind::Invoice, Scheme::Stripe));
        assert_eq!((payment.status, payment.amount), (PaymentStatus::Paid, 999));
        assert_eq!((payment.tier, payment.billing_cycle), (Tier::Student, BillingCycle::Monthly));
        assert_eq!(payment.payment_intent.as_deref(), Some("pi1_ada"));
    }

    async fn a_trial_at_stripe_entitles_and_says_that_nothing_was_paid(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let nothing = json!({"amount_due": 0, "amount_paid": 0});
        let seen = Seen { invoices: vec![ada.invoice(&nothing)], ..moved(&ada, &json!({"status": "trialing"})) };
        ada.sync(&seen).await;
        assert!(ada.row().await.subscription.runs(app.clock.now()) && !trial_runs(&ada).await);
        let Mail::PaymentConfirmed(said) = ada.only("payment_confirmed").await else { panic!("another mail") };
        assert_eq!((&said.amount, &said.reference, said.period_end), (&None, &None, at(31)));
        assert!(ada.payments().await.is_empty());
        // Its first payment is an invoice like any other, and that it goes on a change.
        let renewed = json!({"items": items("price_student", 31, 62), "latest_invoice": ada.id("in2")});
        app.clock.advance(TimeDelta::days(32));
        ada.sync(&Seen { invoices: vec![ada.renewal(&json!({}))], ..moved(&ada, &renewed) }).await;
        assert_eq!((ada.told("payment_confirmed").await, ada.told("invoice_paid").await), (1, 1));
        assert_eq!(ada.told("subscription_changed").await, 1);
    }

    async fn what_is_not_paid_for_grants_nothing_and_leaves_the_trial(app: App) {
        let ada = Customer::new(&app, "ada").await;
        for status in ["incomplete", "paused", "unpaid", "canceled", "incomplete_expired"] {
            ada.sync(&moved(&ada, &json!({"status": status}))).await;
            let row = ada.row().await;
            assert_eq!((row.subscription.status.as_str(), row.subscription.until()), (status, None));
        }
        assert!(trial_runs(&ada).await);
        assert_eq!(ada.mails().await, []);
        // A bank that was slow: now it begins.
        ada.sync(&moved(&ada, &json!({"status": "incomplete"}))).await;
        ada.sync(&paid(&ada)).await;
        assert_eq!(ada.mails().await, [mail("payment_confirmed", "stripe:sub_ada")]);
        assert!(!trial_runs(&ada).await);
    }

    async fn a_change_is_told_and_a_renewal_is_not(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&paid(&ada)).await;
        app.clock.advance(TimeDelta::days(32));
        let renewed = json!({"items": items("price_student", 31, 62)});
        ada.sync(&Seen { invoices: vec![ada.renewal(&json!({}))], ..moved(&ada, &renewed) }).await;
        let expected = [mail("invoice_paid", "in2_ada"), mail("payment_confirmed", "stripe:sub_ada")];
        assert_eq!(ada.mails().await, expected);
        let changes = [
            json!({"items": items("price_employee", 31, 62)}),
            json!({"items": items("price_student_year", 31, 62)}),
            json!({"items": items("price_student_year", 31, 62), "cancel_at_period_end": true}),
            json!({"items": items("price_student_year", 31, 62)}),
            json!({"items": items("price_student_year", 31, 62), "status": "past_due"}),
        ];
        for (number, change) in (1..).zip(&changes) {
            for _ in 0..2 {
                ada.sync(&moved(&ada, change)).await;
                assert_eq!(ada.told("subscription_changed").await, number, "{change}");
            }
        }
        let said: Vec<_> = ada.said("subscription_changed").await.into_iter().map(|mail| json!(mail)).collect();
        assert_eq!(said[0]["tier"], json!({"from": "student", "to": "employee"}));
        assert_eq!(said[1]["billing_cycle"], json!({"from": "monthly", "to": "annual"}));
        assert_eq!([&said[2]["renews"], &said[3]["renews"]].map(|change| change["to"].clone()), [false, true]);
        assert_eq!(said[4]["status"], json!({"from": "active", "to": "past_due"}));
    }

    async fn what_is_planned_for_the_end_of_the_period_is_known(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&Seen { next: vec![(ada.id("sub"), "price_student_year")], ..paid(&ada) }).await;
        let row = ada.row().await;
        assert_eq!((row.pending_tier, row.pending_cycle.as_deref()), (Some(Tier::Student), Some("annual")));
        ada.sync(&paid(&ada)).await;
        assert_eq!(ada.row().await.pending_tier, None);
    }

    async fn a_failed_payment_begins_seven_days_of_grace_and_is_told_once(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&paid(&ada)).await;
        app.clock.advance(TimeDelta::days(32));
        let past_due = json!({
            "status": "past_due", "items": items("price_student", 31, 62), "latest_invoice": ada.id("in2"),
        });
        for attempts in 1..4 {
            let open = json!({"status": "open", "amount_paid": 0, "attempt_count": attempts});
            ada.sync(&Seen { invoices: vec![ada.renewal(&open)], ..moved(&ada, &past_due) }).await;
            let row = ada.row().await;
            assert_eq!((row.past_due_since, row.subscription.until()), (Some(at(31)), Some(at(38))));
            app.clock.advance(TimeDelta::days(1));
        }
        let Mail::PaymentFailed(said) = ada.only("payment_failed").await else { panic!("another mail") };
        assert_eq!((said.amount.as_str(), said.goes_on_until), ("USD 9.99", Some(at(38))));
        assert_eq!(said.link.as_deref(), Some("https://invoice.example/2"));
        // The next month's invoice fails as well: that makes the grace no longer.
        let later = json!({
            "status": "past_due", "items": items("price_student", 62, 92), "latest_invoice": ada.id("in3"),
        });
        let third = json!({"id": ada.id("in3"), "status": "open", "amount_paid": 0, "created": day(62)});
        ada.sync(&Seen { invoices: vec![ada.renewal(&third)], ..moved(&ada, &later) }).await;
        assert_eq!(ada.row().await.past_due_since, Some(at(31)));
        // Paid after all.
        ada.sync(&moved(&ada, &json!({"items": items("price_student", 62, 92)}))).await;
        assert_eq!(ada.row().await.past_due_since, None);
        assert_eq!(ada.told("subscription_ended").await, 0);
    }

    async fn an_end_is_told_once_whoever_notices_it_first(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let cancelled = json!({"cancel_at_period_end": true});
        ada.sync(&paid(&ada)).await;
        ada.sync(&moved(&ada, &cancelled)).await;
        assert_eq!(ada.row().await.subscription.until(), Some(at(31)));
        app.clock.advance(TimeDelta::days(31));
        warn(&ada).await;
        let over = json!({"status": "canceled", "cancel_at_period_end": true});
        for _ in 0..2 {
            ada.sync(&moved(&ada, &over)).await;
            warn(&ada).await;
        }
        let Mail::SubscriptionEnded(said) = ada.only("subscription_ended").await else { panic!("another mail") };
        assert_eq!((said.plan.as_str(), said.ended_at), ("student", at(31)));
        // Another subscription, which is cancelled at once.
        let again = json!({"id": ada.id("sub2"), "created": day(31), "items": items("price_student", 31, 62)});
        ada.sync(&moved(&ada, &again)).await;
        ada.sync(&moved(&ada, &with(again, &json!({"status": "canceled"})))).await;
        warn(&ada).await;
        assert_eq!((ada.told("subscription_ended").await, ada.told("payment_confirmed").await), (2, 2));
        assert_eq!(ada.told("subscription_changed").await, 1, "that it will end, and not that it did");
    }

    async fn the_end_of_the_days_of_grace_is_not_told_again_when_stripe_gives_up(app: App) {
        let ada = Customer::new(&app, "ada").await;
        ada.sync(&paid(&ada)).await;
        ada.sync(&moved(&ada, &json!({"status": "past_due"}))).await;
        app.clock.advance(TimeDelta::days(8));
        warn(&ada).await;
        assert_eq!(ada.told("subscription_ended").await, 1);
        app.clock.advance(TimeDelta::days(20));
        for status in ["unpaid", "canceled"] {
            ada.sync(&moved(&ada, &json!({"status": status}))).await;
        }
        assert_eq!(ada.told("subscription_ended").await, 1);
    }

    async fn what_has_ended_at_stripe_leaves_alone_what_runs_and_came_from_elsewhere(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let mut tx = begin(&app).await;
        let now = app.clock.now();
        subscriptions::activate(&mut tx, ada.user, Tier::Employee, BillingCycle::Monthly, now).await.expect("a month");
        tx.commit().await.expect("a commit");
        let bought = ada.row().await;
        for status in ["canceled", "incomplete", "unpaid", "paused", "incomplete_expired"] {
            ada.sync(&moved(&ada, &json!({"status": status}))).await;
            assert_eq!(ada.row().await, bought, "{status}");
        }
        // When that is over, an old end at Stripe is not what counts; what is about to begin there is.
        app.clock.advance(TimeDelta::days(32));
        ada.sync(&moved(&ada, &json!({"status": "canceled"}))).await;
        assert_eq!(ada.row().await, bought);
        ada.sync(&moved(&ada, &json!({"status": "incomplete"}))).await;
        assert_eq!(ada.row().await.stripe_subscription.as_deref(), Some("sub_ada"));
        assert_eq!(ada.mails().await, []);
    }

    async fn what_stripe_bills_takes_the_place_of_whatever_there_was(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let mut tx = begin(&app).await;
        let now = app.clock.now();
        subscriptions::activate(&mut tx, ada.user, Tier::Employee, BillingCycle::Annual, now).await.expect("a year");
        tx.commit().await.expect("a commit");
        ada.sync(&paid(&ada)).await;
        let row = ada.row().await;
        assert_eq!((row.subscription.tier, row.stripe_subscription.as_deref()), (Tier::Student, Some("sub_ada")));
        assert_eq!(ada.mails().await, [mail("payment_confirmed", "stripe:sub_ada")]);
    }

    async fn an_unknown_price_grants_nothing_and_all_else_is_written(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let foreign = json!({"items": items("price_new", 0, 31)});
        let seen = Seen { invoices: vec![ada.invoice(&json!({}))], ..moved(&ada, &foreign) };
        let synced = ada.sync(&seen).await;
        assert_eq!(synced.unknown_price.as_deref(), Some("price_new"));
        assert_eq!((ada.subscribed().await, ada.mails().await), (None, Vec::new()));
        assert_eq!(ada.payments().await.len(), 1, "what it was paid for is known by the invoice");
        // Once it is known, it is as if it always had been.
        let sold = stripe_prices::Sold {
            price: "price_new".to_owned(),
            tier: Tier::Professional,
            billing_cycle: BillingCycle::Annual,
            amount: 1,
            currency: Currency::USD,
            livemode: false,
        };
        let mut tx = begin(&app).await;
        stripe_prices::put(&mut tx, &sold, app.clock.now()).await.expect("a price");
        tx.commit().await.expect("a commit");
        assert_eq!(ada.sync(&seen).await, DONE);
        assert_eq!(ada.row().await.subscription.tier, Tier::Professional);
        assert_eq!(ada.mails().await, [mail("payment_confirmed", "stripe:sub_ada")]);
    }

    async fn a_closed_account_is_granted_and_told_nothing_and_is_closed_again_while_stripe_bills_it(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let mut tx = begin(&app).await;
        assert!(accounts::anonymise(&mut tx, ada.user, app.clock.now()).await.expect("a change"));
        tx.commit().await.expect("a commit");
        ada.sync(&moved(&ada, &json!({"status": "canceled"}))).await;
        assert_eq!(jobs(&ada).await, []);
        ada.sync(&paid(&ada)).await;
        assert_eq!(jobs(&ada).await, [Job::CloseAccount { user: ada.user }]);
        assert_eq!((ada.subscribed().await, ada.mails().await), (None, Vec::new()));
        assert_eq!(ada.payments().await.len(), 1, "money is money");
    }

    async fn what_was_read_before_what_is_written_is_not_written(app: App) {
        let ada = Customer::new(&app, "ada").await;
        let (first, second) = (ada.number().await, ada.number().await);
        assert_eq!(ada.write(&moved(&ada, &json!({"cancel_at_period_end": true})), second).await, DONE);
        let stale = ada.write(&paid(&ada), first).await;
        assert_eq!(stale, Synced { written: false, ..DONE });
        assert!(ada.row().await.cancel_at_period_end && ada.payments().await.is_empty());
        // Whoever wanted all that is recent has not got it.
        let mut tx = begin(&app).await;
        let state = State { full: true, ..ada.state(&paid(&ada), first) };
        let now = app.clock.now();
        let stale = write(&mut tx, &app.services, &state, now).await.expect("a write");
        assert!(stale.more && !stale.written);
    }
}

/// The jobs of housekeeping that are due.
async fn jobs(ada: &Customer<'_>) -> Vec<Job> {
    let mut tx = begin(ada.app).await;
    outbox::take_due(&mut tx, Lane::Maintenance, ada.app.clock.now(), 10).await.expect("jobs")
}
