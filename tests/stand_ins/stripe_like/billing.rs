//! How invoices come about and are paid.
//!
//! An invoice is finalised and tried at once; with Stripe those of a new period stay drafts for about an hour.

use super::AfterRetries;
use super::customers::invoice_prefix;
use super::every::DAY;
use super::form::Metadata;
use super::invoices::{Invoice, Line};
use super::methods::Verdict;
use super::subscriptions::Status;
use super::world::World;

/// How long after a failed payment the next is tried, and how often that is done.
const RETRY_AFTER: i64 = 3 * DAY;
const RETRIES: u32 = 3;

impl Invoice {
    /// Uses the customer's credit, or adds to it where the lines come to less than nothing.
    fn settle_balance(&mut self, balance: i64) {
        let total = self.total();
        let used = if total > 0 { total.min(-balance) } else { total };
        self.starting_balance = balance;
        self.ending_balance = Some(balance + used);
        self.due = total - used;
    }
}

impl World {
    /// An invoice as it would be made now; nothing is kept of it.
    pub(super) fn drafted(&self, serial: u64, reason: &'static str, lines: Vec<Line>, period: (i64, i64)) -> Invoice {
        let row = &self.subscriptions[serial];
        let mut invoice = Invoice {
            customer: row.customer,
            subscription: serial,
            status: "draft",
            reason,
            currency: self.prices[row.price].currency.clone(),
            lines,
            period,
            created: self.now,
            number: None,
            due: 0,
            starting_balance: 0,
            ending_balance: None,
            attempts: 0,
            next_attempt: None,
            payment: None,
            finalized_at: None,
            paid_at: None,
            voided_at: None,
        };
        invoice.settle_balance(self.customers[row.customer].balance);
        invoice
    }

    /// Keeps the invoice as the newest of its subscription. It stays a draft where nothing is tried any more.
    pub(super) fn issue(&mut self, invoice: Invoice) -> u64 {
        let serial = self.next_serial();
        let (customer, subscription) = (invoice.customer, invoice.subscription);
        self.invoices.add(serial, Some(customer), invoice);
        self.subscriptions[subscription].latest_invoice = Some(serial);
        self.note("invoice.created", self.invoice_json(serial));
        if self.subscriptions[subscription].status != Status::Unpaid {
            self.finalize(serial);
        }
        serial
    }

    /// Gives the invoice its number and asks for the money.
    pub(super) fn finalize(&mut self, serial: u64) {
        let now = self.now;
        let row = &mut self.invoices[serial];
        let customer = &mut self.customers[row.customer];
        row.settle_balance(customer.balance);
        customer.balance = row.ending_balance.unwrap_or(customer.balance);
        customer.numbered += 1;
        row.number = Some(format!("{}-{:04}", invoice_prefix(row.customer), customer.numbered));
        row.status = "open";
        row.finalized_at = Some(now);
        let (payer, due, currency) = (row.customer, row.due, row.currency.clone());
        if due > 0 {
            let payment = self.open_payment(Some(payer), due, currency, Metadata::new());
            self.invoices[serial].payment = Some(payment);
        }
        self.note("invoice.finalized", self.invoice_json(serial));
        if due == 0 {
            self.mark_paid(serial);
        }
    }

    /// What would come of a payment for the subscription now.
    pub(super) fn prospect(&self, serial: u64) -> Verdict {
        let row = &self.subscriptions[serial];
        self.verdict(row.customer, row.method.or(self.customers[row.customer].method))
    }

    /// Tries to have an invoice paid. One over nothing is paid already, and a draft is left alone.
    pub(super) fn collect(&mut self, serial: u64, verdict: Verdict) -> Verdict {
        let row = &mut self.invoices[serial];
        let (Some(payment), "open") = (row.payment, row.status) else {
            return if row.status == "paid" { Verdict::Paid } else { Verdict::NeedsAction };
        };
        row.attempts += 1;
        row.next_attempt = None;
        let (attempts, subscription) = (row.attempts, row.subscription);
        self.conclude(payment, verdict);
        if verdict == Verdict::Paid {
            self.mark_paid(serial);
            return verdict;
        }
        if self.subscriptions[subscription].status != Status::Incomplete && attempts <= RETRIES {
            let at = self.now + RETRY_AFTER;
            self.invoices[serial].next_attempt = Some(at);
            self.wake(at, serial);
        }
        self.mark_failed(serial, verdict);
        verdict
    }

    fn mark_paid(&mut self, serial: u64) {
        let now = self.now;
        let row = &mut self.invoices[serial];
        row.status = "paid";
        row.paid_at = Some(now);
        let customer = row.customer;
        self.customers[customer].delinquent = false;
        self.note("invoice.paid", self.invoice_json(serial));
        self.note("invoice.payment_succeeded", self.invoice_json(serial));
    }

    fn mark_failed(&mut self, serial: u64, verdict: Verdict) {
        let customer = self.invoices[serial].customer;
        self.customers[customer].delinquent = true;
        self.note("invoice.payment_failed", self.invoice_json(serial));
        if verdict == Verdict::NeedsAction {
            self.note("invoice.payment_action_required", self.invoice_json(serial));
        }
    }

    pub(super) fn void(&mut self, serial: u64) {
        let now = self.now;
        let row = &mut self.invoices[serial];
        row.status = "void";
        row.voided_at = Some(now);
        self.note("invoice.voided", self.invoice_json(serial));
    }

    /// Tries to have an invoice paid and lets the subscription follow.
    pub(super) fn charge(&mut self, invoice: u64, verdict: Verdict) {
        let subscription = self.invoices[invoice].subscription;
        let before = self.subscription_json(subscription);
        let verdict = self.collect(invoice, verdict);
        self.follow(invoice, verdict);
        if !self.subscriptions[subscription].status.ended() {
            self.note_updated(subscription, &before);
        }
    }

    /// Where a subscription stands after its newest invoice was tried; older invoices change nothing.
    pub(super) fn follow(&mut self, invoice: u64, verdict: Verdict) {
        let subscription = self.invoices[invoice].subscription;
        let given_up = self.invoices[invoice].next_attempt.is_none();
        let row = &mut self.subscriptions[subscription];
        if row.status.ended() || row.latest_invoice != Some(invoice) {
            return;
        }
        row.status = match (verdict, row.status) {
            (Verdict::Paid, _) => Status::Active,
            (_, unsettled @ (Status::Incomplete | Status::Unpaid)) => unsettled,
            _ if given_up && self.after_retries == AfterRetries::LeaveUnpaid => Status::Unpaid,
            _ => Status::PastDue,
        };
        let past_due = row.status == Status::PastDue;
        self.wake_subscription(subscription);
        if past_due && given_up {
            self.end_subscription(subscription, Some("payment_failed"));
        }
    }
}
