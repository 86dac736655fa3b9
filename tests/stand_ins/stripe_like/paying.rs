//! What payers, customers and admins do at Stripe itself, beside our requests.

use super::form::Metadata;
use super::methods::Verdict;
use super::proration::Terms;
use super::subscribing::{Order, Unpaid};
use super::world::World;

/// How a session is paid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Means {
    /// The money is there at once.
    Card,
    /// The money comes later, or not at all.
    Slow,
}

impl World {
    /// Completes an open session; false where the payer's card is declined and the session stays open.
    pub(super) fn complete_session(&mut self, serial: u64, means: Means) -> bool {
        let row = &self.sessions[serial];
        assert!(row.status == "open", "{} is {}", self.sessions.id(serial), row.status);
        assert!(means == Means::Card || row.mode == "payment", "subscriptions are paid by card here");
        if row.customer.is_some_and(|customer| self.failing.contains(&customer)) {
            return false;
        }
        if row.mode == "payment" {
            self.take_payment(serial, means);
        } else {
            self.take_subscription(serial);
        }
        let row = &mut self.sessions[serial];
        row.status = "complete";
        row.payment_status = if means == Means::Card { "paid" } else { "unpaid" };
        self.note("checkout.session.completed", self.session_json(serial));
        true
    }

    fn take_payment(&mut self, serial: u64, means: Means) {
        let row = &self.sessions[serial];
        let (customer, amount) = (row.customer, row.amount);
        let (currency, metadata) = (row.currency.clone(), row.handed_on.clone());
        let payment = self.open_payment(customer, amount, currency, metadata);
        self.sessions[serial].payment = Some(payment);
        match means {
            Means::Card => self.conclude(payment, Verdict::Paid),
            Means::Slow => self.payments[payment].status = "processing",
        }
    }

    fn take_subscription(&mut self, serial: u64) {
        let row = &self.sessions[serial];
        let terms = Terms { price: row.price, quantity: row.quantity };
        let (metadata, email) = (row.handed_on.clone(), row.email.clone());
        let customer = row.customer;
        let customer = customer.unwrap_or_else(|| self.add_customer(email, None, Metadata::new()));
        let method = Some(self.attach_visa(customer));
        let order = Order { customer, terms, method, metadata, trial_days: 0 };
        let made = self.subscribe(order, Unpaid::Waits);
        let subscription = made.unwrap_or_else(|refusal| panic!("a card that pays was refused: {refusal:?}"));
        let row = &mut self.sessions[serial];
        (row.customer, row.subscription) = (Some(customer), Some(subscription));
    }

    /// Has the money of a slow payment come, or fail to come.
    pub(super) fn settle_session(&mut self, serial: u64, comes: bool) {
        let row = &self.sessions[serial];
        let payment = row.payment.filter(|_| row.payment_status == "unpaid");
        let payment = payment.unwrap_or_else(|| panic!("{} waits for no money", self.sessions.id(serial)));
        self.conclude(payment, if comes { Verdict::Paid } else { Verdict::Declined("generic_decline") });
        if comes {
            self.sessions[serial].payment_status = "paid";
            self.note("checkout.session.async_payment_succeeded", self.session_json(serial));
        } else {
            self.note("checkout.session.async_payment_failed", self.session_json(serial));
        }
    }

    /// The customer pays an invoice on its own page, with a card that pays.
    pub(super) fn pay_invoice(&mut self, serial: u64) {
        if self.invoices[serial].status == "draft" {
            self.finalize(serial);
        }
        self.charge(serial, Verdict::Paid);
    }
}
