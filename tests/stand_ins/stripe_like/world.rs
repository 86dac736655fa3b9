//! Everything that the stand-in knows: its clock, its objects, and what is due when.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::AfterRetries;
use super::catalogue::{Price, Product};
use super::checkout::Session;
use super::customers::Customer;
use super::events::{Cause, Event};
use super::invoices::Invoice;
use super::methods::Method;
use super::payments::Payment;
use super::refunds::Refund;
use super::schedules::Schedule;
use super::shelf::Shelf;
use super::subscriptions::Subscription;

/// The state of the stand-in.
pub(super) struct World {
    /// Unix seconds; they move only when the test says so.
    pub(super) now: i64,
    serial: u64,
    pub(super) cause: Option<Cause>,
    pub(super) customers: Shelf<Customer>,
    pub(super) methods: Shelf<Method>,
    pub(super) products: BTreeMap<String, Product>,
    pub(super) prices: Shelf<Price>,
    pub(super) subscriptions: Shelf<Subscription>,
    pub(super) schedules: Shelf<Schedule>,
    pub(super) invoices: Shelf<Invoice>,
    pub(super) payments: Shelf<Payment>,
    pub(super) refunds: Shelf<Refund>,
    pub(super) sessions: Shelf<Session>,
    pub(super) events: Shelf<Event>,
    /// Moments at which something has to be looked at, with its number. Entries that no longer hold do no harm.
    pub(super) agenda: BTreeSet<(i64, u64)>,
    /// Customers whose payments fail.
    pub(super) failing: HashSet<u64>,
    pub(super) after_retries: AfterRetries,
}

impl World {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            serial: 0,
            cause: None,
            customers: Shelf::new("cus_", "customer"),
            methods: Shelf::new("pm_", "PaymentMethod"),
            products: BTreeMap::new(),
            prices: Shelf::new("price_", "price"),
            subscriptions: Shelf::new("sub_", "subscription"),
            schedules: Shelf::new("sub_sched_", "subscription schedule"),
            invoices: Shelf::new("in_", "invoice"),
            payments: Shelf::new("pi_", "payment_intent"),
            refunds: Shelf::new("re_", "refund"),
            sessions: Shelf::new("cs_", "checkout.session"),
            events: Shelf::new("evt_", "event"),
            agenda: BTreeSet::new(),
            failing: HashSet::new(),
            after_retries: AfterRetries::Cancel,
        }
    }

    /// The number of the next object; each kind of object takes from the same counter.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Has the object with that number looked at when the clock reaches `at`.
    pub(super) fn wake(&mut self, at: i64, serial: u64) {
        self.agenda.insert((at, serial));
    }
}
