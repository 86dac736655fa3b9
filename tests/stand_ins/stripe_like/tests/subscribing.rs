//! How subscriptions begin.

use super::*;

fn order(customer: &str, price: &str, more: &str) -> String {
    format!("customer={customer}&items[0][price]={price}&metadata[user_id]=7{more}")
}

#[tokio::test]
async fn a_subscription_is_paid_when_it_is_made() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, method) = bench.payer("pm_card_visa").await;
    let more = format!("&default_payment_method={method}&payment_behavior=error_if_incomplete&expand[]=latest_invoice");
    let made = bench.post("/v1/subscriptions", &order(&customer, &price, &more)).await;
    assert_eq!(made["status"], "active");
    assert_eq!(made["metadata"]["user_id"], "7");
    let item = &made["items"]["data"][0];
    assert_eq!(item["current_period_start"], START);
    assert_eq!(item["current_period_end"], START + 31 * DAY);
    assert_eq!(item["price"]["lookup_key"], "plan:month:1000");
    assert!(made.get("current_period_end").is_none(), "periods are those of the item");
    let invoice = &made["latest_invoice"];
    assert_eq!((&invoice["status"], &invoice["billing_reason"]), (&"paid".into(), &"subscription_create".into()));
    assert_eq!(invoice["amount_paid"], 1000);
    assert_eq!(invoice["parent"]["subscription_details"]["subscription"], made["id"]);
    let standing = &bench.stripe.subscriptions()[&customer][0];
    assert_eq!((&*standing.id, &*standing.price, standing.ends), (&*text(&made["id"]), &*price, None));
    assert_eq!((standing.status, standing.period_end), ("active", START + 31 * DAY));
    assert_eq!(standing.lookup_key.as_deref(), Some("plan:month:1000"));
    for kind in ["invoice.paid", "payment_intent.succeeded", "charge.succeeded", "customer.subscription.created"] {
        assert_eq!(bench.kinds_after(0).iter().filter(|other| **other == kind).count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_refused_subscription_leaves_nothing_behind() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    for (card, code) in [
        ("pm_card_chargeCustomerFail", "card_declined"),
        ("pm_card_authenticationRequired", "subscription_payment_intent_requires_action"),
    ] {
        let (customer, method) = bench.payer(card).await;
        let before = bench.stripe.events().len();
        let more = format!("&default_payment_method={method}&payment_behavior=error_if_incomplete");
        let (status, refused) = bench.try_post("/v1/subscriptions", &order(&customer, &price, &more)).await;
        assert_eq!((status, text(&refused["error"]["code"])), (402, code.to_owned()));
        assert_eq!(bench.stripe.events().len(), before);
    }
    assert!(bench.stripe.subscriptions().is_empty());
    assert!(bench.stripe.invoices().is_empty());
}

#[tokio::test]
async fn only_the_customers_own_card_and_a_recurring_price_will_do() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (_, foreign) = bench.payer("pm_card_visa").await;
    let customer = bench.make("/v1/customers", "name=B").await;
    assert_eq!(bench.try_post("/v1/subscriptions", &order(&customer, &price, "")).await.0, 400);
    let more = format!("&default_payment_method={foreign}");
    assert_eq!(bench.try_post("/v1/subscriptions", &order(&customer, &price, &more)).await.0, 400);
    let once = bench.make("/v1/prices", "currency=usd&unit_amount=5&product_data[name]=Once").await;
    assert_eq!(bench.try_post("/v1/subscriptions", &order(&customer, &once, "")).await.0, 400);
}

#[tokio::test]
async fn a_beginning_may_wait_for_its_payment_for_23_hours() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, method) = bench.payer("pm_card_chargeCustomerFail").await;
    let more = format!("&default_payment_method={method}");
    bench.post("/v1/subscriptions", &order(&customer, &price, &more)).await;
    assert_eq!(bench.status(&customer), "incomplete");
    bench.stripe.advance(DAY);
    assert_eq!(bench.status(&customer), "incomplete_expired");
    assert_eq!(bench.stripe.invoices()[0]["status"], "void");

    let other = bench.payer("pm_card_visa").await.0;
    let unpaid = order(&other, &price, "&payment_behavior=default_incomplete");
    let made = bench.post("/v1/subscriptions", &unpaid).await;
    assert_eq!(made["status"], "incomplete");
    bench.stripe.pay_invoice(&text(&made["latest_invoice"]));
    assert_eq!(bench.status(&other), "active");
}

#[tokio::test]
async fn a_trial_costs_nothing_until_it_ends() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, method) = bench.payer("pm_card_visa").await;
    let more = format!("&default_payment_method={method}&trial_period_days=14");
    let made = bench.post("/v1/subscriptions", &order(&customer, &price, &more)).await;
    assert_eq!((&made["status"], &made["trial_end"]), (&"trialing".into(), &(START + 14 * DAY).into()));
    bench.stripe.advance(14 * DAY);
    assert_eq!(bench.status(&customer), "active");
    let invoices = bench.stripe.invoices();
    assert_eq!((&invoices[0]["total"], &invoices[1]["total"]), (&0.into(), &1000.into()));
    // The trial ends on 29 January; February has no such day.
    assert_eq!(bench.stripe.subscriptions()[&customer][0].period_end, START + (14 + 30) * DAY);
}

#[tokio::test]
async fn lists_of_subscriptions_know_customers_prices_and_states() {
    let bench = Bench::start().await;
    let (cheap, dear) = (bench.price(1000, "month").await, bench.price(3000, "month").await);
    let (customer, first) = bench.subscriber(&cheap).await;
    let (_, second) = bench.subscriber(&dear).await;
    bench.stripe.cancel_in_dashboard(&first);
    assert_eq!(ids(&bench.get("/v1/subscriptions").await), std::slice::from_ref(&second));
    assert_eq!(ids(&bench.get("/v1/subscriptions?status=all").await), [second.clone(), first.clone()]);
    assert_eq!(ids(&bench.get("/v1/subscriptions?status=ended").await), std::slice::from_ref(&first));
    let own = format!("/v1/subscriptions?customer={customer}&status=canceled");
    assert_eq!(ids(&bench.get(&own).await), [first]);
    assert_eq!(ids(&bench.get(&format!("/v1/subscriptions?price={dear}")).await), [second]);
    assert_eq!(bench.call("GET", "/v1/subscriptions?status=gone", "", None).await.0, 400);
}
