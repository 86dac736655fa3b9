//! What is asked of Stripe, one function for each call, by what it is about.
//!
//! To add a call: build its request of async-stripe's type in a function of its own, so that a test can look at it, and
//! send it with `read`, `change` or `list`. Whatever becomes part of a path goes through [`id`]. A change takes the
//! idempotency key from its caller; where one function makes several changes, each has a key of its own below that.

mod checkout;
mod customers;
mod events;
mod invoices;
mod portal;
mod prices;
mod refunds;
mod schedules;
mod subscriptions;

use std::collections::HashMap;

use uuid::Uuid;

pub use self::checkout::{CheckoutFor, NewCheckout};
pub use self::customers::NewCustomer;
pub use self::prices::{NewPrice, lookup_key, lookup_key_once};
pub use self::refunds::NewRefund;
pub use self::subscriptions::NewSubscription;
use super::error::{StripeError, StripeResult};
use crate::domain::money::Currency;

/// The longest id that Stripe makes.
const MAX_ID: usize = 255;

/// An id as a part of a path. People name ways to pay, and none of them may name another path.
fn id(text: &str) -> StripeResult<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text)
    } else {
        Err(StripeError::NotFound("that is not an id".to_owned()))
    }
}

/// One thing that we write on an object. One only: of several the order would change from call to call.
fn metadata(name: &str, value: Uuid) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), value.to_string())])
}

fn currency(currency: Currency) -> stripe_types::Currency {
    let Ok(currency) = currency.code().to_ascii_lowercase().parse::<stripe_types::Currency>();
    currency
}

/// A request as tests look at it.
#[cfg(test)]
fn shown(request: &stripe_client_core::RequestBuilder) -> String {
    let sent = request.body.as_ref().or(request.query.as_ref());
    format!("{:?} {} {}", request.method, request.path, sent.map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_to_another_path() {
        for good in ["pm_1Nv0FGQ9RKHgCVdK", "cs_test_a1", "sub_sched_1", "pm-1"] {
            assert_eq!(id(good), Ok(good));
        }
        let long = "a".repeat(MAX_ID + 1);
        for bad in ["", ".", "..", "pm_1/detach", "pm_1?x=1", "pm_1#", "pm_1%2F", "pm 1", "pm_ä", &long] {
            assert!(matches!(id(bad), Err(StripeError::NotFound(_))), "{bad}");
        }
    }

    #[test]
    fn currencies_are_written_small() {
        assert_eq!(currency(Currency::INR), stripe_types::Currency::INR);
        let unheard_of: Currency = "qqq".parse().unwrap();
        assert_eq!(currency(unheard_of), stripe_types::Currency::Unknown("qqq".to_owned()));
    }
}
