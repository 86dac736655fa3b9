//! Schedules: a cheaper price from the end of the period on.

use super::*;

struct Scheduled {
    customer: String,
    subscription: String,
    schedule: String,
    path: String,
}

async fn scheduled(bench: &Bench, price: &str) -> Scheduled {
    let (customer, subscription) = bench.subscriber(price).await;
    let made = bench.post("/v1/subscription_schedules", &format!("from_subscription={subscription}")).await;
    assert_eq!((&made["status"], &made["end_behavior"]), (&"active".into(), &"release".into()));
    assert_eq!(made["phases"][0]["items"][0]["price"], price);
    let schedule = text(&made["id"]);
    let path = format!("/v1/subscription_schedules/{schedule}");
    Scheduled { customer, subscription, schedule, path }
}

fn phases(first: &str, second: &str, end: i64) -> String {
    format!(
        "phases[0][items][0][price]={first}&phases[0][start_date]={START}&phases[0][end_date]={end}\
         &phases[1][items][0][price]={second}&phases[1][duration][interval]=month&end_behavior=release"
    )
}

#[tokio::test]
async fn the_next_phase_sets_the_price_and_after_the_last_the_schedule_lets_go() {
    let bench = Bench::start().await;
    let (dear, cheap) = (bench.price(3000, "month").await, bench.price(1000, "month").await);
    let plan = scheduled(&bench, &dear).await;
    let subscription = format!("/v1/subscriptions/{}", plan.subscription);
    assert_eq!(bench.get(&subscription).await["schedule"], Value::from(plan.schedule.as_str()));
    bench.post(&plan.path, &phases(&dear, &cheap, START + 31 * DAY)).await;
    assert_eq!(bench.stripe.subscriptions()[&plan.customer][0].price, dear);
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.stripe.subscriptions()[&plan.customer][0].price, cheap);
    assert_eq!(bench.stripe.invoices()[1]["amount_paid"], 1000);
    assert_eq!(bench.get(&plan.path).await["current_phase"]["start_date"], START + 31 * DAY);
    bench.stripe.advance(28 * DAY);
    assert_eq!(bench.get(&plan.path).await["status"], "released");
    assert_eq!(bench.get(&subscription).await["schedule"], Value::Null);
    assert_eq!(bench.stripe.subscriptions()[&plan.customer][0].price, cheap);
}

#[tokio::test]
async fn a_yearly_price_becomes_a_monthly_one() {
    let bench = Bench::start().await;
    let (year, month) = (bench.price(12_000, "year").await, bench.price(1000, "month").await);
    let plan = scheduled(&bench, &year).await;
    bench.post(&plan.path, &phases(&year, &month, START + 365 * DAY)).await;
    bench.stripe.advance(365 * DAY);
    let standing = &bench.stripe.subscriptions()[&plan.customer][0];
    assert_eq!((&standing.price, standing.period_end), (&month, START + (365 + 31) * DAY));
}

#[tokio::test]
async fn a_released_schedule_changes_nothing_any_more() {
    let bench = Bench::start().await;
    let (dear, cheap) = (bench.price(3000, "month").await, bench.price(1000, "month").await);
    let plan = scheduled(&bench, &dear).await;
    bench.post(&plan.path, &phases(&dear, &cheap, START + 31 * DAY)).await;
    let released = bench.post(&format!("{}/release", plan.path), "").await;
    assert_eq!(released["released_subscription"], Value::from(plan.subscription.as_str()));
    assert_eq!(bench.try_post(&format!("{}/release", plan.path), "").await.0, 400);
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.stripe.subscriptions()[&plan.customer][0].price, dear);
}

#[tokio::test]
async fn what_a_schedule_manages_is_not_cancelled_past_it() {
    let bench = Bench::start().await;
    let price = bench.price(3000, "month").await;
    let plan = scheduled(&bench, &price).await;
    let path = format!("/v1/subscriptions/{}", plan.subscription);
    assert_eq!(bench.try_post(&path, "cancel_at_period_end=true").await.0, 400);
    let second = format!("from_subscription={}", plan.subscription);
    assert_eq!(bench.try_post("/v1/subscription_schedules", &second).await.0, 400);
    assert_eq!(bench.call("DELETE", &path, "", None).await.0, 200);
    assert_eq!(bench.get(&plan.path).await["status"], "canceled");
}

#[tokio::test]
async fn a_schedule_may_end_its_subscription() {
    let bench = Bench::start().await;
    let price = bench.price(3000, "month").await;
    let plan = scheduled(&bench, &price).await;
    bench.post(&plan.path, "end_behavior=cancel").await;
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&plan.customer), "canceled");
    assert_eq!(bench.get(&plan.path).await["status"], "completed");
}

#[tokio::test]
async fn phases_follow_each_other_without_a_gap() {
    let bench = Bench::start().await;
    let (dear, cheap) = (bench.price(3000, "month").await, bench.price(1000, "month").await);
    let plan = scheduled(&bench, &dear).await;
    let early = phases(&dear, &cheap, START + 10 * DAY);
    assert_eq!(bench.try_post(&plan.path, &early).await.0, 400);
    let gap = format!("{}&phases[1][start_date]={}", phases(&dear, &cheap, START + 31 * DAY), START + 32 * DAY);
    assert_eq!(bench.try_post(&plan.path, &gap).await.0, 400);
    let unstarted = format!("phases[0][items][0][price]={dear}");
    assert_eq!(bench.try_post(&plan.path, &unstarted).await.0, 400);
}
