//! A code that leads to a page of Stripe.

use axum::http::StatusCode;
use chrono::TimeDelta;
use shared::domain::money::Money;
use shared::domain::payment::Scheme;
use shared::ids::PaymentId;
use shared::store::users::User;
use shared::store::{Tx, payments};
use shared::stripe::{CheckoutFor, NewCheckout};

use super::QrBody;
use super::create::{payment, refuse};
use crate::payments::at_stripe;
use crate::payments::operation::{Operation, Stop, Work};
use crate::payments::plan::Plan;
use crate::replay::Answer;

/// For how long the page is open, if it is not closed before; Stripe has none that ends in less than 30 minutes. Money
/// that comes late is taken.
const PAGE: TimeDelta = TimeDelta::minutes(45);
/// A payment to ask for.
pub(super) struct ByStripe {
    /// Who pays.
    pub user: User,
    /// What for.
    pub plan: Plan,
    /// How much.
    pub amount: Money,
}

/// The page where it is made.
pub(super) struct Page {
    session: String,
    url: String,
}

impl Work for ByStripe {
    type Found = Page;

    async fn ask(&self, operation: &Operation) -> Result<Page, Stop> {
        let mut reader = operation.services.db.read().await?;
        refuse(&mut reader, (self.user.id, self.plan.tier), operation.now).await?;
        drop(reader);
        let customer = at_stripe::customer(operation, &self.user).await?.id;
        let price = at_stripe::price_once(operation, self.plan, self.amount).await?;
        let config = &operation.services.config;
        let new = NewCheckout {
            customer: &customer,
            what: CheckoutFor::Payment,
            price: &price,
            reference: &operation.id.to_string(),
            user: self.user.id,
            success_url: &config.link("/payments/pricing?checkout=done"),
            cancel_url: &config.link("/payments/pricing?checkout=cancelled"),
            expires_at: operation.now + PAGE,
        };
        let session = operation.stripe.create_checkout(&new, &operation.try_key("checkout")).await?;
        Ok(Page { url: at_stripe::page_of(&session)?, session: session.id })
    }

    /// The payment has the operation's id, which the page knows it by. Nobody knows the page before this is stored.
    async fn store(&self, operation: &Operation, tx: &mut Tx, page: Page) -> Result<Answer, Stop> {
        let id = PaymentId(operation.id.0);
        let asked_for = (self.plan, Scheme::Stripe, self.amount);
        let mut payment = payment((id, self.user.id), asked_for, page.url, operation.now);
        payment.stripe_id = Some(page.session);
        payments::insert(tx, &payment).await?;
        Ok(Answer::json(StatusCode::CREATED, &QrBody::new(&payment, &operation.services.config)?)?)
    }
}
