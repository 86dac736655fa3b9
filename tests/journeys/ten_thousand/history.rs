//! What happens at Stripe, in 24 days that end now.
//!
//! Most prices are paid by the day, where ours are by the month: so each payer has dozens of periods within the thirty
//! days for which Stripe lists events. No mail is sent about what is more than seven days old, so nothing happens
//! within an hour of that age.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::clock::Clock;
use shared::domain::money::Currency;
use shared::domain::payment::BillingCycle;
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::store::Db;
use shared::store::stripe_prices::{self, Sold};
use shared::stripe::inbox::KINDS;

use super::bills::Bill;
use super::payers::{FATES, Fate, Payer};
use crate::stand_ins::stripe_like::{Happened, SECRET_KEY, Standing, StripeLike};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// How many days ago the first payer subscribes.
const DAYS: i64 = 24;

/// What is sold, each with the interval and the amount of its price at Stripe.
const SOLD: [(Tier, &str, i64); 3] =
    [(Tier::Student, "day", 999), (Tier::Employee, "day", 2_999), (Tier::Professional, "month", 9_999)];
const STUDENT: usize = 0;
const EMPLOYEE: usize = 1;
const PROFESSIONAL: usize = 2;

/// A part of the story.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// Until two days ago.
    Past,
    Yesterday,
    Today,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Past, Self::Yesterday, Self::Today];
}

/// The stand-in and its payers.
pub(super) struct History<'a> {
    stripe: &'a StripeLike,
    http: reqwest::Client,
    /// The present; unix seconds.
    today: i64,
    prices: Vec<String>,
    pub(super) payers: Vec<Payer>,
    /// How many events are no news any more.
    old: usize,
}

impl<'a> History<'a> {
    /// Prices, and payers who have not subscribed yet.
    pub(super) async fn begin(stripe: &'a StripeLike, payers: usize) -> Self {
        let (today, http) = (stripe.now(), reqwest::Client::builder().no_proxy().build().expect("a client"));
        stripe.set_now(today - (DAYS + 1) * DAY);
        let mut history = Self { stripe, http, today, prices: Vec::new(), payers: Vec::new(), old: 0 };
        for (tier, interval, amount) in SOLD {
            let body = format!(
                "currency=usd&unit_amount={amount}&recurring[interval]={interval}&product_data[name]={tier}\
                 &lookup_key=autoos:{tier}:monthly:usd:{amount}"
            );
            let price = history.make("/v1/prices", &body).await;
            history.prices.push(price);
        }
        for number in 0..payers {
            let payer = history.payer(number).await;
            history.payers.push(payer);
        }
        history
    }

    async fn payer(&self, number: usize) -> Payer {
        let name = format!("payer-{number:03}");
        let customer = self.make("/v1/customers", &format!("email={name}@example.com")).await;
        let card = "/v1/payment_methods/pm_card_visa/attach";
        let method = self.make(card, &format!("customer={customer}")).await;
        let (user, fate) = (UserId::new(Clock::System.now()), FATES[number % FATES.len()]);
        Payer { user, name, fate, customer, method, subscription: String::new() }
    }

    /// The id of what was made.
    async fn make(&self, path: &str, body: &str) -> String {
        let request = self.http.post(format!("{}{path}", self.stripe.base_url())).bearer_auth(SECRET_KEY);
        let request = request.header("Stripe-Version", "2026-09-30.endive").body(body.to_owned());
        let made: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        made["id"].as_str().unwrap_or_else(|| panic!("{path}: {made}")).to_owned()
    }

    /// Has the program know the payers and what is sold.
    pub(super) async fn settle(&self, db: &Db) {
        let now = Clock::System.now();
        let mut tx = db.begin().await.expect("a transaction");
        for (price, (tier, _, amount)) in self.prices.iter().zip(SOLD) {
            let (price, billing_cycle, currency) = (price.clone(), BillingCycle::Monthly, Currency::USD);
            let sold = Sold { price, tier, billing_cycle, amount, currency, livemode: false };
            stripe_prices::put(&mut tx, &sold, now).await.expect("a price");
        }
        for payer in &self.payers {
            payer.settle(&mut tx, now).await;
        }
        tx.commit().await.expect("a commit");
    }

    /// A time before anybody subscribes, and no longer ago than missed events are asked for.
    pub(super) fn before_all(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.ago(DAYS) - 12 * HOUR, 0).expect("a time")
    }

    fn ago(&self, days: i64) -> i64 {
        self.today - days * DAY
    }

    /// Has a part of the story happen.
    pub(super) async fn go_on(&mut self, part: Part) {
        match part {
            Part::Past => self.past().await,
            Part::Yesterday => self.yesterday(),
            Part::Today => self.today().await,
        }
    }

    async fn past(&mut self) {
        let count = self.payers.len();
        for number in 0..count {
            self.stripe.set_now(self.ago(DAYS) + 2 * HOUR + 19 * HOUR * number as i64 / count as i64);
            let is_late = self.payers[number].fate == Fate::Late;
            let (price, trial_days) = if is_late { (PROFESSIONAL, 5) } else { (STUDENT, 0) };
            self.subscribe(number, price, trial_days).await;
        }
        for day in (3..=DAYS).rev() {
            self.stripe.set_now(self.ago(day) + 23 * HOUR);
            for number in 0..count {
                self.evening(number, day).await;
            }
        }
        self.stripe.set_now(self.ago(2));
    }

    /// What a payer, or the card, does in the evening so many days ago.
    async fn evening(&mut self, number: usize, day: i64) {
        let payer = &self.payers[number];
        match (payer.fate, day) {
            (Fate::Changer, _) => self.change(payer, if day % 2 == 0 { EMPLOYEE } else { STUDENT }),
            (Fate::Forgetful, 16) | (Fate::Late, 20) => self.stripe.fail_payments(&payer.customer, true),
            (Fate::Forgetful, 14) => self.stripe.fail_payments(&payer.customer, false),
            (Fate::Late, 6) => {
                self.stripe.fail_payments(&payer.customer, false);
                self.subscribe(number, STUDENT, 0).await;
            }
            _ => {}
        }
    }

    /// Everybody has one change that is worth a mail, if any: the program may look at any moment.
    fn yesterday(&self) {
        for payer in &self.payers {
            if matches!(payer.fate, Fate::Forgetful | Fate::Lost) {
                self.stripe.fail_payments(&payer.customer, true);
            }
        }
        self.stripe.set_now(self.ago(1));
        for payer in &self.payers {
            match payer.fate {
                Fate::Leaver => self.stripe.cancel_in_portal(&payer.subscription),
                Fate::Returner => self.stripe.cancel_in_dashboard(&payer.subscription),
                _ => {}
            }
        }
    }

    /// The same.
    async fn today(&mut self) {
        for payer in self.payers.iter().filter(|payer| payer.fate == Fate::Forgetful) {
            self.stripe.fail_payments(&payer.customer, false);
        }
        self.stripe.set_now(self.today);
        for number in 0..self.payers.len() {
            let payer = &self.payers[number];
            match payer.fate {
                Fate::Changer => self.change(payer, EMPLOYEE),
                Fate::Parting => self.stripe.cancel_in_portal(&payer.subscription),
                Fate::Returner => self.subscribe(number, STUDENT, 0).await,
                _ => {}
            }
        }
    }

    async fn subscribe(&mut self, number: usize, price: usize, trial_days: i64) {
        let Payer { customer, method, .. } = &self.payers[number];
        let body = format!(
            "customer={customer}&items[0][price]={}&default_payment_method={method}\
             &payment_behavior=error_if_incomplete&trial_period_days={trial_days}",
            self.prices[price]
        );
        let subscription = self.make("/v1/subscriptions", &body).await;
        self.payers[number].subscription = subscription;
    }

    fn change(&self, payer: &Payer, price: usize) {
        self.stripe.change_plan_in_dashboard(&payer.subscription, &self.prices[price]);
    }

    /// What has happened since this was asked for the last time, as far as the webhook is subscribed to it.
    pub(super) fn news(&mut self) -> Vec<Happened> {
        let news = self.stripe.events_after(self.old);
        self.old += news.len();
        news.into_iter().filter(|event| KINDS.contains(&event.kind)).collect()
    }

    /// The subscription of each customer that counts: one that is paid for, of those the newest.
    pub(super) fn standings(&self) -> BTreeMap<String, Standing> {
        let rank = |standing: &Standing| match standing.status {
            "active" | "trialing" => 3,
            "past_due" => 2,
            _ => 1,
        };
        let all = self.stripe.subscriptions().into_iter();
        // Of equals the last is taken, and they come oldest first.
        all.filter_map(|(customer, standings)| Some((customer, standings.into_iter().max_by_key(rank)?))).collect()
    }

    /// How many customers have a subscription that has not ended.
    pub(super) fn billed(&self) -> usize {
        self.standings().values().filter(|standing| standing.status != "canceled").count()
    }

    /// What a price buys.
    pub(super) fn tier(&self, price: &str) -> Option<Tier> {
        self.prices.iter().position(|known| known == price).map(|place| SOLD[place].0)
    }

    /// All invoices.
    pub(super) fn bills(&self) -> Vec<Bill> {
        self.stripe.invoices().iter().map(Bill::read).collect()
    }

    /// Whether something is so new that a mail is sent about it.
    pub(super) fn is_news(&self, at: i64) -> bool {
        at > self.ago(7)
    }
}
