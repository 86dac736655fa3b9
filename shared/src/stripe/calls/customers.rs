//! Customers, one for each account, and what they pay with.

use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_core::customer::CreateCustomer;
use stripe_payment::payment_method::AttachPaymentMethod;

use super::{id, metadata};
use crate::ids::UserId;
use crate::stripe::StripeResult;
use crate::stripe::objects::Object;
use crate::stripe::transport::Stripe;

/// A customer to be.
#[derive(Debug, Clone, Copy)]
pub struct NewCustomer<'a> {
    /// Where Stripe sends receipts.
    pub email: &'a str,
    /// As invoices have it.
    pub name: &'a str,
    /// The account.
    pub user: UserId,
}

impl Stripe {
    /// Makes a customer.
    pub async fn create_customer(&self, new: &NewCustomer<'_>, key: &str) -> StripeResult<Object> {
        self.change(create(new), key).await
    }

    /// Gives a customer a way to pay, which a browser has told Stripe before.
    pub async fn attach_payment_method(&self, method: &str, customer: &str, key: &str) -> StripeResult<Object> {
        let request = AttachPaymentMethod::new(id(method)?).customer(customer).build();
        self.change(request, key).await
    }
}

fn create(new: &NewCustomer<'_>) -> RequestBuilder {
    CreateCustomer::new().email(new.email).name(new.name).metadata(metadata("user_id", new.user.0)).build()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::shown;
    use super::*;

    #[test]
    fn a_customer_names_the_account() {
        let new = NewCustomer { email: "ada+a@example.com", name: "Ada & Söhne", user: UserId(Uuid::nil()) };
        assert_eq!(
            shown(&create(&new)),
            "Post /customers email=ada%2Ba@example.com&metadata[user_id]=00000000-0000-0000-0000-000000000000\
             &name=Ada+%26+S%C3%B6hne"
        );
    }
}
