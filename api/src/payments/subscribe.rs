//! `POST /payments/subscribe`
//!
//! An account has one subscription at Stripe. So before one is made, a page that an earlier request led to is closed,
//! and then Stripe is asked what the customer has.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::domain::entitlement::Subscribed;
use shared::domain::money::{Currency, Money};
use shared::domain::payment::BillingCycle;
use shared::domain::plan::FieldError;
use shared::domain::tier::Tier;
use shared::store::users::{self, User};
use shared::store::{Tx, checkout_sessions, credits, stripe_customers};
use shared::stripe::objects::Item;
use shared::stripe::sync;
use shared::stripe::{CheckoutFor, NewCheckout, NewSubscription, StripeError};
use utoipa::ToSchema;

use super::at_stripe::{self, Customer};
use super::operation::{self, Operation, Stop, Work};
use super::plan::Plan;
use super::subscription::SubscriptionBody;
use crate::App;
use crate::error::{ApiError, ApiResult, Code};
use crate::extract::{Body, CurrentUser, is_name};
use crate::replay::{Answer, Key};

/// For how long somebody may take to pay on Stripe's page.
const CHECKOUT: TimeDelta = TimeDelta::hours(1);

/// What to subscribe to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeRequest {
    /// `student`, `employee` or `professional`.
    tier: Tier,
    /// For how long at a time.
    billing_cycle: BillingCycle,
    /// A payment method that was made with Stripe's library. Left out: it is asked for on a page of Stripe.
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9_]+$", example = "pm_1PgafuLkdIwHu7ixA8JfTJ2v")]
    payment_method: Option<String>,
}

/// A subscription that has begun, or where to pay for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Subscribing {
    /// The subscription as it is now; null until it is paid for on Stripe's page.
    subscription: Option<SubscriptionBody>,
    /// Stripe's page; null if there is nothing left to pay there.
    #[schema(format = "uri")]
    checkout_url: Option<String>,
    /// Until when the page is open.
    expires_at: Option<DateTime<Utc>>,
}

/// Subscribes to a plan, at the price of the tier table in US dollars: at once with a payment method, else as soon as
/// it is paid for on the page that the answer names.
#[utoipa::path(post, path = "/payments/subscribe", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    request_body = SubscribeRequest, responses(
    (status = 200, description = "The subscription, or where to pay for it", body = Subscribing),
    (status = 402, description = "The payment was declined, or the bank wants the payer to confirm it"),
    (status = 409, description = "Stripe bills a subscription already, or a plan runs that is not smaller; or a \
        request like this one is being worked on"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn subscribe(
    State(app): State<App>,
    current: CurrentUser,
    headers: HeaderMap,
    Body { value: request, fingerprint }: Body<SubscribeRequest>,
) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/subscribe", fingerprint)?;
    let work = request.checked(current.user, &app.services.config)?;
    operation::run(&app, key, work).await
}

/// A checked request.
struct Subscribe {
    user: User,
    plan: Plan,
    amount: Money,
    method: Option<String>,
}

/// What came of it.
enum Found {
    /// There is a subscription.
    Subscription(Box<sync::State>),
    /// There is a page where it is paid for.
    Checkout { customer: String, session: String, url: String, expires_at: DateTime<Utc> },
}

impl Work for Subscribe {
    type Found = Found;

    async fn ask(&self, operation: &Operation) -> Result<Found, Stop> {
        self.refuse_what_runs(operation).await?;
        let Customer { id: customer, is_new } = at_stripe::customer(operation, &self.user).await?;
        close_earlier_page(operation, &customer).await?;
        let price = at_stripe::price(operation, self.plan, self.amount).await?;
        let had = if is_new { Some(0) } else { self.had(operation, (&customer, &price)).await? };
        if let Some(had) = had {
            let Some(method) = &self.method else { return self.open_page(operation, (customer, &price)).await };
            self.pay(operation, (method, had), (&customer, &price)).await?;
        }
        let state = sync::read(&operation.services, &customer, false).await?;
        Ok(Found::Subscription(Box::new(state)))
    }

    async fn store(&self, operation: &Operation, tx: &mut Tx, found: Found) -> Result<Answer, Stop> {
        let body = match found {
            Found::Subscription(state) => {
                let subscription = at_stripe::settle(operation, tx, self.user.id, &state).await?;
                Subscribing { subscription: Some(subscription), checkout_url: None, expires_at: None }
            }
            Found::Checkout { customer, session, url, expires_at } => {
                // Closing an account closes the page that is noted; afterwards nobody gets to see one.
                let owner = users::lock(tx, self.user.id).await?.filter(|owner| owner.deleted_at.is_none());
                owner.ok_or_else(ApiError::unauthorized)?;
                checkout_sessions::set(tx, &customer, &session).await?;
                Subscribing { subscription: None, checkout_url: Some(url), expires_at: Some(expires_at) }
            }
        };
        Ok(Answer::json(StatusCode::OK, &body)?)
    }
}

impl Subscribe {
    /// Refuses where a plan that is not smaller is paid for already.
    async fn refuse_what_runs(&self, operation: &Operation) -> Result<(), Stop> {
        let mut reader = operation.services.db.read().await?;
        let Some(had) = credits::facts(&mut reader, self.user.id).await?.subscribed else { return Ok(()) };
        if had.is_billed() {
            // Without a customer in this mode it was begun in the other one, with keys that are not used any more. And it
            // may be the very one that this operation has made: Stripe is asked when that was.
            let customer = stripe_customers::get(&mut reader, self.user.id, operation.stripe.is_live()).await?;
            let may_go_on = customer.is_none() || operation.is_resumed();
            return if may_go_on { Ok(()) } else { Err(billed().into()) };
        }
        let had = had.subscription;
        if !had.runs(operation.now) || had.tier < self.plan.tier {
            return Ok(());
        }
        let end = had.current_period_end.to_rfc3339_opts(SecondsFormat::Secs, true);
        let detail = format!("Your {} plan runs until {end}; subscribe after that, or to a larger plan.", had.tier);
        Err(ApiError::new(Code::WrongState, detail).into())
    }

    /// How many subscriptions the customer has had, all of which are over. None: Stripe has just what is wanted, and we
    /// have not known of it when this was begun; refuses if it has anything else that is alive.
    async fn had(&self, operation: &Operation, (customer, price): (&str, &str)) -> Result<Option<usize>, Stop> {
        let all = operation.stripe.subscriptions(Some(customer)).await?;
        let Some(live) = all.iter().find(|one| one.is_live()) else { return Ok(Some(all.len())) };
        let mut tx = operation.services.db.begin().await?;
        let known = credits::facts(&mut tx, self.user.id).await?.subscribed.filter(Subscribed::is_billed);
        let is_news = known.is_none() || live.created >= operation.begun().timestamp();
        if is_news && live.item().and_then(Item::price) == Some(price) {
            return Ok(None);
        }
        stripe_customers::wake(&mut tx, customer, false, operation.now).await?;
        tx.commit().await?;
        operation.services.queue.wake().await;
        Err(billed().into())
    }

    async fn pay(
        &self,
        operation: &Operation,
        (method, had): (&str, usize),
        (customer, price): (&str, &str),
    ) -> Result<(), Stop> {
        let stripe = &operation.stripe;
        let attached = stripe.attach_payment_method(method, customer, &operation.key("method")).await;
        // Its name may be another one from then on.
        let method = attached.map_err(about_method)?.id;
        let new = NewSubscription { customer, price, payment_method: &method, user: self.user.id };
        // One that an earlier try has made, and that is over, is among those that the customer has had.
        let key = operation.key(&format!("subscription:{had}"));
        stripe.create_subscription(&new, &key).await.map_err(about_method)?;
        Ok(())
    }

    async fn open_page(&self, operation: &Operation, (customer, price): (String, &str)) -> Result<Found, Stop> {
        let (config, expires_at) = (&operation.services.config, operation.now + CHECKOUT);
        let new = NewCheckout {
            customer: &customer,
            what: CheckoutFor::Subscription,
            price,
            reference: &self.user.id.to_string(),
            user: self.user.id,
            success_url: &config.link("/payments/pricing?checkout=done"),
            cancel_url: &config.link("/payments/pricing?checkout=cancelled"),
            expires_at,
        };
        let session = operation.stripe.create_checkout(&new, &operation.try_key("checkout")).await?;
        let url = at_stripe::page_of(&session)?;
        Ok(Found::Checkout { customer, session: session.id, url, expires_at })
    }
}

/// Closes the page that an earlier request led to, so that nobody pays twice. One that cannot be closed has been paid
/// or is over: what came of it is seen among the customer's subscriptions.
async fn close_earlier_page(operation: &Operation, customer: &str) -> Result<(), Stop> {
    let mut reader = operation.services.db.read().await?;
    let session = checkout_sessions::get(&mut reader, customer).await?;
    drop(reader);
    let Some(session) = session else { return Ok(()) };
    match operation.stripe.expire_checkout(&session, &operation.key(&format!("expire:{session}"))).await {
        Ok(_) | Err(StripeError::Invalid { .. } | StripeError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is refused about a payment method is the client's to change.
fn about_method(error: StripeError) -> Stop {
    let is_method = match &error {
        StripeError::NotFound(_) => true,
        StripeError::Invalid { code, param, .. } => match param.as_deref() {
            None => true,
            // It is another one's.
            Some("customer") => code.as_deref() != Some("resource_missing"),
            Some(param) => param.contains("payment_method"),
        },
        _ => false,
    };
    if !is_method {
        return error.into();
    }
    let fault = FieldError::new("payment_method", "is none that Stripe takes for this account; make another one");
    ApiError::invalid(vec![fault]).into()
}

fn billed() -> ApiError {
    let detail = "Stripe bills a subscription of yours already; change it with POST /payments/change-plan.";
    ApiError::new(Code::WrongState, detail)
}

impl SubscribeRequest {
    fn checked(self, user: User, config: &Config) -> ApiResult<Subscribe> {
        let plan = Plan { tier: self.tier, cycle: self.billing_cycle };
        let amount = plan.price(&config.tiers, Currency::USD, "cannot be subscribed to")?;
        // It becomes a part of an address.
        if self.payment_method.as_deref().is_some_and(|method| !is_name(method)) {
            let fault = FieldError::new("payment_method", "must be 1 to 255 letters, digits and underscores");
            return Err(ApiError::invalid(vec![fault]));
        }
        Ok(Subscribe { user, plan, amount, method: self.payment_method })
    }
}
