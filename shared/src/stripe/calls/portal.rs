//! The portal: pages of Stripe where customers look after their payments themselves.

use stripe_billing::billing_portal_session::CreateBillingPortalSession;
use stripe_client_core::StripeRequest;

use crate::stripe::StripeResult;
use crate::stripe::objects::Portal;
use crate::stripe::transport::Stripe;

impl Stripe {
    /// Opens the portal for a customer, who comes back to `return_url`.
    pub async fn create_portal(&self, customer: &str, return_url: &str, key: &str) -> StripeResult<Portal> {
        let request = CreateBillingPortalSession::new().customer(customer).return_url(return_url).build();
        self.change(request, key).await
    }
}
