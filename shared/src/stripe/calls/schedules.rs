//! Changes of a subscription at the end of its period, for which Stripe has schedules of phases.
//!
//! A schedule is changed by telling all of its phases that are not over
//! (<https://docs.stripe.com/api/subscription_schedules/update>): the current one as it is, and then the next. What is
//! left out of a phase is taken away from the subscription, so the way to pay is told too.

use serde::Deserialize;
use stripe_billing::subscription_schedule::{
    CreateSubscriptionSchedule, ReleaseSubscriptionSchedule, RetrieveSubscriptionSchedule, UpdateSubscriptionSchedule,
    UpdateSubscriptionSchedulePhases, UpdateSubscriptionSchedulePhasesDuration,
    UpdateSubscriptionSchedulePhasesEndDate, UpdateSubscriptionSchedulePhasesItems,
    UpdateSubscriptionSchedulePhasesProrationBehavior, UpdateSubscriptionSchedulePhasesStartDate,
    UpdateSubscriptionScheduleProrationBehavior,
};
use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_product::price::RetrievePrice;
use stripe_shared::SubscriptionScheduleEndBehavior;

use super::id;
use crate::stripe::objects::{Object, Phase, PhaseItem, Schedule, Subscription};
use crate::stripe::transport::Stripe;
use crate::stripe::{StripeError, StripeResult};

/// How long a price is paid for, of which a phase is one.
#[derive(Debug, Deserialize)]
struct Period {
    recurring: Option<Recurring>,
}

#[derive(Debug, Deserialize)]
struct Recurring {
    interval: String,
}

impl Stripe {
    /// Changes what is paid for from the end of the current period on, instead of any other change that is planned. A
    /// schedule that the subscription has is used, also when an earlier attempt at this has made it.
    pub async fn schedule_price(&self, subscription: &Subscription, price: &str, key: &str) -> StripeResult<Object> {
        let request = RetrievePrice::new(id(price)?).build();
        let period: Period = self.read(request).await?;
        let schedule = match &subscription.schedule {
            Some(schedule) => self.schedule(&schedule.0).await?,
            None => self.change(create(&subscription.id), &format!("{key}:schedule")).await?,
        };
        self.change(update(&schedule, price, &period)?, &format!("{key}:phases")).await
    }

    /// A schedule.
    pub async fn schedule(&self, schedule: &str) -> StripeResult<Schedule> {
        let request = RetrieveSubscriptionSchedule::new(id(schedule)?).build();
        self.read(request).await
    }

    /// Takes a subscription out of its schedule: it stays as it is, and what was planned is not done.
    pub async fn release_schedule(&self, schedule: &str, key: &str) -> StripeResult<Object> {
        let request = ReleaseSubscriptionSchedule::new(id(schedule)?).build();
        self.change(request, key).await
    }
}

fn create(subscription: &str) -> RequestBuilder {
    CreateSubscriptionSchedule::new().from_subscription(subscription).build()
}

/// After the last phase the subscription goes on by itself. Nothing is charged or given back for a part of a period.
fn update(schedule: &Schedule, price: &str, period: &Period) -> StripeResult<RequestBuilder> {
    let current = schedule.current();
    let current = current.ok_or_else(|| StripeError::Unreadable("the schedule has no phases".to_owned()))?;
    let request = UpdateSubscriptionSchedule::new(id(&schedule.id)?)
        .end_behavior(SubscriptionScheduleEndBehavior::Release)
        .phases([kept(current), next(current, price, period)])
        .proration_behavior(UpdateSubscriptionScheduleProrationBehavior::None);
    Ok(request.build())
}

/// The current phase as it is.
fn kept(current: &Phase) -> UpdateSubscriptionSchedulePhases {
    let item = |item: &PhaseItem| UpdateSubscriptionSchedulePhasesItems {
        price: item.price().map(str::to_owned),
        quantity: item.quantity,
        ..Default::default()
    };
    UpdateSubscriptionSchedulePhases {
        start_date: Some(UpdateSubscriptionSchedulePhasesStartDate::Timestamp(current.start_date)),
        end_date: current.end_date.map(UpdateSubscriptionSchedulePhasesEndDate::Timestamp),
        ..phase(current, current.items.iter().map(item).collect())
    }
}

/// One period of the price that comes next.
fn next(current: &Phase, price: &str, period: &Period) -> UpdateSubscriptionSchedulePhases {
    let item = UpdateSubscriptionSchedulePhasesItems { price: Some(price.to_owned()), ..Default::default() };
    let duration = period.recurring.as_ref().map(|recurring| {
        let Ok(interval) = recurring.interval.parse();
        UpdateSubscriptionSchedulePhasesDuration { interval, interval_count: Some(1) }
    });
    UpdateSubscriptionSchedulePhases { duration, ..phase(current, vec![item]) }
}

fn phase(current: &Phase, items: Vec<UpdateSubscriptionSchedulePhasesItems>) -> UpdateSubscriptionSchedulePhases {
    UpdateSubscriptionSchedulePhases {
        default_payment_method: current.default_payment_method.as_ref().map(|method| method.0.clone()),
        proration_behavior: Some(UpdateSubscriptionSchedulePhasesProrationBehavior::None),
        ..UpdateSubscriptionSchedulePhases::new(items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shown;
    use super::*;

    fn updated(method: Option<&str>, interval: Option<&str>) -> String {
        let phase = json!({
            "start_date": 100, "end_date": 200, "default_payment_method": method,
            "items": [{"price": "price_1", "quantity": 1}],
        });
        let schedule = serde_json::from_value(json!({"id": "sub_sched_1", "phases": [phase]})).unwrap();
        let recurring = interval.map(|interval| Recurring { interval: interval.to_owned() });
        shown(&update(&schedule, "price_2", &Period { recurring }).unwrap())
    }

    #[test]
    fn a_schedule_is_made_of_a_subscription() {
        assert_eq!(shown(&create("sub_1")), "Post /subscription_schedules from_subscription=sub_1");
    }

    #[test]
    fn the_current_phase_is_kept_and_the_next_is_one_period_of_the_new_price() {
        assert_eq!(
            updated(None, Some("month")),
            "Post /subscription_schedules/sub_sched_1 end_behavior=release\
             &phases[0][end_date]=200&phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=1\
             &phases[0][proration_behavior]=none&phases[0][start_date]=100\
             &phases[1][duration][interval]=month&phases[1][duration][interval_count]=1\
             &phases[1][items][0][price]=price_2&phases[1][proration_behavior]=none&proration_behavior=none"
        );
    }

    #[test]
    fn both_phases_keep_the_way_to_pay() {
        assert_eq!(
            updated(Some("pm_1"), None),
            "Post /subscription_schedules/sub_sched_1 end_behavior=release&phases[0][default_payment_method]=pm_1\
             &phases[0][end_date]=200&phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=1\
             &phases[0][proration_behavior]=none&phases[0][start_date]=100&phases[1][default_payment_method]=pm_1\
             &phases[1][items][0][price]=price_2&phases[1][proration_behavior]=none&proration_behavior=none"
        );
    }
}
