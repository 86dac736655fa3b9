//! What a changed price costs now: credit for the time that was paid and not used, and the new price for that time.

use super::invoices::Line;
use super::subscriptions::Subscription;
use super::world::World;

/// The price and quantity that a subscription is to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Terms {
    pub(super) price: u64,
    pub(super) quantity: i64,
}

impl World {
    /// Minor units for one whole period.
    pub(super) fn cost(&self, terms: Terms) -> i64 {
        self.prices[terms.price].unit_amount * terms.quantity
    }

    /// Whether periods start anew because the new price is paid at other intervals.
    pub(super) fn restarts(&self, row: &Subscription, terms: Terms) -> bool {
        self.every(row.price) != self.every(terms.price)
    }

    /// The line for one whole period.
    pub(super) fn whole_line(&self, terms: Terms, period: (i64, i64)) -> Line {
        let amount = self.cost(terms);
        Line { amount, text: format!("{} x {}", terms.quantity, self.name(terms)), terms, period, proration: false }
    }

    /// The lines of the invoice that the change makes at `now`; none where nothing changes or during a trial.
    pub(super) fn change_lines(&self, row: &Subscription, terms: Terms, now: i64) -> Vec<Line> {
        let former = row.terms();
        if former == terms || row.trial.is_some_and(|trial| now < trial.1) {
            return Vec::new();
        }
        let rest = (now, row.period.1);
        let line = |amount: i64, what: &str, terms: Terms| {
            let text = format!("{what} {}", self.name(terms));
            Line { amount, text, terms, period: rest, proration: true }
        };
        let credit = line(-share(self.cost(former), rest, row.period), "Unused time on", former);
        if self.restarts(row, terms) {
            let whole = (now, self.every(terms.price).after(now, 1));
            return vec![credit, self.whole_line(terms, whole)];
        }
        vec![credit, line(share(self.cost(terms), rest, row.period), "Remaining time on", terms)]
    }

    fn name(&self, terms: Terms) -> String {
        self.prices[terms.price].lookup_key.clone().unwrap_or_else(|| self.prices.id(terms.price))
    }
}

/// The part of `amount` that falls on `rest`, to the nearest minor unit.
fn share(amount: i64, rest: (i64, i64), whole: (i64, i64)) -> i64 {
    let (rest, whole) = (i128::from(rest.1 - rest.0), i128::from(whole.1 - whole.0));
    ((i128::from(amount) * rest * 2 + whole) / (whole * 2)) as i64
}
