//! emulate in Stripe's place: Checkout pages that we open, that are paid or not, and that we read back.
//!
//! It takes only what is sold at a price of its own, and knows no subscriptions, so our routes that open pages end in a
//! refusal there: pages are opened through the connection to Stripe itself.

use chrono::DateTime;
use serde_json::{Value, json};
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
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
    let price = NewPrice { name: plan, lookup_key: &name(), amount: PRICE, cycle };
    let price = stripe.create_price(&price, "price").await.expect("a price");
    assert_eq!((price.unit_amount, price.currency.as_deref()), (Some(999), Some("usd")));
    let page = NewCheckout {
        customer: &customer,
        what: CheckoutFor::Subscription { price: &price.id },
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
    async fn what_it_refuses_is_an_outage_and_leaves_nothing(app: App) {
        let emulate = Emulate::start().await;
        let here = connected(app, emulate.base_url()).await;
        let ada = here.verified("ada").await.client;
        let code = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        let page = json!({"tier": "student", "billing_cycle": "monthly"});
        let (code, page) = (("/payments/qr-code", &code), ("/payments/subscribe", &page));
        for (path, body) in [code, page, code] {
            let refused = ada.post(path, body).await;
            refused.problem(503, "payments_unavailable");
            assert_eq!(refused.header("retry-after"), "5", "{path}");
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
