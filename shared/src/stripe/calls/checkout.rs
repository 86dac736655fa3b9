//! Checkout: pages of Stripe where something is paid.

use chrono::{DateTime, Utc};
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionLineItems, CreateCheckoutSessionPaymentIntentData,
    CreateCheckoutSessionSubscriptionData, ExpireCheckoutSession, RetrieveCheckoutSession,
};
use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_shared::CheckoutSessionMode;

use super::{id, metadata};
use crate::ids::UserId;
use crate::stripe::StripeResult;
use crate::stripe::objects::CheckoutSession;
use crate::stripe::transport::Stripe;

/// What is paid on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckoutFor {
    /// A subscription, from now on.
    Subscription,
    /// One payment.
    Payment,
}

/// A page to be.
#[derive(Debug, Clone, Copy)]
pub struct NewCheckout<'a> {
    /// Who pays.
    pub customer: &'a str,
    /// What is paid.
    pub what: CheckoutFor,
    /// At which price: one that recurs for a subscription, and one that does not for a payment.
    pub price: &'a str,
    /// What the payment is known by here.
    pub reference: &'a str,
    /// The account.
    pub user: UserId,
    /// Where the payer goes afterwards; that somebody comes there proves nothing.
    pub success_url: &'a str,
    /// Where the payer goes instead of paying.
    pub cancel_url: &'a str,
    /// When the page ends: 30 minutes to 24 hours from now. Another time is another request, and wants another
    /// idempotency key.
    pub expires_at: DateTime<Utc>,
}

impl Stripe {
    /// Makes a page.
    pub async fn create_checkout(&self, new: &NewCheckout<'_>, key: &str) -> StripeResult<CheckoutSession> {
        self.change(create(new), key).await
    }

    /// A page.
    pub async fn checkout(&self, session: &str) -> StripeResult<CheckoutSession> {
        let request = RetrieveCheckoutSession::new(id(session)?).build();
        self.read(request).await
    }

    /// Ends a page that is open; another one cannot be ended.
    pub async fn expire_checkout(&self, session: &str, key: &str) -> StripeResult<CheckoutSession> {
        let request = ExpireCheckoutSession::new(id(session)?).build();
        self.change(request, key).await
    }
}

/// The account is also written on what comes of the page, which outlives it.
fn create(new: &NewCheckout<'_>) -> RequestBuilder {
    let line =
        CreateCheckoutSessionLineItems { price: Some(new.price.to_owned()), quantity: Some(1), ..Default::default() };
    let session = CreateCheckoutSession::new()
        .cancel_url(new.cancel_url)
        .client_reference_id(new.reference)
        .customer(new.customer)
        .expires_at(new.expires_at.timestamp())
        .line_items([line])
        .metadata(metadata("user_id", new.user.0))
        .success_url(new.success_url);
    let written = Some(metadata("user_id", new.user.0));
    let session = match new.what {
        CheckoutFor::Subscription => session
            .mode(CheckoutSessionMode::Subscription)
            .subscription_data(CreateCheckoutSessionSubscriptionData { metadata: written, ..Default::default() }),
        CheckoutFor::Payment => session
            .mode(CheckoutSessionMode::Payment)
            .payment_intent_data(CreateCheckoutSessionPaymentIntentData { metadata: written, ..Default::default() }),
    };
    session.build()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::shown;
    use super::*;

    const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

    fn sent(what: CheckoutFor) -> String {
        shown(&create(&NewCheckout {
            customer: "cus_1",
            what,
            price: "price_1",
            reference: "payment-1",
            user: UserId(Uuid::nil()),
            success_url: "https://app.example/done?a=1",
            cancel_url: "https://app.example/back",
            expires_at: DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
        }))
    }

    #[test]
    fn a_page_for_a_subscription_writes_the_account_on_it() {
        assert_eq!(
            sent(CheckoutFor::Subscription),
            format!(
                "Post /checkout/sessions cancel_url=https://app.example/back&client_reference_id=payment-1\
                 &customer=cus_1&expires_at=1767225600&line_items[0][price]=price_1&line_items[0][quantity]=1\
                 &metadata[user_id]={NOBODY}&mode=subscription&subscription_data[metadata][user_id]={NOBODY}\
                 &success_url=https://app.example/done?a%3D1"
            )
        );
    }

    #[test]
    fn a_page_for_one_payment_writes_it_on_what_a_refund_is_made_of() {
        assert_eq!(
            sent(CheckoutFor::Payment),
            format!(
                "Post /checkout/sessions cancel_url=https://app.example/back&client_reference_id=payment-1\
                 &customer=cus_1&expires_at=1767225600&line_items[0][price]=price_1&line_items[0][quantity]=1\
                 &metadata[user_id]={NOBODY}&mode=payment&payment_intent_data[metadata][user_id]={NOBODY}\
                 &success_url=https://app.example/done?a%3D1"
            )
        );
    }
}
