//! What happens by itself as the clock moves.

use super::*;

#[tokio::test]
async fn a_period_is_renewed_when_it_ends() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    bench.stripe.advance(31 * DAY - 1);
    assert_eq!(bench.stripe.invoices().len(), 1);
    let seen = bench.stripe.events().len();
    bench.stripe.advance(1);
    let invoices = bench.stripe.invoices();
    assert_eq!((invoices.len(), &invoices[1]["status"]), (2, &"paid".into()));
    assert_eq!(invoices[1]["billing_reason"], "subscription_cycle");
    assert_eq!(invoices[1]["lines"]["data"][0]["period"]["end"], START + (31 + 28) * DAY);
    assert_ne!(invoices[1]["number"], invoices[0]["number"]);
    let shown = bench.get(&format!("/v1/subscriptions/{subscription}")).await;
    assert_eq!(shown["latest_invoice"], invoices[1]["id"]);
    assert_eq!(bench.stripe.subscriptions()[&customer][0].period_end, START + (31 + 28) * DAY);
    let kinds = bench.kinds_after(seen);
    assert!(kinds.contains(&"customer.subscription.updated") && kinds.contains(&"invoice.paid"), "{kinds:?}");
    bench.stripe.set_now(START + 365 * DAY);
    assert_eq!(bench.stripe.invoices().len(), 13, "one each month");
}

#[tokio::test]
async fn periods_keep_their_day_of_the_month() {
    let bench = Bench::start().await;
    // 31 January.
    bench.stripe.advance(16 * DAY);
    let price = bench.price(1000, "month").await;
    let (customer, _) = bench.subscriber(&price).await;
    let mut ends = Vec::new();
    for days in [28, 31, 30] {
        ends.push((bench.stripe.subscriptions()[&customer][0].period_end - bench.stripe.now()) / DAY);
        bench.stripe.advance(days * DAY);
    }
    assert_eq!(ends, [28, 31, 30]);
}

#[tokio::test]
async fn a_failed_renewal_is_past_due_until_a_later_try_succeeds() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, _) = bench.subscriber(&price).await;
    bench.stripe.fail_payments(&customer, true);
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&customer), "past_due");
    let open = &bench.stripe.invoices()[1];
    assert_eq!(
        (&open["status"], &open["attempted"], &open["attempt_count"]),
        (&"open".into(), &true.into(), &1.into())
    );
    assert_eq!(open["next_payment_attempt"], bench.stripe.now() + 3 * DAY);
    assert_eq!(bench.get(&format!("/v1/customers/{customer}")).await["delinquent"], true);
    bench.stripe.fail_payments(&customer, false);
    bench.stripe.advance(3 * DAY);
    assert_eq!(bench.status(&customer), "active");
    let paid = &bench.stripe.invoices()[1];
    assert_eq!((&paid["amount_paid"], &paid["attempt_count"]), (&1000.into(), &2.into()));
    assert_eq!(paid["payments"]["data"][0]["status"], "paid");
}

#[tokio::test]
async fn after_the_last_try_the_subscription_is_cancelled() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    bench.stripe.fail_payments(&customer, true);
    bench.stripe.advance((31 + 9) * DAY - 1);
    assert_eq!(bench.status(&customer), "past_due");
    bench.stripe.advance(1);
    assert_eq!(bench.status(&customer), "canceled");
    let shown = bench.get(&format!("/v1/subscriptions/{subscription}")).await;
    assert_eq!(shown["cancellation_details"]["reason"], "payment_failed");
    let failures = bench.kinds_after(0).iter().filter(|kind| **kind == "invoice.payment_failed").count();
    assert_eq!(failures, 4);
}

#[tokio::test]
async fn or_it_is_left_unpaid_until_its_newest_invoice_is_paid() {
    let bench = Bench::start().await;
    bench.stripe.after_retries(AfterRetries::LeaveUnpaid);
    let price = bench.price(1000, "month").await;
    let (customer, _) = bench.subscriber(&price).await;
    bench.stripe.fail_payments(&customer, true);
    bench.stripe.advance((31 + 9) * DAY);
    assert_eq!(bench.status(&customer), "unpaid");
    bench.stripe.advance(28 * DAY);
    let draft = bench.stripe.invoices().pop().expect("an invoice");
    assert_eq!((bench.status(&customer), &draft["status"]), ("unpaid", &"draft".into()));
    bench.stripe.pay_invoice(&text(&draft["id"]));
    assert_eq!(bench.status(&customer), "active");
}

#[tokio::test]
async fn a_card_that_wants_the_customer_to_act_fails_each_renewal() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, subscription) = bench.subscriber(&price).await;
    let attach = "/v1/payment_methods/pm_card_authenticationRequired/attach";
    let method = bench.make(attach, &format!("customer={customer}")).await;
    bench.post(&format!("/v1/subscriptions/{subscription}"), &format!("default_payment_method={method}")).await;
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&customer), "past_due");
    assert!(bench.kinds_after(0).contains(&"invoice.payment_action_required"));
}

#[tokio::test]
async fn many_customers_are_no_burden() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (customer, _) = bench.subscriber(&price).await;
    for _ in 0..300 {
        bench.subscriber(&price).await;
    }
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.stripe.invoices().len(), 602);
    let own = bench.get(&format!("/v1/invoices?customer={customer}&limit=100")).await;
    assert_eq!((ids(&own).len(), &own["has_more"]), (2, &false.into()));
}
