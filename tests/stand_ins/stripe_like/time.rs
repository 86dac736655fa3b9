//! What happens by itself as the clock moves: renewals, repeated payments, ends, and sessions that expire.

use serde_json::Value;

use super::subscriptions::Status;
use super::world::World;

impl World {
    /// Moves the clock to `at` and does on the way, in its order, what falls due.
    pub(super) fn move_to(&mut self, at: i64) {
        while let Some(&(due, serial)) = self.agenda.first()
            && due <= at
        {
            self.agenda.remove(&(due, serial));
            self.now = self.now.max(due);
            self.attend(serial);
        }
        self.now = at;
    }

    /// Looks at something whose time may have come; what was changed or ended meanwhile is left alone.
    fn attend(&mut self, serial: u64) {
        let now = self.now;
        if self.subscriptions.has(serial) {
            if self.subscriptions[serial].due().is_some_and(|due| due <= now) {
                self.turn(serial);
            }
        } else if self.invoices.has(serial) {
            let row = &self.invoices[serial];
            let subscription = row.subscription;
            if row.status == "open" && row.next_attempt.is_some_and(|due| due <= now) {
                self.charge(serial, self.prospect(subscription));
            }
        } else if self.sessions.has(serial) && self.sessions[serial].status == "open" {
            self.expire_session(serial);
        }
    }

    fn turn(&mut self, serial: u64) {
        let before = self.subscription_json(serial);
        let row = &self.subscriptions[serial];
        if row.status == Status::Incomplete {
            self.give_up_beginning(serial, &before);
        } else if row.ends().is_some_and(|at| at <= self.now) || !self.enter_phase(serial) {
            self.end_subscription(serial, None);
        } else {
            self.renew(serial, &before);
        }
    }

    /// Begins the next period and asks for its price.
    fn renew(&mut self, serial: u64, before: &Value) {
        let every = self.every(self.subscriptions[serial].price);
        let row = &mut self.subscriptions[serial];
        let former = row.period;
        row.turns += 1;
        row.period = (former.1, every.after(row.anchor, row.turns));
        if row.status == Status::Trialing {
            row.status = Status::Active;
        }
        let (terms, period, unpaid) = (row.terms(), row.period, row.status == Status::Unpaid);
        self.wake_subscription(serial);
        let line = self.whole_line(terms, period);
        let invoice = self.issue(self.drafted(serial, "subscription_cycle", vec![line], former));
        self.note_updated(serial, before);
        if !unpaid {
            self.charge(invoice, self.prospect(serial));
        }
    }

    /// Ends a subscription whose first payment never came.
    fn give_up_beginning(&mut self, serial: u64, before: &Value) {
        let now = self.now;
        let row = &mut self.subscriptions[serial];
        row.status = Status::IncompleteExpired;
        row.ended_at = Some(now);
        if let Some(invoice) = row.latest_invoice {
            self.void(invoice);
        }
        self.note_updated(serial, before);
    }
}
