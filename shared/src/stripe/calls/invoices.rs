//! Invoices, and what a change would cost.

use stripe_billing::invoice::{
    CreatePreviewInvoice, CreatePreviewInvoiceSubscriptionDetails, CreatePreviewInvoiceSubscriptionDetailsItems,
    CreatePreviewInvoiceSubscriptionDetailsProrationBehavior, ListInvoice, RetrieveInvoice,
};
use stripe_client_core::{RequestBuilder, StripeRequest};

use super::id;
use crate::stripe::objects::{Invoice, List};
use crate::stripe::transport::{PAGE, Stripe};
use crate::stripe::{StripeError, StripeResult};
use crate::tokens;

impl Stripe {
    /// What [`Stripe::change_price`] would take now.
    pub async fn preview_change(
        &self,
        customer: &str,
        subscription: &str,
        (item, price): (&str, &str),
    ) -> StripeResult<Invoice> {
        // It changes nothing, so any key will do: it only marks the attempts as one.
        let (key, _) = tokens::random()
            .map_err(|error| StripeError::Unavailable { message: format!("no randomness: {error}"), saved: false })?;
        self.change(preview(customer, subscription, item, price), &key).await
    }

    /// A customer's newest invoices, at most a hundred, with what paid them.
    pub async fn invoices(&self, customer: &str) -> StripeResult<Vec<Invoice>> {
        let found: List<Invoice> = self.read(newest(customer)).await?;
        Ok(found.data)
    }

    /// An invoice, with what paid it.
    pub async fn invoice(&self, invoice: &str) -> StripeResult<Invoice> {
        let request = RetrieveInvoice::new(id(invoice)?).expand(["payments".to_owned()]).build();
        self.read(request).await
    }
}

fn preview(customer: &str, subscription: &str, item: &str, price: &str) -> RequestBuilder {
    let item = CreatePreviewInvoiceSubscriptionDetailsItems {
        id: Some(item.to_owned()),
        price: Some(price.to_owned()),
        ..Default::default()
    };
    let details = CreatePreviewInvoiceSubscriptionDetails {
        items: Some(vec![item]),
        proration_behavior: Some(CreatePreviewInvoiceSubscriptionDetailsProrationBehavior::AlwaysInvoice),
        ..Default::default()
    };
    CreatePreviewInvoice::new().customer(customer).subscription(subscription).subscription_details(details).build()
}

fn newest(customer: &str) -> RequestBuilder {
    ListInvoice::new().customer(customer).expand(["data.payments".to_owned()]).limit(PAGE).build()
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn a_preview_is_of_what_would_be_invoiced_at_once() {
        assert_eq!(
            shown(&preview("cus_1", "sub_1", "si_1", "price_2")),
            "Post /invoices/create_preview customer=cus_1&subscription=sub_1&subscription_details[items][0][id]=si_1\
             &subscription_details[items][0][price]=price_2\
             &subscription_details[proration_behavior]=always_invoice"
        );
    }

    #[test]
    fn invoices_come_with_what_paid_them() {
        assert_eq!(shown(&newest("cus_1")), "Get /invoices customer=cus_1&expand[0]=data.payments&limit=100");
    }
}
