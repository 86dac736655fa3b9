//! The hands of others: what payers, customers and admins do at Stripe itself, at a test's word. Names that nothing has
//! are a mistake of the test, which ends with them.

use super::changing::{Change, Wish};
use super::form::Metadata;
use super::paying::Means;
use super::proration::Terms;
use super::{StripeLike, known};

impl StripeLike {
    /// A payer completes the open session with a card; false where it is declined, which leaves the session open.
    pub fn pay_checkout(&self, session: &str) -> bool {
        self.complete(session, Means::Card)
    }

    /// The same, but Stripe takes another amount, as it does where prices are shown in the payer's own currency.
    pub fn pay_checkout_as(&self, session: &str, amount: i64, currency: &str) -> bool {
        self.shared.with(|state| {
            let serial = known(&state.world.sessions, session);
            let row = &mut state.world.sessions[serial];
            (row.amount, row.currency) = (amount, currency.to_owned());
        });
        self.complete(session, Means::Card)
    }

    /// A payer completes the open session in a way whose money comes later: see [`Self::settle_slow_payment`].
    pub fn begin_slow_payment(&self, session: &str) -> bool {
        self.complete(session, Means::Slow)
    }

    /// The money of a slow payment comes, or fails to come.
    pub fn settle_slow_payment(&self, session: &str, comes: bool) {
        self.act(|world| world.settle_session(known(&world.sessions, session), comes));
    }

    /// A customer pays an invoice on its own page, with a card that pays.
    pub fn pay_invoice(&self, invoice: &str) {
        self.act(|world| world.pay_invoice(known(&world.invoices, invoice)));
    }

    /// An admin gives back that much of a payment, in minor units; answers the id of the refund.
    pub fn refund_in_dashboard(&self, payment_intent: &str, amount: i64) -> String {
        self.act(|world| {
            let payment = known(&world.payments, payment_intent);
            let refund = world.refund(payment, Some(amount), None, Metadata::new());
            world.refunds.id(refund.unwrap_or_else(|refusal| panic!("stand-in: {refusal:?}")))
        })
    }

    /// The bank of a payer sends back what was given back.
    pub fn fail_refund(&self, refund: &str) {
        self.act(|world| world.fail_refund(known(&world.refunds, refund)));
    }

    /// An admin ends a subscription at once.
    pub fn cancel_in_dashboard(&self, subscription: &str) {
        self.act(|world| {
            let serial = known(&world.subscriptions, subscription);
            world.end_subscription(serial, Some("cancellation_requested"));
        });
    }

    /// The customer cancels in the portal for the end of the period: it sets `cancel_at`, not `cancel_at_period_end`.
    pub fn cancel_in_portal(&self, subscription: &str) {
        self.act(|world| {
            let serial = known(&world.subscriptions, subscription);
            let before = world.subscription_json(serial);
            let wish = Wish::At(Some(world.subscriptions[serial].period.1));
            world.apply_wish(serial, &wish);
            world.note_updated(serial, &before);
        });
    }

    /// An admin gives a subscription another price; the difference is invoiced at once.
    pub fn change_plan_in_dashboard(&self, subscription: &str, price: &str) {
        self.act(|world| {
            let serial = known(&world.subscriptions, subscription);
            let before = world.subscription_json(serial);
            let terms = Terms { price: known(&world.prices, price), ..world.subscriptions[serial].terms() };
            let change = Change { terms, invoiced: true, refused_unpaid: false, at: world.now };
            let changed = world.change_terms(serial, &change);
            changed.unwrap_or_else(|refusal| panic!("stand-in: {refusal:?}"));
            world.note_updated(serial, &before);
        });
    }

    fn complete(&self, session: &str, means: Means) -> bool {
        self.act(|world| world.complete_session(known(&world.sessions, session), means))
    }
}
