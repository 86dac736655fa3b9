//! emulate in Stripe's place: Checkout pages that we open, that are paid or not, and that we read back.
//!
//! It knows no subscriptions and no portal, so of our routes only those get through that need neither: QR codes, and the
//! first page of somebody new. Its sessions have no amount, so what was paid there would be for a person to review.

use chrono::DateTime;
use serde_json::{Value, json};
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::store::stripe_customers;
use shared::stripe::objects::CheckoutSession;
use shared::stripe::{CheckoutFor, NewCheckout, NewCustomer, NewPrice, Stripe, StripeError, lookup_key};
use uuid::Uuid;

use super::{SECRET, connected, gateway, stored, tell};
use crate::harness::counterpart::{client, get};
use crate::harness::emulate::Emulate;
use crate::harness::engines::both_engines;
use crate::harness::stand_in_http::StandInHttp;
use crate::journeys::address;

const PRICE: Money = Money { minor: 999, currency: Currency::USD };
const PAID: &str = "https://example.com/plans?checkout=done";

fn name() -> String {
    lookup_key(Tier::Student, BillingCycle::Monthly, PRICE)
}

/// Opens a page where somebody new may subscribe to the student plan.
async fn open_page(stripe: &Stripe) -> CheckoutSession {
    let user = UserId(Uuid::nil());
    let ada = NewCustomer { email: "ada@example.com", name: "Ada", user };
    let customer = stripe.create_customer(&ada, "customer").await.expect("a customer").id;
    let (plan, cycle) = ("student plan, monthly", BillingCycle::Monthly);
    let price = NewPrice { name: plan, lookup_key: &name(), amount: PRICE, cycle: Some(cycle) };
    let price = stripe.create_price(&price, "price").await.expect("a price");
    assert_eq!((price.unit_amount, price.currency.as_deref()), (Some(999), Some("usd")));
    let page = NewCheckout {
        customer: &customer,
        what: CheckoutFor::Subscription,
        price: &price.id,
        reference: "1",
        user,
        success_url: PAID,
        cancel_url: "https://example.com/plans?checkout=cancelled",
        expires_at: DateTime::from_timestamp(4_102_444_800, 0).expect("a time"),
    };
    let page = stripe.create_checkout(&page, "checkout").await.expect("a page");
    assert_eq!(page.customer.as_ref().map(|customer| &customer.0), Some(&customer));
    page
}

/// Where a page stands.
fn standing(page: &CheckoutSession) -> (&str, &str) {
    (page.status.as_deref().unwrap_or_default(), page.payment_status.as_deref().unwrap_or_default())
}

#[tokio::test]
async fn a_page_that_we_opened_is_paid_once_and_read_back() {
    let emulate = Emulate::start().await;
    let stripe = gateway(emulate.base_url());
    let page = open_page(&stripe).await;
    assert_eq!(standing(&page), ("open", "unpaid"));
    let address = page.url.as_deref().expect("an address");
    let shown = client().get(address).send().await.expect("a page").text().await.expect("a page");
    assert!(shown.contains("$9.99") && shown.contains("student plan, monthly"), "{shown}");
    assert_eq!(emulate.pay(address).await.as_deref(), Some(PAID));
    let paid = stripe.checkout(&page.id).await.expect("the page");
    assert_eq!((standing(&paid), &paid.url), (("complete", "paid"), &None));
    assert_eq!(paid.customer, page.customer);
    // A page that was paid in time cannot be closed any more: that is how we see it.
    let closed = stripe.expire_checkout(&page.id, "expire").await;
    assert!(matches!(closed, Err(StripeError::Invalid { .. })), "{closed:?}");
    assert_eq!(emulate.pay(address).await, None);
}

#[tokio::test]
async fn a_page_that_we_closed_cannot_be_paid() {
    let emulate = Emulate::start().await;
    let stripe = gateway(emulate.base_url());
    let page = open_page(&stripe).await;
    let closed = stripe.expire_checkout(&page.id, "expire").await.expect("the page");
    assert_eq!((standing(&closed), &closed.url), (("expired", "unpaid"), &None));
    assert_eq!(emulate.pay(page.url.as_deref().expect("an address")).await, None);
    assert_eq!(standing(&stripe.checkout(&page.id).await.expect("the page")), ("expired", "unpaid"));
    let again = stripe.expire_checkout(&page.id, "again").await;
    assert!(matches!(again, Err(StripeError::Invalid { .. })), "{again:?}");
    for nothing in [stripe.checkout("cs_nothing").await, stripe.expire_checkout("cs_nothing", "nothing").await] {
        assert!(matches!(nothing, Err(StripeError::NotFound(_))), "{nothing:?}");
    }
}

#[tokio::test]
async fn a_price_without_our_name_is_not_taken_for_ours() {
    // emulate keeps no names, and gives all prices to whoever asks for one.
    let emulate = Emulate::start().await;
    let stripe = gateway(emulate.base_url());
    open_page(&stripe).await;
    let (_, all) = get(&format!("{}/v1/prices?lookup_keys[0]={}", emulate.base_url(), name())).await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
    assert!(stripe.find_price(&name()).await.expect("an answer").is_none());
}

both_engines! {
    async fn somebody_new_is_led_to_a_page_and_coming_back_from_it_grants_nothing(app: App) {
        let emulate = Emulate::start().await;
        let here = connected(app, emulate.base_url()).await;
        let ada = here.verified("ada").await.client;
        let month = json!({"tier": "student", "billing_cycle": "monthly"});
        let answer = ada.post("/payments/subscribe", &month).await.must(200);
        assert_eq!(answer["subscription"], Value::Null);
        let url = answer["checkout_url"].as_str().expect("an address");
        let back = emulate.pay(url).await.expect("paid");
        assert!(back.contains("checkout=done"), "{back}");
        assert_eq!(ada.get("/payments/subscription").await.must(200)["status"], "trial");
        assert_eq!(emulate.pay(url).await, None);
    }

    async fn a_code_leads_to_a_page_of_its_own_which_is_paid_and_read_back(app: App) {
        let emulate = Emulate::start().await;
        let here = connected(app, emulate.base_url()).await;
        let ada = here.verified("ada").await;
        let month = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        let asked = ada.client.post("/payments/qr-code", &month).await.must(201);
        assert_eq!((&asked["status"], &asked["amount_minor"], &asked["currency"]), (&json!("pending"), &json!(999), &json!("USD")));
        let again = ada.client.post("/payments/qr-code", &month).await.must(201);
        assert_ne!(again["payload"], asked["payload"]);
        emulate.pay(asked["payload"].as_str().expect("an address")).await.expect("paid");
        let mut reader = here.app.services.db.read().await.expect("a reader");
        let customer = stripe_customers::get(&mut reader, ada.id, false).await.expect("a row").expect("a customer");
        drop(reader);
        // All else of a customer emulate does not know, so only what is asked of the page itself can be tried.
        let stripe = gateway(emulate.base_url());
        let sessions = get(&format!("{}/v1/checkout/sessions", emulate.base_url())).await.1;
        let sessions = sessions["data"].as_array().cloned().unwrap_or_default();
        let paid = sessions.iter().find(|session| session["status"] == "complete").expect("a page");
        let paid = stripe.checkout(paid["id"].as_str().expect("an id")).await.expect("a page");
        assert_eq!(standing(&paid), ("complete", "paid"));
        assert_eq!(paid.customer.as_ref().map(|named| &named.0), Some(&customer));
        assert_eq!(ada.client.get("/payments/subscription").await.must(200)["status"], "trial");
    }

    async fn what_it_refuses_is_an_outage_and_leaves_nothing(app: App) {
        let emulate = Emulate::start().await;
        let here = connected(app, emulate.base_url()).await;
        let ada = here.verified("ada").await.client;
        let month = json!({"tier": "student", "billing_cycle": "monthly"});
        for _ in 0..2 {
            let refused = ada.post("/payments/portal", &json!({})).await;
            refused.problem(503, "payments_unavailable");
            assert_eq!(refused.header("retry-after"), "5");
            // The customer is there by now, and emulate knows no subscriptions to look at.
            ada.post("/payments/subscribe", &month).await.problem(503, "payments_unavailable");
        }
        assert_eq!(ada.get("/payments/history").await.must(200)["items"], json!([]));
        let (_, customers) = get(&format!("{}/v1/customers", emulate.base_url())).await;
        let customers = customers["data"].as_array().expect("customers");
        let hers: Vec<&Value> = customers.iter().filter(|customer| customer["email"] == address("ada")).collect();
        assert_eq!(hers.len(), 1, "{customers:?}");
    }

    async fn its_webhooks_are_signed_and_refused_since_they_have_no_id(app: App) {
        let receiver = StandInHttp::start().await;
        let emulate = Emulate::start_with_webhooks(&format!("{}/ok", receiver.base_url()), SECRET).await;
        let here = connected(app, emulate.base_url()).await;
        let page = open_page(&gateway(emulate.base_url())).await;
        emulate.pay(page.url.as_deref().expect("an address")).await.expect("paid");
        let webhooks = receiver.requests();
        assert!(webhooks.iter().any(|webhook| webhook.body.contains("checkout.session.completed")), "{webhooks:?}");
        for webhook in &webhooks {
            let signature = Some(webhook.headers["stripe-signature"].as_str());
            tell(&here.nobody, &webhook.body, signature).await.problem(400, "bad_request");
            let changed = webhook.body.replacen("type", "kind", 1);
            tell(&here.nobody, &changed, signature).await.problem(400, "invalid_signature");
        }
        assert_eq!(stored(&here).await, []);
    }
}
