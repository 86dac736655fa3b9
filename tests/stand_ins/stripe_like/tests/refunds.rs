//! Money that goes back.

use super::*;

/// The payment of the first invoice of a new subscription over 10.00 USD.
async fn payment(bench: &Bench) -> String {
    let price = bench.price(1000, "month").await;
    bench.subscriber(&price).await;
    text(&bench.stripe.invoices()[0]["payments"]["data"][0]["payment"]["payment_intent"])
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_and_no_further() {
    let bench = Bench::start().await;
    let payment = payment(&bench).await;
    let part = format!("payment_intent={payment}&amount=300&reason=requested_by_customer&metadata[why]=late");
    let refund = bench.post("/v1/refunds", &part).await;
    assert_eq!((&refund["amount"], &refund["status"]), (&300.into(), &"succeeded".into()));
    assert_eq!(refund["metadata"]["why"], "late");
    let charge = text(&refund["charge"]);
    assert_eq!(bench.try_post("/v1/refunds", &format!("charge={charge}&amount=701")).await.0, 400);
    let rest = bench.post("/v1/refunds", &format!("charge={charge}")).await;
    assert_eq!((&rest["amount"], &rest["payment_intent"]), (&700.into(), &payment.as_str().into()));
    let (status, refused) = bench.try_post("/v1/refunds", &format!("payment_intent={payment}")).await;
    assert_eq!((status, text(&refused["error"]["code"])), (400, "charge_already_refunded".to_owned()));
    let listed = bench.get(&format!("/v1/refunds?payment_intent={payment}")).await;
    assert_eq!(ids(&listed), [text(&rest["id"]), text(&refund["id"])]);
    let shown = bench.get(&format!("/v1/charges/{charge}")).await;
    assert_eq!((&shown["amount_refunded"], &shown["refunded"]), (&1000.into(), &true.into()));
}

#[tokio::test]
async fn a_refund_in_the_dashboard_is_told_by_events() {
    let bench = Bench::start().await;
    let payment = payment(&bench).await;
    let seen = bench.stripe.events().len();
    let refund = bench.stripe.refund_in_dashboard(&payment, 400);
    assert_eq!(bench.kinds_after(seen), ["charge.refunded", "refund.created", "refund.updated"]);
    let charge = &bench.stripe.events_after(seen)[0].json()["data"]["object"];
    assert_eq!((&charge["amount_refunded"], &charge["payment_intent"]), (&400.into(), &payment.as_str().into()));
    assert_eq!(bench.get(&format!("/v1/refunds/{refund}")).await["amount"], 400);
}

#[tokio::test]
async fn a_refund_names_a_payment_and_a_known_reason() {
    let bench = Bench::start().await;
    let payment = payment(&bench).await;
    for body in ["amount=1", "payment_intent=pi_99", "charge=ch_99"] {
        assert_eq!(bench.try_post("/v1/refunds", body).await.0, 400, "{body}");
    }
    let vague = format!("payment_intent={payment}&reason=because");
    assert_eq!(bench.try_post("/v1/refunds", &vague).await.0, 400);
    assert_eq!(bench.get("/v1/refunds").await["data"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_refund_that_a_bank_sends_back_can_be_made_again() {
    let bench = Bench::start().await;
    let payment = payment(&bench).await;
    let refund = bench.stripe.refund_in_dashboard(&payment, 1000);
    let seen = bench.stripe.events().len();
    bench.stripe.fail_refund(&refund);
    assert_eq!(bench.kinds_after(seen), ["refund.updated", "refund.failed"]);
    assert_eq!(bench.get(&format!("/v1/refunds/{refund}")).await["status"], "failed");
    let again = bench.post("/v1/refunds", &format!("payment_intent={payment}")).await;
    assert_eq!((&again["amount"], &again["status"]), (&1000.into(), &"succeeded".into()));
    assert_eq!(bench.stripe.refunds().len(), 2);
}
