//! The page of Stripe where a customer was last sent to subscribe.

use shared::store::{checkout_sessions, stripe_customers};

use super::begin;
use crate::harness::engines::both_engines;

both_engines! {
    async fn the_last_page_of_each_customer_is_known(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        for (customer, user) in [("cus_ada", ada), ("cus_eve", eve)] {
            stripe_customers::put(&mut tx, customer, user, false, now).await.expect("a customer");
        }
        for customer in ["cus_ada", "cus_nobody"] {
            assert_eq!(checkout_sessions::get(&mut tx, customer).await.expect("an answer"), None, "{customer}");
        }
        for session in ["cs_1", "cs_2"] {
            checkout_sessions::set(&mut tx, "cus_ada", session).await.expect("a page");
            let known = checkout_sessions::get(&mut tx, "cus_ada").await.expect("an answer");
            assert_eq!(known.as_deref(), Some(session));
        }
        assert_eq!(checkout_sessions::get(&mut tx, "cus_eve").await.expect("an answer"), None);
    }
}
