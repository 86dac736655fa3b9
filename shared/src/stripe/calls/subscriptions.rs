//! Subscriptions: what a customer has, and what becomes of it.
//!
//! A change that costs money is paid at once or not made at all (`error_if_incomplete`): nothing is left half done by
//! a payment that was declined. The end of a subscription that has a schedule (`schedules.rs`) is changed there, so it
//! must be released from that first.

use stripe_billing::subscription::{
    CancelSubscription, CreateSubscription, CreateSubscriptionItems, CreateSubscriptionPaymentBehavior,
    ListSubscription, ListSubscriptionStatus, RetrieveSubscription, UpdateSubscription, UpdateSubscriptionItems,
    UpdateSubscriptionPaymentBehavior, UpdateSubscriptionProrationBehavior,
};
use stripe_client_core::{RequestBuilder, StripeRequest};

use super::{id, metadata};
use crate::ids::UserId;
use crate::stripe::StripeResult;
use crate::stripe::objects::Subscription;
use crate::stripe::transport::{PAGE, Stripe};

/// Makes Stripe tell the newest invoice along with its subscription.
const LATEST_INVOICE: &str = "latest_invoice";

/// A subscription to be.
#[derive(Debug, Clone, Copy)]
pub struct NewSubscription<'a> {
    /// Whose.
    pub customer: &'a str,
    /// To what.
    pub price: &'a str,
    /// What it is paid with, now and later; the customer's own.
    pub payment_method: &'a str,
    /// The account.
    pub user: UserId,
}

impl Stripe {
    /// Begins a subscription and takes its first payment; has its first invoice whole.
    pub async fn create_subscription(&self, new: &NewSubscription<'_>, key: &str) -> StripeResult<Subscription> {
        self.change(create(new), key).await
    }

    /// A subscription.
    pub async fn subscription(&self, subscription: &str) -> StripeResult<Subscription> {
        let request = RetrieveSubscription::new(id(subscription)?).build();
        self.read(request).await
    }

    /// All subscriptions of a customer, ended ones too; without a customer all that are not canceled.
    pub async fn subscriptions(&self, customer: Option<&str>) -> StripeResult<Vec<Subscription>> {
        self.list(|after| page(customer, after)).await
    }

    /// Changes what is paid for and takes the difference at once; has the invoice of it whole.
    pub async fn change_price(
        &self,
        subscription: &str,
        (item, price): (&str, &str),
        key: &str,
    ) -> StripeResult<Subscription> {
        self.change(reprice(id(subscription)?, item, price), key).await
    }

    /// Lets a subscription end with its period, or go on after all if that was said here; see [`Stripe::go_on`].
    pub async fn cancel_at_period_end(
        &self,
        subscription: &str,
        cancel: bool,
        key: &str,
    ) -> StripeResult<Subscription> {
        let request = UpdateSubscription::new(id(subscription)?).cancel_at_period_end(cancel).build();
        self.change(request, key).await
    }

    /// Lets a subscription go on that was to end, whether that was said here or on a page of Stripe.
    pub async fn go_on(&self, subscription: &Subscription, key: &str) -> StripeResult<Subscription> {
        self.change(resume(subscription)?, key).await
    }

    /// Ends a subscription now; nothing is given back.
    pub async fn cancel_subscription(&self, subscription: &str, key: &str) -> StripeResult<Subscription> {
        let request = CancelSubscription::new(id(subscription)?).build();
        self.change(request, key).await
    }
}

fn create(new: &NewSubscription<'_>) -> RequestBuilder {
    let item = CreateSubscriptionItems { price: Some(new.price.to_owned()), ..Default::default() };
    CreateSubscription::new()
        .customer(new.customer)
        .default_payment_method(new.payment_method)
        .expand([LATEST_INVOICE.to_owned()])
        .items([item])
        .metadata(metadata("user_id", new.user.0))
        .payment_behavior(CreateSubscriptionPaymentBehavior::ErrorIfIncomplete)
        .build()
}

fn page(customer: Option<&str>, after: Option<&str>) -> RequestBuilder {
    let mut list = ListSubscription::new().limit(PAGE);
    if let Some(customer) = customer {
        list = list.customer(customer).status(ListSubscriptionStatus::All);
    }
    if let Some(after) = after {
        list = list.starting_after(after);
    }
    list.build()
}

fn reprice(subscription: &str, item: &str, price: &str) -> RequestBuilder {
    let item =
        UpdateSubscriptionItems { id: Some(item.to_owned()), price: Some(price.to_owned()), ..Default::default() };
    UpdateSubscription::new(subscription)
        .expand([LATEST_INVOICE.to_owned()])
        .items([item])
        .payment_behavior(UpdateSubscriptionPaymentBehavior::ErrorIfIncomplete)
        .proration_behavior(UpdateSubscriptionProrationBehavior::AlwaysInvoice)
        .build()
}

/// What has been said in one way is taken back in the same.
fn resume(subscription: &Subscription) -> StripeResult<RequestBuilder> {
    let update = UpdateSubscription::new(id(&subscription.id)?);
    if subscription.cancel_at_period_end {
        return Ok(update.cancel_at_period_end(false).build());
    }
    // The type has no word for "at no time", which is an empty text.
    Ok(RequestBuilder { body: Some("cancel_at=".to_owned()), ..update.build() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::super::shown;
    use super::*;

    #[test]
    fn a_subscription_is_paid_at_once_or_not_begun() {
        let user = UserId(Uuid::nil());
        let new = NewSubscription { customer: "cus_1", price: "price_1", payment_method: "pm_1", user };
        assert_eq!(
            shown(&create(&new)),
            "Post /subscriptions customer=cus_1&default_payment_method=pm_1&expand[0]=latest_invoice\
             &items[0][price]=price_1&metadata[user_id]=00000000-0000-0000-0000-000000000000\
             &payment_behavior=error_if_incomplete"
        );
    }

    #[test]
    fn of_a_customer_all_subscriptions_are_listed_and_of_all_the_live_ones() {
        assert_eq!(
            shown(&page(Some("cus_1"), Some("sub_1"))),
            "Get /subscriptions customer=cus_1&limit=100&starting_after=sub_1&status=all"
        );
        assert_eq!(shown(&page(None, None)), "Get /subscriptions limit=100");
    }

    #[test]
    fn an_end_is_taken_back_in_the_way_in_which_it_was_said() {
        for (flag, expected) in [(true, "cancel_at_period_end=false"), (false, "cancel_at=")] {
            let said = json!({"id": "sub_1", "cancel_at_period_end": flag, "cancel_at": 100});
            let subscription: Subscription = serde_json::from_value(said).unwrap();
            let request = resume(&subscription).unwrap();
            assert_eq!(shown(&request), format!("Post /subscriptions/sub_1 {expected}"));
        }
    }

    #[test]
    fn another_price_is_paid_for_at_once_or_not_taken() {
        assert_eq!(
            shown(&reprice("sub_1", "si_1", "price_2")),
            "Post /subscriptions/sub_1 expand[0]=latest_invoice&items[0][id]=si_1&items[0][price]=price_2\
             &payment_behavior=error_if_incomplete&proration_behavior=always_invoice"
        );
    }
}
