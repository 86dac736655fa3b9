//! What others do to a subscription: an admin of ours, and another program with the key to the same Stripe.

use serde_json::json;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::store::stripe_prices::{self, Sold};

use super::{CANCEL, HISTORY, INVOICES, REFUNDS, VISA, items, own, says, subscribe, subscriber, text};
use crate::stripe::world::stories;

stories! {
    async fn an_invoice_in_yen_has_no_minor_units_anywhere(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, till.here.verified("ada").await);
        // Whoever opens the portal becomes a customer.
        ada.client.post("/payments/portal", &json!({})).await.must(200);
        let customer = till.customer(&ada).await;
        let body = "currency=jpy&unit_amount=1500&recurring[interval]=month&product_data[name]=Plan\
                    &lookup_key=autoos:student:monthly:jpy:1500";
        let price = text(&till.make("/v1/prices", body).await, "id").to_owned();
        let sold = Sold {
            price: price.clone(),
            tier: Tier::Student,
            billing_cycle: BillingCycle::Monthly,
            amount: 1_500,
            currency: "jpy".parse().expect("a currency"),
            livemode: false,
        };
        let mut tx = till.app().services.db.begin().await.expect("a transaction");
        stripe_prices::put(&mut tx, &sold, till.now()).await.expect("a price");
        tx.commit().await.expect("a commit");
        let path = format!("/v1/payment_methods/{VISA}/attach");
        let method = till.make(&path, &format!("customer={customer}")).await;
        let body = format!(
            "customer={customer}&items[0][price]={price}&default_payment_method={}", text(&method, "id"),
        );
        till.make("/v1/subscriptions", &body).await;
        till.tell().await;

        says(&own(&ada.client).await, &json!({"tier": "student", "status": "active"}));
        let yen = |amount: i64| json!({"amount_minor": amount, "currency": "JPY"});
        let invoices = items(&ada.client, INVOICES).await;
        assert_eq!((&invoices[0]["amount_due"], &invoices[0]["amount_paid"]), (&yen(1_500), &yen(1_500)));
        let paid = &items(&ada.client, HISTORY).await[0];
        says(paid, &yen(1_500));
        let mails = till.here.mails("ada", "Your student plan is active").await;
        assert!(mails[0].text.contains("JPY 1500") && !mails[0].text.contains("15.00"), "{}", mails[0].text);
        let part = json!({"payment_id": paid["payment_id"], "amount_minor": 500, "reason": "Was ill"});
        says(&root.client.post(REFUNDS, &part).await.must(201), &yen(500));
        assert_eq!(till.stripe.refunds()[0]["amount"], 500);
        // The renewal is told of in yen too.
        till.pass_until("2026-02-15T09:00:00Z");
        till.tell().await;
        assert_eq!(till.here.mails("ada", "Payment received: JPY 1500 for the student plan").await.len(), 1);
    }

    async fn what_an_admin_gives_after_the_end_is_none_of_stripes(till: &Till) {
        let (root, ada) = (till.here.admin("root").await, subscriber(till, "ada", "student").await);
        let adjust = format!("/payments/subscriptions/{}/adjust", ada.id);
        let gift = json!({
            "tier": "employee", "status": "active", "current_period_end": "2027-01-01T00:00:00Z", "reason": "A friend",
        });
        root.client.post(&adjust, &gift).await.problem(409, "wrong_state");
        ada.client.post(CANCEL, &json!({"immediately": true})).await.must(200);
        till.tell().await;
        says(&root.client.post(&adjust, &gift).await.must(200), &json!({"billed_by": null, "status": "active"}));
        // Stripe still tells of the one that has ended, and everybody is read.
        let paid = items(&ada.client, HISTORY).await[0]["payment_id"].clone();
        root.client.post(REFUNDS, &json!({"payment_id": paid, "reason": "Was ill"})).await.must(201);
        till.tell().await;
        till.duty("reconcile_stripe").await;
        assert_eq!(till.duty("compare_stripe").await, "0 customers compared, 0 differ");
        let given = json!({
            "tier": "employee", "status": "active", "entitles": true, "billed_by": null,
            "current_period_end": "2027-01-01T00:00:00Z",
        });
        says(&own(&ada.client).await, &given);
        // It can be changed again, and given up for a larger plan that Stripe bills.
        let longer = json!({"current_period_end": "2028-01-01T00:00:00Z", "reason": "A good friend"});
        root.client.post(&adjust, &longer).await.must(200);
        subscribe(&ada.client, "student").await.problem(409, "wrong_state");
        subscribe(&ada.client, "professional").await.must(200);
        says(&own(&ada.client).await, &json!({"tier": "professional", "billed_by": "stripe"}));
    }
}
