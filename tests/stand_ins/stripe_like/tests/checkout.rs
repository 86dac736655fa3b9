//! Checkout sessions and the portal.

use super::*;

const URLS: &str = "success_url=https://example.com/done&cancel_url=https://example.com/back";

/// A session for 19.00 USD, once.
fn once(more: &str) -> String {
    format!(
        "mode=payment&{URLS}&line_items[0][quantity]=1&line_items[0][price_data][currency]=usd\
         &line_items[0][price_data][unit_amount]=1900&line_items[0][price_data][product_data][name]=Month{more}"
    )
}

#[tokio::test]
async fn a_payment_is_complete_and_paid_at_once() {
    let bench = Bench::start().await;
    let customer = bench.make("/v1/customers", "email=a@example.com").await;
    let more = format!("&customer={customer}&client_reference_id=order-7&metadata[payment]=7");
    let session = bench.post("/v1/checkout/sessions", &once(&more)).await;
    assert_eq!((&session["status"], &session["payment_status"]), (&"open".into(), &"unpaid".into()));
    assert_eq!((&session["amount_total"], &session["currency"]), (&1900.into(), &"usd".into()));
    assert_eq!((&session["expires_at"], &session["payment_intent"]), (&(START + DAY).into(), &Value::Null));
    assert!(text(&session["url"]).len() > 300);
    let id = text(&session["id"]);
    assert!(bench.stripe.pay_checkout(&id));
    let paid = bench.get(&format!("/v1/checkout/sessions/{id}")).await;
    assert_eq!(
        (&paid["status"], &paid["payment_status"], &paid["url"]),
        (&"complete".into(), &"paid".into(), &Value::Null)
    );
    assert_eq!((&paid["client_reference_id"], &paid["metadata"]["payment"]), (&"order-7".into(), &"7".into()));
    let payment = bench.get(&format!("/v1/payment_intents/{}", text(&paid["payment_intent"]))).await;
    assert_eq!((&payment["amount_received"], &payment["status"]), (&1900.into(), &"succeeded".into()));
    let charge = bench.get(&format!("/v1/charges/{}", text(&payment["latest_charge"]))).await;
    assert_eq!((&charge["amount"], &charge["payment_intent"]), (&1900.into(), &payment["id"]));
    assert_eq!(bench.kinds_after(0).last(), Some(&"checkout.session.completed"));
    let listed = bench.get(&format!("/v1/checkout/sessions?customer={customer}&status=complete")).await;
    assert_eq!(ids(&listed), [id]);
}

#[tokio::test]
async fn a_subscription_comes_of_a_session_that_is_paid() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let customer = bench.make("/v1/customers", "email=a@example.com").await;
    let line = format!("line_items[0][price]={price}&line_items[0][quantity]=1");
    let body = format!("mode=subscription&{URLS}&customer={customer}&{line}&subscription_data[metadata][user_id]=7");
    let id = bench.make("/v1/checkout/sessions", &body).await;
    bench.stripe.fail_payments(&customer, true);
    assert!(!bench.stripe.pay_checkout(&id), "a declined card leaves it open");
    bench.stripe.fail_payments(&customer, false);
    assert!(bench.stripe.pay_checkout(&id));
    let paid = bench.get(&format!("/v1/checkout/sessions/{id}?expand[]=subscription")).await;
    assert_eq!(paid["subscription"]["metadata"]["user_id"], "7");
    assert_eq!(paid["subscription"]["latest_invoice"], paid["invoice"]);
    assert_eq!(bench.status(&customer), "active");
    bench.stripe.advance(31 * DAY);
    assert_eq!(bench.status(&customer), "active");
    assert_eq!(bench.try_post("/v1/checkout/sessions", &format!("mode=payment&{URLS}&{line}")).await.0, 400);
}

#[tokio::test]
async fn money_may_come_later_or_not_at_all_or_be_another_amount() {
    let bench = Bench::start().await;
    for (comes, status, kind) in [
        (true, "paid", "checkout.session.async_payment_succeeded"),
        (false, "unpaid", "checkout.session.async_payment_failed"),
    ] {
        let id = bench.make("/v1/checkout/sessions", &once("")).await;
        assert!(bench.stripe.begin_slow_payment(&id));
        let path = format!("/v1/checkout/sessions/{id}");
        let waiting = bench.get(&path).await;
        assert_eq!((&waiting["status"], &waiting["payment_status"]), (&"complete".into(), &"unpaid".into()));
        bench.stripe.settle_slow_payment(&id, comes);
        assert_eq!(bench.get(&path).await["payment_status"], status);
        assert_eq!(bench.kinds_after(0).last(), Some(&kind));
    }
    let id = bench.make("/v1/checkout/sessions", &once("")).await;
    assert!(bench.stripe.pay_checkout_as(&id, 1750, "eur"));
    let paid = bench.get(&format!("/v1/checkout/sessions/{id}")).await;
    assert_eq!((&paid["amount_total"], &paid["currency"]), (&1750.into(), &"eur".into()));
}

#[tokio::test]
async fn a_session_lives_from_half_an_hour_to_a_day() {
    let bench = Bench::start().await;
    for (seconds, status) in [(1799, 400), (1800, 200), (DAY, 200), (DAY + 1, 400)] {
        let body = once(&format!("&expires_at={}", START + seconds));
        assert_eq!(bench.try_post("/v1/checkout/sessions", &body).await.0, status, "{seconds}");
    }
    let id = bench.make("/v1/checkout/sessions", &once("")).await;
    let expire = format!("/v1/checkout/sessions/{id}/expire");
    assert_eq!(bench.post(&expire, "").await["status"], "expired");
    assert_eq!(bench.try_post(&expire, "").await.0, 400);
    let seen = bench.stripe.events().len();
    bench.stripe.advance(DAY);
    assert_eq!(bench.kinds_after(seen), ["checkout.session.expired"; 2]);
}

#[tokio::test]
async fn the_portal_is_for_customers() {
    let bench = Bench::start().await;
    let customer = bench.make("/v1/customers", "name=A").await;
    let body = format!("customer={customer}&return_url=https://example.com/account");
    let portal = bench.post("/v1/billing_portal/sessions", &body).await;
    assert_eq!(portal["return_url"], "https://example.com/account");
    assert!(text(&portal["url"]).starts_with("https://"));
    assert_eq!(bench.try_post("/v1/billing_portal/sessions", "customer=cus_99").await.0, 400);
}
