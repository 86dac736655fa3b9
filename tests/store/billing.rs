//! What duties ask about plans that end and payments that Stripe has a page for.

use chrono::{DateTime, Months, TimeDelta, Utc};
use shared::domain::entitlement::Subscription;
use shared::domain::money::Currency;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::credits::{self, GRACE};
use shared::store::payments::{self, Payment};
use shared::store::subscriptions::{self, Billed};
use shared::store::{Tx, accounts};

use super::begin;
use crate::harness::engines::{App, both_engines, start};

const MOMENT: TimeDelta = TimeDelta::microseconds(1);

/// A subscription at Stripe that entitles until then.
fn billed(id: &str, status: &str, until: Option<DateTime<Utc>>) -> Billed {
    Billed {
        stripe_subscription: id.to_owned(),
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        status: status.to_owned(),
        period: (start(), start() + Months::new(1)),
        cancel_at_period_end: false,
        past_due_since: None,
        entitles_until: until,
        pending: None,
    }
}

/// Accounts with these names.
async fn people<const N: usize>(app: &App, names: [&str; N]) -> [UserId; N] {
    let mut users = Vec::new();
    for name in names {
        users.push(app.verified_user(&format!("{name}@example.com")).await);
    }
    users.try_into().expect("as many")
}

async fn ending(tx: &mut Tx, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<String> {
    let ending = subscriptions::ending(tx, from, to).await.expect("subscriptions");
    let mut emails: Vec<_> = ending.into_iter().map(|ending| ending.email).collect();
    emails.sort();
    emails
}

/// A payment by QR code that nobody has made in time.
fn payment(user: UserId, scheme: Scheme, session: Option<&str>) -> Payment {
    Payment {
        id: PaymentId::new(start()),
        user_id: Some(user),
        kind: PaymentKind::Qr,
        scheme,
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 999,
        currency: Currency::USD,
        status: PaymentStatus::Pending,
        payload: String::new(),
        created_at: start(),
        expires_at: start() + TimeDelta::minutes(15),
        paid_at: None,
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: session.map(str::to_owned),
        payment_intent: None,
        refund_of: None,
        review: None,
    }
}

async fn put(tx: &mut Tx, payment: Payment) -> PaymentId {
    payments::insert(tx, &payment).await.expect("a payment");
    payment.id
}

async fn status(tx: &mut Tx, id: PaymentId) -> PaymentStatus {
    payments::get(tx, id).await.expect("a row").expect("a payment").status
}

both_engines! {
    async fn a_subscription_ends_when_it_stops_to_entitle_whatever_says_so(app: App) {
        let [bought, given, grace, renewed, over] = people(&app, ["a", "b", "c", "d", "e"]).await;
        let mut tx = begin(&app).await;
        subscriptions::activate(&mut tx, bought, Tier::Student, BillingCycle::Monthly, start()).await.expect("a month");
        let end = start() + Months::new(1);
        // Its days of grace are not stored.
        let failing = Subscription::new(Tier::Student, "past_due", end - GRACE);
        credits::put_subscription(&mut tx, given, &failing, start()).await.expect("a subscription");
        for (user, id, status, until) in [
            (grace, "sub_1", "past_due", Some(end)),
            (renewed, "sub_2", "active", Some(end + TimeDelta::days(1))),
            (over, "sub_3", "canceled", None),
        ] {
            subscriptions::put_billed(&mut tx, user, &billed(id, status, until)).await.expect("a subscription");
        }
        let emails = |names: &[&str]| names.iter().map(|name| format!("{name}@example.com")).collect::<Vec<_>>();
        assert_eq!(ending(&mut tx, end - MOMENT, end).await, emails(&["a", "b", "c"]));
        assert_eq!(ending(&mut tx, end, end + TimeDelta::days(1)).await, emails(&["d"]));
        assert_eq!(ending(&mut tx, start(), end - MOMENT).await, emails(&[]));
        // Not those of accounts that are shut or closed.
        assert!(accounts::set_disabled(&mut tx, bought, true).await.expect("a change"));
        assert!(accounts::anonymise(&mut tx, given, start()).await.expect("a change"));
        assert_eq!(ending(&mut tx, end - MOMENT, end).await, emails(&["c"]));
    }

    async fn what_stripe_bills_and_has_not_ended_is_read_page_by_page(app: App) {
        let [one, two, over, bought] = people(&app, ["a", "b", "c", "d"]).await;
        let mut tx = begin(&app).await;
        for (user, id, status) in [(one, "sub_1", "active"), (two, "sub_2", "unpaid"), (over, "sub_3", "canceled")] {
            subscriptions::put_billed(&mut tx, user, &billed(id, status, None)).await.expect("a subscription");
        }
        subscriptions::activate(&mut tx, bought, Tier::Student, BillingCycle::Monthly, start()).await.expect("a month");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = subscriptions::all_billed(&mut tx, after, 1).await.expect("subscriptions");
            let Some(last) = page.last() else { break };
            after = Some(last.user_id);
            found.extend(page.into_iter().map(|row| (row.user_id, row.subscribed.stripe_subscription)));
        }
        let mut expected = [(one, Some("sub_1".to_owned())), (two, Some("sub_2".to_owned()))];
        expected.sort();
        assert_eq!(found, expected);
    }

    async fn a_payment_whose_page_may_be_open_expires_only_by_itself(app: App) {
        let [ada] = people(&app, ["ada"]).await;
        let mut tx = begin(&app).await;
        let open = put(&mut tx, payment(ada, Scheme::Stripe, Some("cs_1"))).await;
        let never_opened = put(&mut tx, payment(ada, Scheme::Stripe, None)).await;
        let upi = put(&mut tx, payment(ada, Scheme::Upi, None)).await;
        let end = start() + TimeDelta::minutes(15);
        assert!(payments::overdue_sessions(&mut tx, end - MOMENT, 10).await.expect("payments").is_empty());
        let overdue = payments::overdue_sessions(&mut tx, end, 10).await.expect("payments");
        assert_eq!(overdue.iter().map(|payment| payment.id).collect::<Vec<_>>(), [open]);
        assert_eq!(payments::expire(&mut tx, None, end).await.expect("a count"), 2);
        for (id, expected) in [
            (open, PaymentStatus::Pending), (never_opened, PaymentStatus::Expired), (upi, PaymentStatus::Expired),
        ] {
            assert_eq!(status(&mut tx, id).await, expected);
        }
        assert_eq!(payments::expire(&mut tx, Some(open), end).await.expect("a count"), 1);
        assert_eq!(status(&mut tx, open).await, PaymentStatus::Expired);
        assert!(payments::overdue_sessions(&mut tx, end, 10).await.expect("payments").is_empty());
    }

    async fn a_payment_is_found_by_what_a_refund_would_be_made_of(app: App) {
        let [ada] = people(&app, ["ada"]).await;
        let mut tx = begin(&app).await;
        let intent = || Some("pi_1".to_owned());
        let paid = Payment { payment_intent: intent(), ..payment(ada, Scheme::Stripe, Some("in_1")) };
        let refund = Payment {
            kind: PaymentKind::Refund,
            payment_intent: intent(),
            ..payment(ada, Scheme::Stripe, Some("re_1"))
        };
        put(&mut tx, refund).await;
        assert_eq!(payments::by_intent(&mut tx, "pi_1").await.expect("no row"), None);
        put(&mut tx, paid.clone()).await;
        assert_eq!(payments::by_intent(&mut tx, "pi_1").await.expect("a row"), Some(paid));
        assert_eq!(payments::by_intent(&mut tx, "pi_2").await.expect("no row"), None);
    }
}
