//! Which mails there should be, by the table of `docs/payments.md` and the stand-in, and which there are.

use std::collections::{BTreeMap, BTreeSet};

use super::bills::Bill;
use super::history::History;
use crate::journeys::address;
use crate::journeys::client::Mail;
use crate::stand_ins::stripe_like::Standing;

/// Whom a mail is for, of which kind it is, and the invoice that it names, if any.
type About = (String, String, String);

/// How many mails there are about each thing.
pub(super) type Mails = BTreeMap<About, usize>;

/// Words of the subject of each kind of mail.
const SUBJECTS: [(&str, &str); 6] = [
    ("plan is active", "payment_confirmed"),
    ("Payment received", "invoice_paid"),
    ("Payment failed", "payment_failed"),
    ("subscription was changed", "subscription_changed"),
    ("plan ends in", "subscription_ending"),
    ("plan has ended", "subscription_ended"),
];
/// What stands before the id of an invoice in the address of its page.
const PAGE: &str = "https://invoice.stand-in.example/i/";

/// The mails that should be sent, as the story goes on.
#[derive(Default)]
pub(super) struct Told {
    /// What each customer was last seen with.
    standings: BTreeMap<String, Standing>,
    /// Customers, and the kind of mail about a change of what they have.
    changes: Vec<(String, &'static str)>,
    /// Customers and their invoices that were seen to have failed.
    failed: BTreeSet<(String, String)>,
}

impl Told {
    /// Notes what is worth a mail about what is to be seen now.
    pub(super) fn look(&mut self, history: &History<'_>) {
        for (customer, is) in history.standings() {
            let was = self.standings.insert(customer.clone(), is.clone()).filter(|was| was.id == is.id);
            self.changes.extend(change(was.as_ref(), &is).map(|kind| (customer, kind)));
        }
        let failed = |bill: &Bill| bill.status == "open" && bill.attempts > 0 && history.is_news(bill.created);
        let failed = history.bills().into_iter().filter(failed);
        self.failed.extend(failed.map(|bill| (bill.customer, bill.id)));
    }

    /// All mails, now that the story is over.
    pub(super) fn all(self, history: &History<'_>) -> Mails {
        let addresses: BTreeMap<_, _> =
            history.payers.iter().map(|payer| (payer.customer.clone(), address(&payer.name))).collect();
        let mut mails = Mails::new();
        let mut expect = |customer: &str, kind: &str, invoice: String| {
            *mails.entry((addresses[customer].clone(), kind.to_owned(), invoice)).or_default() += 1;
        };
        for (customer, kind) in self.changes {
            expect(&customer, kind, String::new());
        }
        for (customer, invoice) in self.failed {
            expect(&customer, "payment_failed", invoice);
        }
        let is_first = |bill: &Bill| bill.reason == "subscription_create";
        let is_paid = |bill: &Bill| bill.paid > 0 && bill.paid_at.is_some_and(|at| history.is_news(at));
        for bill in history.bills().into_iter().filter(|bill| is_paid(bill) && !is_first(bill)) {
            expect(&bill.customer, "invoice_paid", bill.id);
        }
        for (customer, standing) in &self.standings {
            // Whoever has cancelled, with a period that ends tomorrow.
            if standing.status == "active" && standing.ends.is_some() {
                expect(customer, "subscription_ending", String::new());
            }
        }
        mails
    }
}

/// The mail about what a subscription has become; `was` is the same one before, if it was there.
fn change(was: Option<&Standing>, is: &Standing) -> Option<&'static str> {
    let entitles = |status: &str| matches!(status, "active" | "trialing" | "past_due");
    let facts = |standing: &Standing| (standing.status, standing.price.clone(), standing.ends.is_some());
    match was {
        None => (is.status == "active").then_some("payment_confirmed"),
        Some(was) if entitles(is.status) => (facts(was) != facts(is)).then_some("subscription_changed"),
        Some(was) => entitles(was.status).then_some("subscription_ended"),
    }
}

/// The mails that have arrived. A repeated delivery has the same Message-ID, and readers see one mail.
pub(super) fn arrived(mails: &[Mail]) -> Mails {
    let mut arrived = Mails::new();
    let mut seen = BTreeSet::new();
    for mail in mails.iter().filter(|mail| seen.insert(&mail.message_id)) {
        let kind = SUBJECTS.iter().find(|(words, _)| mail.subject.contains(*words)).map(|(_, kind)| *kind);
        let invoice = mail.text.split_once(PAGE).and_then(|(_, rest)| rest.split_whitespace().next());
        let kind = kind.unwrap_or(&mail.subject).to_owned();
        *arrived.entry((mail.to.clone(), kind, invoice.unwrap_or_default().to_owned())).or_default() += 1;
    }
    println!("{} mails were delivered again", mails.len() - seen.len());
    arrived
}

/// What there is too much and too little of.
pub(super) fn differences(expected: &Mails, arrived: &Mails) -> Vec<String> {
    let all: BTreeSet<_> = expected.keys().chain(arrived.keys()).collect();
    let counts = |key: &About| [expected, arrived].map(|mails: &Mails| mails.get(key).copied().unwrap_or_default());
    let different = all.into_iter().map(|key| (key, counts(key))).filter(|(_, [should, is])| should != is);
    different.map(|(key, [should, is])| format!("{key:?}: {is} instead of {should}")).collect()
}
