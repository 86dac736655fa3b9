//! Changed prices and cancellations.

use super::*;

async fn item(bench: &Bench, subscription: &str) -> String {
    let shown = bench.get(&format!("/v1/subscriptions/{subscription}")).await;
    text(&shown["items"]["data"][0]["id"])
}

async fn change(bench: &Bench, subscription: &str, price: &str) -> (u16, Value) {
    let item = item(bench, subscription).await;
    let body = format!(
        "items[0][id]={item}&items[0][price]={price}&proration_behavior=always_invoice\
         &payment_behavior=error_if_incomplete"
    );
    bench.try_post(&format!("/v1/subscriptions/{subscription}"), &body).await
}

#[tokio::test]
async fn an_upgrade_costs_the_difference_for_the_rest_of_the_period_as_previewed() {
    let bench = Bench::start().await;
    let (cheap, dear) = (bench.price(1000, "month").await, bench.price(3000, "month").await);
    let (customer, subscription) = bench.subscriber(&cheap).await;
    bench.stripe.advance(HALF_MONTH);
    let item = item(&bench, &subscription).await;
    let preview = format!(
        "customer={customer}&subscription={subscription}&subscription_details[items][0][id]={item}\
         &subscription_details[items][0][price]={dear}&subscription_details[proration_behavior]=always_invoice"
    );
    let preview = bench.post("/v1/invoices/create_preview", &preview).await;
    assert_eq!(preview["amount_due"], 1000);
    let (status, changed) = change(&bench, &subscription, &dear).await;
    assert_eq!((status, text(&changed["items"]["data"][0]["price"]["id"])), (200, dear));
    let invoices = bench.stripe.invoices();
    assert_eq!((invoices.len(), &invoices[1]["amount_paid"]), (2, &1000.into()));
    assert_eq!(invoices[1]["billing_reason"], "subscription_update");
    let lines: Vec<&Value> = invoices[1]["lines"]["data"].as_array().expect("lines").iter().collect();
    assert_eq!((&lines[0]["amount"], &lines[1]["amount"]), (&(-500).into(), &1500.into()));
    assert_eq!(bench.stripe.subscriptions()[&customer][0].period_end, START + 31 * DAY);
}

#[tokio::test]
async fn a_refused_upgrade_changes_nothing_and_one_in_the_dashboard_leaves_it_past_due() {
    let bench = Bench::start().await;
    let (cheap, dear) = (bench.price(1000, "month").await, bench.price(3000, "month").await);
    let (customer, subscription) = bench.subscriber(&cheap).await;
    let before = (bench.stripe.events().len(), bench.stripe.subscriptions());
    bench.stripe.fail_payments(&customer, true);
    assert_eq!(change(&bench, &subscription, &dear).await.0, 402);
    assert_eq!((bench.stripe.events().len(), bench.stripe.subscriptions()), before);
    bench.stripe.change_plan_in_dashboard(&subscription, &dear);
    let standing = &bench.stripe.subscriptions()[&customer][0];
    assert_eq!((standing.status, &*standing.price), ("past_due", &*dear));
}

#[tokio::test]
async fn another_interval_begins_a_new_period_and_credit_is_used_up_by_the_next_invoices() {
    let bench = Bench::start().await;
    let (month, year) = (bench.price(3000, "month").await, bench.price(12_000, "year").await);
    let cheap = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&month).await;
    bench.stripe.advance(HALF_MONTH);
    assert_eq!(change(&bench, &subscription, &year).await.0, 200);
    assert_eq!(bench.stripe.invoices()[1]["total"], 12_000 - 1500);
    assert_eq!(bench.stripe.subscriptions()[&customer][0].period_end, START + HALF_MONTH + 365 * DAY);

    let (other, subscription) = bench.subscriber(&month).await;
    bench.stripe.advance(28 * DAY / 2);
    assert_eq!(change(&bench, &subscription, &cheap).await.0, 200);
    let credit = bench.get(&format!("/v1/customers/{other}")).await["balance"].as_i64().expect("a number");
    assert!(credit < 0, "{credit}");
    bench.stripe.advance(31 * DAY);
    let renewal = bench.stripe.invoices().pop().expect("an invoice");
    assert_eq!(renewal["amount_due"].as_i64(), Some((1000 + credit).max(0)));
}

#[tokio::test]
async fn a_cancellation_at_the_periods_end_can_be_taken_back_until_then() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    let path = format!("/v1/subscriptions/{subscription}");
    let cancelled = bench.post(&path, "cancel_at_period_end=true").await;
    assert_eq!((&cancelled["cancel_at_period_end"], &cancelled["canceled_at"]), (&true.into(), &START.into()));
    assert_eq!(bench.stripe.subscriptions()[&customer][0].ends, Some(START + 31 * DAY));
    let back = bench.post(&path, "cancel_at_period_end=false").await;
    assert_eq!((&back["cancel_at"], &back["canceled_at"]), (&Value::Null, &Value::Null));
    assert_eq!(bench.try_post(&path, "cancel_at_period_end=false&cancel_at=").await.0, 400);
    bench.post(&path, "cancel_at_period_end=true").await;
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&customer), "canceled");
    assert_eq!(bench.kinds_after(0).last(), Some(&"customer.subscription.deleted"));
}

#[tokio::test]
async fn the_portal_sets_another_moment_of_the_end() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    let path = format!("/v1/subscriptions/{subscription}");
    bench.stripe.cancel_in_portal(&subscription);
    let shown = bench.post(&path, "cancel_at_period_end=false").await;
    assert_eq!(shown["cancel_at_period_end"], false);
    assert_eq!(shown["cancel_at"], START + 31 * DAY);
    assert_eq!(bench.post(&path, "cancel_at=").await["cancel_at"], Value::Null);
    bench.stripe.cancel_in_portal(&subscription);
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&customer), "canceled");
}

#[tokio::test]
async fn what_is_cancelled_cannot_be_cancelled_again_or_changed() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    let path = format!("/v1/subscriptions/{subscription}");
    let (status, cancelled) = bench.call("DELETE", &path, "", Some("end")).await;
    assert_eq!((status, text(&cancelled["status"])), (200, "canceled".to_owned()));
    assert_eq!(cancelled["ended_at"], START);
    assert_eq!(bench.call("DELETE", &path, "", Some("end")).await.0, 404, "a key has no effect here");
    assert_eq!(bench.try_post(&path, "cancel_at_period_end=true").await.0, 400);
    assert_eq!(bench.get(&path).await["status"], "canceled");
    bench.stripe.advance(62 * DAY);
    assert_eq!((bench.status(&customer), bench.stripe.invoices().len()), ("canceled", 1));
}
