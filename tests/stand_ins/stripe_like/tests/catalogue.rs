//! Customers, products, prices, cards, and what is shown in place of an id.

use super::*;

#[tokio::test]
async fn a_price_is_found_by_its_lookup_key_and_no_two_have_the_same() {
    let bench = Bench::start().await;
    let product = bench.make("/v1/products", "name=Plan&id=plan-pro").await;
    assert_eq!(product, "plan-pro");
    assert_eq!(bench.try_post("/v1/products", "name=Plan&id=plan-pro").await.0, 400);
    let body = format!("product={product}&currency=USD&unit_amount=1900&recurring[interval]=month&lookup_key=pro");
    let price = bench.make("/v1/prices", &body).await;
    assert_eq!(bench.try_post("/v1/prices", &body).await.0, 400);
    let other = bench.make("/v1/prices", &format!("{body}&transfer_lookup_key=true")).await;
    let found = bench.get("/v1/prices?lookup_keys[]=pro&lookup_keys[]=none&active=true").await;
    assert_eq!(ids(&found), [other]);
    let former = bench.get(&format!("/v1/prices/{price}")).await;
    assert_eq!((&former["lookup_key"], &former["currency"]), (&Value::Null, &Value::from("usd")));
    assert_eq!(former["recurring"]["interval"], "month");
    assert_eq!(bench.get("/v1/products/plan-pro").await["name"], "Plan");
    let once = format!("product={product}&currency=usd&unit_amount=-1");
    assert_eq!(bench.try_post("/v1/prices", &once).await.0, 400);
}

#[tokio::test]
async fn a_customer_keeps_what_it_is_told() {
    let bench = Bench::start().await;
    let customer = bench.make("/v1/customers", "email=a@example.com&name=A&metadata[user_id]=7&metadata[x]=1").await;
    assert_eq!(customer, "cus_1");
    let path = format!("/v1/customers/{customer}");
    let changed = bench.post(&path, "name=B&metadata[x]=&metadata[y]=2").await;
    assert_eq!((&changed["name"], &changed["email"]), (&Value::from("B"), &Value::from("a@example.com")));
    assert_eq!(changed["metadata"], serde_json::json!({"user_id": "7", "y": "2"}));
    let found = bench.get("/v1/customers?email=a@example.com").await;
    assert_eq!(ids(&found), [customer]);
    let changes = bench.stripe.events();
    assert_eq!(changes[1].kind, "customer.updated");
    assert_eq!(changes[1].json()["data"]["previous_attributes"]["name"], "A");
}

#[tokio::test]
async fn cards_are_attached_under_ids_of_their_own_and_some_are_declined_already_then() {
    let bench = Bench::start().await;
    let (customer, method) = bench.payer("pm_card_visa").await;
    assert_ne!(method, "pm_card_visa");
    let again = bench.post(&format!("/v1/payment_methods/{method}/attach"), &format!("customer={customer}")).await;
    assert_eq!(again["id"], Value::from(method.as_str()));
    let other = bench.make("/v1/customers", "name=B").await;
    let taken = bench.try_post(&format!("/v1/payment_methods/{method}/attach"), &format!("customer={other}")).await;
    assert_eq!(taken.0, 400);
    let body = format!("customer={customer}");
    let (status, declined) = bench.try_post("/v1/payment_methods/pm_card_chargeDeclined/attach", &body).await;
    let error = &declined["error"];
    assert_eq!(
        (status, text(&error["code"]), text(&error["type"])),
        (402, "card_declined".into(), "card_error".into())
    );
    assert_eq!(error["decline_code"], "generic_decline");
    assert_eq!(bench.try_post("/v1/payment_methods/pm_card_unheard/attach", &body).await.0, 404);
}

#[tokio::test]
async fn ids_are_replaced_by_what_they_name_where_that_is_asked_for() {
    let bench = Bench::start().await;
    let price = bench.price(1000, "month").await;
    let (_, subscription) = bench.subscriber(&price).await;
    let path = format!("/v1/subscriptions/{subscription}");
    let expand = "expand[]=customer&expand[]=latest_invoice.payments&expand[]=items.data.price.product";
    let shown = bench.get(&format!("{path}?{expand}")).await;
    assert_eq!(shown["customer"]["email"], "payer@example.com");
    assert_eq!(shown["items"]["data"][0]["price"]["product"]["name"], "Plan");
    let payment = &shown["latest_invoice"]["payments"]["data"][0]["payment"];
    assert_eq!(payment["type"], "payment_intent");
    let listed = bench.get("/v1/invoices?expand[]=data.payments.data.payment.payment_intent").await;
    let payment = &listed["data"][0]["payments"]["data"][0]["payment"]["payment_intent"];
    assert_eq!(payment["status"], "succeeded");
    assert_eq!(bench.call("GET", &format!("{path}?expand[]=nothing"), "", None).await.0, 400);
}
