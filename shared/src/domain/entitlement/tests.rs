use NotEntitled::{
    StorageLimitReached, SubscriptionRequired, TrialCreditsExhausted, TrialExpired, WorkflowLimitReached,
};

use super::*;
use crate::domain::tier::GIGABYTE;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-03-10T09:00:00Z")
}

/// A trial with so many of ten credits left that ends so many seconds from now.
#[expect(clippy::unnecessary_wraps, reason = "as the facts have it")]
fn trial(credits: i64, ends_in: i64) -> Option<Trial> {
    let ends_at = now() + TimeDelta::seconds(ends_in);
    Some(Trial { started_at: ends_at - TimeDelta::days(30), ends_at, credits_total: 10, credits })
}

/// A subscription of this month that ends so many seconds from now.
#[expect(clippy::unnecessary_wraps, reason = "as the facts have it")]
fn subscribed(tier: Tier, status: &str, used: i64, ends_in: i64) -> Option<Subscribed> {
    let current_period_end = now() + TimeDelta::seconds(ends_in);
    let subscription = Subscription { workflows_used: used, ..Subscription::new(tier, status, current_period_end) };
    let current_period_start = current_period_end - Months::new(1);
    Some(Subscribed {
        subscription,
        current_period_start,
        counted_from: None,
        billing_cycle: None,
        stripe_subscription: None,
        cancel_at_period_end: false,
        past_due_since: None,
        pending_tier: None,
        pending_cycle: None,
    })
}

fn judged(trial: Option<Trial>, subscribed: Option<Subscribed>) -> Entitlement {
    judged_with(0, trial, subscribed)
}

/// The same with so many bytes stored.
fn judged_with(stored: i64, trial: Option<Trial>, subscribed: Option<Subscribed>) -> Entitlement {
    entitlement(&Facts { trial, subscribed, stored }, &Tiers::default(), now())
}

#[test]
fn what_may_be_charged_follows_from_trial_subscription_and_time() {
    let (trial_pays, month_pays) = (Ok(Charged::Trial), Ok(Charged::Subscription));
    let grace = GRACE.num_seconds();
    let (free, student, professional) = (Tier::FreeTrial, Tier::Student, Tier::Professional);
    let table = [
        // Without a subscription.
        (None, None, free, Err(SubscriptionRequired), Some(0)),
        (trial(10, 1), None, free, trial_pays, Some(10)),
        (trial(1, 1), None, free, trial_pays, Some(1)),
        (trial(0, 1), None, free, Err(TrialCreditsExhausted), Some(0)),
        (trial(10, 0), None, free, Err(TrialExpired), Some(0)),
        (trial(0, -1), None, free, Err(TrialExpired), Some(0)),
        // A subscription that runs wins over any trial.
        (None, subscribed(student, "active", 0, 1), student, month_pays, Some(100)),
        (trial(10, 1), subscribed(student, "active", 99, 1), student, month_pays, Some(1)),
        (trial(10, 1), subscribed(student, "active", 100, 1), student, Err(WorkflowLimitReached(100)), Some(0)),
        // As after a change to a smaller tier.
        (None, subscribed(student, "active", 300, 1), student, Err(WorkflowLimitReached(100)), Some(0)),
        (trial(0, 1), subscribed(professional, "active", 9_999, 1), professional, month_pays, None),
        (None, subscribed(Tier::Enterprise, "active", 0, 1), Tier::Enterprise, month_pays, None),
        // Its end, and the days of grace.
        (None, subscribed(student, "active", 0, 0), free, Err(SubscriptionRequired), Some(0)),
        (None, subscribed(student, "past_due", 7, 1 - grace), student, month_pays, Some(93)),
        (None, subscribed(student, "past_due", 100, 1 - grace), student, Err(WorkflowLimitReached(100)), Some(0)),
        (None, subscribed(student, "past_due", 7, -grace), free, Err(SubscriptionRequired), Some(0)),
        (None, subscribed(student, "canceled", 0, 1), free, Err(SubscriptionRequired), Some(0)),
        (None, subscribed(student, "incomplete", 0, 1), free, Err(SubscriptionRequired), Some(0)),
        // A subscription that has lapsed leaves a trial that runs.
        (trial(3, 1), subscribed(student, "canceled", 0, 1), free, trial_pays, Some(3)),
        (trial(0, 1), subscribed(student, "active", 0, 0), free, Err(TrialCreditsExhausted), Some(0)),
        (trial(3, 0), subscribed(student, "active", 0, 0), free, Err(SubscriptionRequired), Some(0)),
    ];
    for (number, (trial, subscribed, tier, charge, left)) in table.into_iter().enumerate() {
        let judged = judged(trial.clone(), subscribed.clone());
        let told = (judged.tier, judged.charge, judged.left());
        assert_eq!(told, (tier, charge, left), "row {number}: {trial:?} {subscribed:?}");
    }
}

#[test]
fn whoever_is_entitled_needs_room_for_results_first_and_then_a_workflow() {
    let student = |used| subscribed(Tier::Student, "active", used, 1);
    let full = |gigabytes| Err(StorageLimitReached(gigabytes));
    let table = [
        (GIGABYTE - 1, trial(1, 1), None, Ok(Charged::Trial)),
        (GIGABYTE, trial(1, 1), None, full(1)),
        (2 * GIGABYTE, trial(0, 1), None, Err(TrialCreditsExhausted)),
        (2 * GIGABYTE, trial(1, 0), None, Err(TrialExpired)),
        (2 * GIGABYTE, None, None, Err(SubscriptionRequired)),
        // More than the trial has.
        (2 * GIGABYTE, trial(1, 1), student(0), Ok(Charged::Subscription)),
        (5 * GIGABYTE - 1, None, student(100), Err(WorkflowLimitReached(100))),
        (5 * GIGABYTE, None, student(0), full(5)),
        (5 * GIGABYTE, None, student(100), full(5)),
        (i64::MAX, None, subscribed(Tier::Enterprise, "active", 0, 1), Ok(Charged::Subscription)),
        // Lapsed: the trial's room counts again.
        (2 * GIGABYTE, trial(1, 1), subscribed(Tier::Student, "active", 0, 0), full(1)),
        (2 * GIGABYTE, None, subscribed(Tier::Student, "active", 0, 0), Err(SubscriptionRequired)),
    ];
    for (number, (stored, trial, subscribed, charge)) in table.into_iter().enumerate() {
        let judged = judged_with(stored, trial.clone(), subscribed.clone());
        assert_eq!(judged.charge, charge, "row {number}: {stored} {trial:?} {subscribed:?}");
        assert_eq!(judged.tier, tier(subscribed.as_ref(), now()), "row {number}");
        assert!(charge.is_ok() || judged.left() == Some(0), "row {number}");
    }
}

#[test]
fn what_was_used_is_shown_of_what_counts() {
    let shown = |judged: Entitlement| (judged.used, judged.limit, judged.period.map(|(_, end)| end));
    let end = |seconds| Some(now() + TimeDelta::seconds(seconds));
    assert_eq!(shown(judged(None, None)), (0, Some(0), None));
    assert_eq!(shown(judged(trial(4, 60), None)), (6, Some(10), end(60)));
    assert_eq!(shown(judged(trial(4, -60), None)), (6, Some(10), end(-60)));
    let student = |ends_in| subscribed(Tier::Student, "active", 7, ends_in);
    assert_eq!(shown(judged(trial(4, 60), student(90))), (7, Some(100), end(90)));
    assert_eq!(shown(judged(trial(4, 60), student(-90))), (6, Some(10), end(60)));
    assert_eq!(shown(judged(trial(4, -60), student(-90))), (7, Some(100), end(-90)));
    assert_eq!(shown(judged(None, subscribed(Tier::Professional, "active", 7, 1))), (7, None, end(1)));
}

/// The month that `now` is in, of a period, as days.
fn month(start: &str, end: &str, now: &str) -> (String, String) {
    let midnight = |day: &str| at(&format!("{day}T00:00:00Z"));
    let mut subscribed = subscribed(Tier::Student, "active", 0, 0).unwrap();
    (subscribed.current_period_start, subscribed.subscription.current_period_end) = (midnight(start), midnight(end));
    let (from, to) = subscribed.month(at(now));
    (from.format("%F").to_string(), to.format("%F").to_string())
}

#[test]
fn the_months_of_a_period_are_counted_from_its_start() {
    let year = |now: &str| month("2026-01-31", "2027-01-31", now);
    let days = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(year("2026-01-31T00:00:00Z"), days("2026-01-31", "2026-02-28"));
    assert_eq!(year("2026-02-27T23:59:59Z"), days("2026-01-31", "2026-02-28"));
    assert_eq!(year("2026-02-28T00:00:00Z"), days("2026-02-28", "2026-03-31"));
    assert_eq!(year("2026-03-30T12:00:00Z"), days("2026-02-28", "2026-03-31"));
    assert_eq!(year("2027-01-30T12:00:00Z"), days("2026-12-31", "2027-01-31"));
    // After the end, as in days of grace, it is still the last one; before the start, the first.
    assert_eq!(year("2027-02-03T00:00:00Z"), days("2026-12-31", "2027-01-31"));
    assert_eq!(year("2025-06-01T00:00:00Z"), days("2026-01-31", "2026-02-28"));
    // Periods that are no whole months.
    assert_eq!(month("2026-01-10", "2026-01-20", "2026-01-15T00:00:00Z"), days("2026-01-10", "2026-01-20"));
    assert_eq!(month("2026-01-10", "2026-02-20", "2026-02-15T00:00:00Z"), days("2026-02-10", "2026-02-20"));
    assert_eq!(month("2026-01-10", "2026-01-11", "2026-01-10T12:00:00Z"), days("2026-01-10", "2026-01-11"));
    // As it is billed on the last day of each month: one month, also on its last days.
    for now in ["2026-02-28T00:00:00Z", "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"] {
        assert_eq!(month("2026-02-28", "2026-03-31", now), days("2026-02-28", "2026-03-31"), "{now}");
    }
    assert_eq!(month("2026-02-28", "2026-04-01", "2026-03-29T00:00:00Z"), days("2026-03-28", "2026-04-01"));
}

#[test]
fn a_counter_is_worth_nothing_in_a_later_month() {
    let mut year = subscribed(Tier::Student, "active", 100, 0).unwrap();
    year.current_period_start = at("2026-01-05T00:00:00Z");
    year.subscription.current_period_end = at("2027-01-05T00:00:00Z");
    let used = |year: &Subscribed, now: &str| year.used(at(now));
    assert_eq!(used(&year, "2026-02-04T23:59:59Z"), 100);
    assert_eq!(used(&year, "2026-02-05T00:00:00Z"), 0);
    year.counted_from = Some(at("2026-02-05T00:00:00Z"));
    assert_eq!(used(&year, "2026-03-04T23:59:59Z"), 100);
    assert_eq!(used(&year, "2026-03-05T00:00:00Z"), 0);
    let judged = judged(None, Some(year));
    assert_eq!((judged.charge, judged.left()), (Ok(Charged::Subscription), Some(100)));
}
