//! Money that is given back.

use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_core::refund::{CreateRefund, ListRefund};

use super::metadata;
use crate::ids::PaymentId;
use crate::stripe::StripeResult;
use crate::stripe::objects::Refund;
use crate::stripe::transport::{PAGE, Stripe};

/// A refund to be.
#[derive(Debug, Clone, Copy)]
pub struct NewRefund<'a> {
    /// The payment that it is made of.
    pub payment_intent: &'a str,
    /// How much, in minor units of the payment's currency; none: all that is left.
    pub amount: Option<i64>,
    /// What the refund is known by here; it is written on it.
    pub refund: PaymentId,
}

impl Stripe {
    /// Gives money back.
    pub async fn create_refund(&self, new: &NewRefund<'_>, key: &str) -> StripeResult<Refund> {
        self.change(create(new), key).await
    }

    /// All refunds of a payment.
    pub async fn refunds(&self, payment_intent: &str) -> StripeResult<Vec<Refund>> {
        self.list(|after| page(payment_intent, after)).await
    }
}

fn create(new: &NewRefund<'_>) -> RequestBuilder {
    let mut refund =
        CreateRefund::new().metadata(metadata("refund_id", new.refund.0)).payment_intent(new.payment_intent);
    if let Some(amount) = new.amount {
        refund = refund.amount(amount);
    }
    refund.build()
}

fn page(payment_intent: &str, after: Option<&str>) -> RequestBuilder {
    let mut list = ListRefund::new().limit(PAGE).payment_intent(payment_intent);
    if let Some(after) = after {
        list = list.starting_after(after);
    }
    list.build()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::shown;
    use super::*;

    #[test]
    fn a_refund_is_of_a_part_or_of_all_and_names_ours() {
        let new = NewRefund { payment_intent: "pi_1", amount: Some(500), refund: PaymentId(Uuid::nil()) };
        let rest = "metadata[refund_id]=00000000-0000-0000-0000-000000000000&payment_intent=pi_1";
        assert_eq!(shown(&create(&new)), format!("Post /refunds amount=500&{rest}"));
        assert_eq!(shown(&create(&NewRefund { amount: None, ..new })), format!("Post /refunds {rest}"));
    }

    #[test]
    fn refunds_are_listed_by_their_payment() {
        assert_eq!(shown(&page("pi_1", None)), "Get /refunds limit=100&payment_intent=pi_1");
        assert_eq!(
            shown(&page("pi_1", Some("re_1"))),
            "Get /refunds limit=100&payment_intent=pi_1&starting_after=re_1"
        );
    }
}
