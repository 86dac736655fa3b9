use serde_json::{Value, json};

use super::super::objects::time;
use super::*;

const DAY: i64 = 86_400;
/// When the period of every sample begins, and when it ends.
const PERIOD: (i64, i64) = (1_767_225_600, 1_767_225_600 + 31 * DAY);
/// Every status that Stripe has.
const STATUSES: [&str; 8] =
    ["incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused"];

fn at(seconds: i64) -> DateTime<Utc> {
    time(seconds).unwrap()
}

fn prices() -> Prices {
    let priced = |price: &str, tier, cycle| (price.to_owned(), (tier, cycle));
    Prices::from([
        priced("price_student", Tier::Student, BillingCycle::Monthly),
        priced("price_student_year", Tier::Student, BillingCycle::Annual),
        priced("price_employee", Tier::Employee, BillingCycle::Monthly),
    ])
}

/// A subscription with these fields beside or instead of the usual ones.
fn subscription(fields: &Value) -> Subscription {
    let item = json!({
        "id": "si_1", "price": {"id": "price_student"}, "current_period_start": PERIOD.0, "current_period_end": PERIOD.1,
    });
    let mut whole = json!({"id": "sub_1", "status": "active", "created": 1, "items": {"data": [item]}});
    for (name, value) in fields.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn at_price(id: &str, status: &str, created: i64, price: &str) -> Subscription {
    let item = json!({
        "id": "si_1", "price": {"id": price}, "current_period_start": PERIOD.0, "current_period_end": PERIOD.1,
    });
    subscription(&json!({"id": id, "status": status, "created": created, "items": {"data": [item]}}))
}

#[test]
fn each_status_entitles_as_long_as_it_should() {
    let failing_since = at(PERIOD.0 + DAY);
    let (end, slack) = (at(PERIOD.1), at(PERIOD.1 + DAY));
    for status in STATUSES {
        for cancelled in [false, true] {
            let given = subscription(&json!({"status": status, "cancel_at_period_end": cancelled}));
            let billed = billed(&given, &prices(), None, failing_since).unwrap();
            let expected = match status {
                "active" | "trialing" => Some(if cancelled { end } else { slack }),
                "past_due" => Some(at(PERIOD.0 + 8 * DAY)),
                _ => None,
            };
            assert_eq!(billed.entitles_until, expected, "{status} {cancelled}");
            assert_eq!(billed.past_due_since, (status == "past_due").then_some(failing_since), "{status}");
            assert_eq!((billed.status.as_str(), billed.cancel_at_period_end), (status, cancelled));
            assert_eq!((billed.tier, billed.billing_cycle), (Tier::Student, BillingCycle::Monthly));
            assert_eq!((billed.stripe_subscription.as_str(), billed.period), ("sub_1", (at(PERIOD.0), end)));
            assert_eq!(billed.pending, None);
            // What the store makes of it is the same.
            let until = crate::domain::entitlement::until(&billed.status, billed.period.1, billed.entitles_until);
            assert_eq!(until, expected, "{status} {cancelled}");
        }
    }
}

#[test]
fn what_is_paid_for_counts_before_what_is_not_and_the_newest_of_those() {
    let counts = |subscriptions: &[(&str, i64)]| {
        let all: Vec<_> = (subscriptions.iter())
            .map(|(status, created)| at_price(&format!("{status}_{created}"), status, *created, "price_student"))
            .collect();
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        let [one, other] = [&all, &backwards].map(|all| counting(all, &prices()).map(|one| one.id.clone()));
        assert_eq!(one, other, "the order of the list does not matter");
        one.unwrap_or_default()
    };
    assert_eq!(counts(&[]), "");
    assert_eq!(counts(&[("canceled", 1), ("canceled", 2)]), "canceled_2");
    assert_eq!(counts(&[("active", 1), ("canceled", 2)]), "active_1");
    assert_eq!(counts(&[("active", 1), ("active", 2)]), "active_2");
    assert_eq!(counts(&[("active", 1), ("trialing", 2)]), "trialing_2");
    assert_eq!(counts(&[("active", 1), ("past_due", 2), ("incomplete", 3)]), "active_1");
    for status in ["unpaid", "incomplete", "paused"] {
        assert_eq!(counts(&[("past_due", 1), (status, 2)]), "past_due_1");
        assert_eq!(counts(&[(status, 1), ("canceled", 2), ("incomplete_expired", 3)]), format!("{status}_1"));
    }
}

#[test]
fn what_it_is_for_is_known_by_its_price_alone() {
    let unknown = at_price("sub_1", "active", 1, "price_of_another_shop");
    let error = billed(&unknown, &prices(), None, at(0)).unwrap_err();
    assert_eq!(error, Unmapped::UnknownPrice("price_of_another_shop".to_owned()));
    let bare = subscription(&json!({"items": {"data": []}}));
    assert!(matches!(billed(&bare, &prices(), None, at(0)), Err(Unmapped::UnknownPrice(_))));
    let item = json!({"id": "si_1", "price": {"id": "price_student"}});
    let timeless = subscription(&json!({"items": {"data": [item]}}));
    assert_eq!(billed(&timeless, &prices(), None, at(0)), Err(Unmapped::NoPeriod("sub_1".to_owned())));
}

#[test]
fn a_price_that_is_not_ours_hides_nothing_that_is() {
    let counts = |all: &[Subscription]| counting(all, &prices()).map(|one| one.id.clone());
    let (ours, theirs) = (at_price("ours", "active", 1, "price_student"), at_price("theirs", "active", 2, "price_x"));
    assert_eq!(counts(&[ours.clone(), theirs.clone()]).as_deref(), Some("ours"));
    // What is paid for and unknown is worth a look; what has ended is not.
    let lapsed = at_price("lapsed", "unpaid", 3, "price_student");
    assert_eq!(counts(&[lapsed, theirs]).as_deref(), Some("theirs"));
    assert_eq!(counts(&[at_price("over", "canceled", 4, "price_x")]), None);
}

#[test]
fn what_a_schedule_plans_is_told_if_it_is_another_plan_of_ours() {
    let given = subscription(&json!({}));
    let pending = |next: Option<&str>| billed(&given, &prices(), next, at(0)).unwrap().pending;
    assert_eq!(pending(None), None);
    assert_eq!(pending(Some("price_student")), None);
    assert_eq!(pending(Some("price_of_another_shop")), None);
    assert_eq!(pending(Some("price_student_year")), Some((Tier::Student, BillingCycle::Annual)));
    assert_eq!(pending(Some("price_employee")), Some((Tier::Employee, BillingCycle::Monthly)));
}

#[test]
fn a_refund_is_paid_when_the_payer_has_the_money() {
    for (status, expected) in [
        (json!("succeeded"), PaymentStatus::Paid),
        (json!("failed"), PaymentStatus::Failed),
        (json!("canceled"), PaymentStatus::Failed),
        (json!("pending"), PaymentStatus::Pending),
        (json!("requires_action"), PaymentStatus::Pending),
        (Value::Null, PaymentStatus::Pending),
    ] {
        let refund = serde_json::from_value(json!({"id": "re_1", "status": status})).unwrap();
        assert_eq!(refunded(&refund), expected, "{status}");
    }
}
