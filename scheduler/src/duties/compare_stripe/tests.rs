use chrono::TimeDelta;
use shared::domain::entitlement::Subscription as Kept;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;

use super::*;

const START: i64 = 1_767_225_600;
const END: i64 = START + 31 * 86_400;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn prices() -> Prices {
    Prices::from([("price_student".to_owned(), (Tier::Student, BillingCycle::Monthly))])
}

fn at_stripe(status: &str, price: &str) -> Subscription {
    let item = json!({
        "id": "si_1", "price": {"id": price}, "current_period_start": START, "current_period_end": END,
    });
    let whole = json!({
        "id": "sub_1", "customer": "cus_1", "status": status, "created": START, "items": {"data": [item]},
    });
    serde_json::from_value(whole).unwrap()
}

/// What we know of the sample when all is well.
fn kept() -> Subscribed {
    Subscribed {
        subscription: Kept {
            entitles_until: Some(at(END) + TimeDelta::days(1)),
            ..Kept::new(Tier::Student, "active", at(END))
        },
        current_period_start: at(START),
        counted_from: None,
        billing_cycle: Some("monthly".to_owned()),
        stripe_subscription: Some("sub_1".to_owned()),
        cancel_at_period_end: false,
        past_due_since: None,
        pending_tier: None,
        pending_cycle: None,
    }
}

fn between(ours: Option<&Subscribed>, theirs: &[Subscription]) -> Vec<&'static str> {
    differences(ours, theirs, &prices(), at(START))
}

#[test]
fn what_is_the_same_does_not_differ_and_all_else_is_named() {
    let theirs = [at_stripe("active", "price_student")];
    assert_eq!(between(Some(&kept()), &theirs), Vec::<&str>::new());
    let moved = |change: fn(&mut Subscribed)| {
        let mut kept = kept();
        change(&mut kept);
        between(Some(&kept), &theirs)
    };
    assert_eq!(moved(|kept| kept.subscription.status = "past_due".to_owned()), ["status"]);
    assert_eq!(moved(|kept| kept.subscription.tier = Tier::Employee), ["tier"]);
    assert_eq!(moved(|kept| kept.billing_cycle = Some("annual".to_owned())), ["billing_cycle"]);
    assert_eq!(moved(|kept| kept.subscription.current_period_end = at(END + 1)), ["current_period_end"]);
    assert_eq!(moved(|kept| kept.cancel_at_period_end = true), ["cancel_at_period_end"]);
    assert_eq!(moved(|kept| kept.stripe_subscription = Some("sub_0".to_owned())), ["subscription"]);
}

#[test]
fn each_side_may_lack_what_the_other_has() {
    assert_eq!(between(Some(&kept()), &[]), ["missing at Stripe"]);
    assert_eq!(between(None, &[at_stripe("active", "price_student")]), ["missing here"]);
    assert_eq!(between(None, &[at_stripe("incomplete", "price_student")]), Vec::<&str>::new());
    assert_eq!(between(Some(&kept()), &[at_stripe("active", "price_of_another_shop")]), ["price"]);
}

#[test]
fn a_customer_who_pays_for_several_is_told_of() {
    let one = || at_stripe("active", "price_student");
    assert_eq!(between(Some(&kept()), &[one(), at_stripe("incomplete", "price_student")]), Vec::<&str>::new());
    assert_eq!(between(Some(&kept()), &[one(), at_stripe("past_due", "price_student")]), ["several"]);
}

#[test]
fn customers_who_are_none_of_ours_and_subscriptions_that_are_over_are_left_alone() {
    let user = UserId(shared::ids::new(at(START)));
    let ours = Ours {
        customers: BTreeMap::from([("cus_1".to_owned(), user), ("cus_idle".to_owned(), user)]),
        billed: BTreeMap::new(),
        prices: prices(),
    };
    let mut stranger = at_stripe("active", "price_student");
    stranger.customer = None;
    let theirs = by_customer(vec![stranger, at_stripe("canceled", "price_student")]);
    assert!(theirs.is_empty());
    assert_eq!(ours.compare(&theirs, at(START)), (0, Vec::new()));
    let theirs = by_customer(vec![at_stripe("active", "price_student")]);
    let (compared, differing) = ours.compare(&theirs, at(START));
    assert_eq!((compared, differing.len(), differing[0].0), (1, 1, "cus_1"));
    assert_eq!(differing[0].1["differences"], json!(["missing here"]));
}
