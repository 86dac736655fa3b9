//! Who pays, and what becomes of each: a fate is a life at Stripe that is written down in `history`.

use chrono::{DateTime, TimeDelta, Utc};
use shared::ids::UserId;
use shared::store::credits::{self, Trial};
use shared::store::users::{self, User};
use shared::store::{Tx, stripe_customers};

use crate::journeys::address;

/// What becomes of a payer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// Pays period after period.
    Steady,
    /// Changes the plan up and down each evening, and up today.
    Changer,
    /// Has a card that failed two weeks ago, and again yesterday; today it works.
    Forgetful,
    /// Has a card that fails since yesterday.
    Lost,
    /// Cancelled yesterday; today the period ends.
    Leaver,
    /// Cancels today; the period ends tomorrow.
    Parting,
    /// Was cancelled at once yesterday, and subscribes anew today.
    Returner,
    /// Did not pay after the trial, was given up by Stripe, and subscribed anew some days ago.
    Late,
}

/// The fates of ten payers, and so on.
pub(super) const FATES: [Fate; 10] = [
    Fate::Steady,
    Fate::Changer,
    Fate::Changer,
    Fate::Changer,
    Fate::Forgetful,
    Fate::Lost,
    Fate::Leaver,
    Fate::Parting,
    Fate::Returner,
    Fate::Late,
];

/// An account and what it has at Stripe.
#[derive(Debug)]
pub(super) struct Payer {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) fate: Fate,
    pub(super) customer: String,
    /// What is paid with.
    pub(super) method: String,
    /// The newest subscription; empty before the first.
    pub(super) subscription: String,
}

impl Payer {
    /// Opens the account here. Those who will always have a plan have a trial, which the plan ends.
    pub(super) async fn settle(&self, tx: &mut Tx, now: DateTime<Utc>) {
        assert!(users::insert(tx, &self.account(now)).await.expect("an account"));
        stripe_customers::put(tx, &self.customer, self.user, false, now).await.expect("a customer");
        if matches!(self.fate, Fate::Steady | Fate::Changer | Fate::Parting) {
            let (started_at, ends_at) = (now - TimeDelta::days(10), now + TimeDelta::days(20));
            let trial = Trial { started_at, ends_at, credits_total: 10, credits: 10 };
            assert!(credits::start_trial(tx, self.user, &trial).await.expect("a trial"));
        }
    }

    fn account(&self, now: DateTime<Utc>) -> User {
        User {
            id: self.user,
            email: address(&self.name),
            username: self.name.clone(),
            password_hash: "none".to_owned(),
            full_name: "Ada Lovelace".to_owned(),
            role: "professional".to_owned(),
            organization: None,
            student_id: None,
            employee_id: None,
            email_verified: true,
            mfa_enabled: false,
            disabled: false,
            mail_on_finish: false,
            mail_on_failure: true,
            mail_on_signin: true,
            created_at: now,
            deleted_at: None,
        }
    }
}
