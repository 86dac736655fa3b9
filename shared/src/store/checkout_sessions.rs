//! The page of Stripe where a customer was last sent to subscribe. It is closed before the customer subscribes in
//! another way or is sent to another page, so that nobody pays for two subscriptions.

use super::{StoreResult, Tx};

/// The page's session, if there ever was one.
pub async fn get(tx: &mut Tx, customer: &str) -> StoreResult<Option<String>> {
    let sql = "select checkout_session from stripe_customers where customer = $1";
    let session: Option<Option<String>> =
        on!(tx, |c| sqlx::query_scalar(sql).bind(customer).fetch_optional(&mut *c).await?);
    Ok(session.flatten())
}

/// Notes the session of the page.
pub async fn set(tx: &mut Tx, customer: &str, session: &str) -> StoreResult<()> {
    let sql = "update stripe_customers set checkout_session = $2 where customer = $1";
    on!(tx, |c| sqlx::query(sql).bind(customer).bind(session).execute(&mut *c).await?.rows_affected());
    Ok(())
}
