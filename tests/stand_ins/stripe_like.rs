//! Our own stand-in for the parts of Stripe that no independent counterpart has: subscriptions with prices through all
//! their states, prorations, schedules, Checkout, refunds, a list of events in pages, idempotency, and faults.
//!
//! It is not Stripe: it was written by us from Stripe's published description (version 2026-09-30.endive), so what
//! passes against it still has to be tried with test keys. It listens on a free port in the test's process, wants
//! `Authorization: Bearer` with [`SECRET_KEY`] and a `Stripe-Version`, refuses parameters that it does not know, and is
//! the same each time: ids are counted (`cus_1`, `sub_2`), and its clock moves only when the test says so. For one more
//! call add a line to `routes.rs` and a function to the module of its object.
//!
//! As Stripe does, though one might not expect it: an idempotency key has no effect with DELETE, and what is cancelled
//! cannot be cancelled again (404), so a repeated DELETE may answer 404. A card that declines is refused when it is
//! attached; see `methods` for the one that declines later. The customer portal sets `cancel_at`. A subscription with a
//! schedule has its cancellation changed in the schedule only. An id in a parameter that names nothing is 400, not 404.
//!
//! Simpler than Stripe:
//! - A subscription has one item, a session one line; the phases of a schedule change only at the end of the period.
//! - What a changed price costs is invoiced now (`always_invoice`) or not at all (`none`); there are no pending items,
//!   taxes, coupons, usage, test clocks or connected accounts, and cancelling at once gives nothing back.
//! - Invoices of a new period are finalised and tried at once, not an hour later. A failed one is tried again after 3,
//!   6 and 9 days; then the subscription is cancelled, or left unpaid where the test says so.
//! - Payments and refunds succeed or fail at once, unless a bank sends a refund back at the test's word; and a card
//!   either pays, is declined, or asks the customer to act.
//!   The order of the events of one change is our own; with Stripe none is promised.
//! - A refused subscription leaves no trace, where Stripe may show a failed payment.
//! - Nothing is ever in progress for others: what is slow is done first and answered late. A 500 that a test orders is
//!   kept under its key and has done nothing; other ordered failures are not kept.
//! - `cancel_at_period_end=false` takes back only what `cancel_at_period_end=true` set, an empty `cancel_at` only what
//!   `cancel_at` (or the customer portal) set. Stripe may be more generous; who sends what fits is right with both.
//! - Events keep no record of deliveries; the test itself signs them and sends them on.

mod billing;
mod catalogue;
mod changing;
mod checkout;
mod customers;
mod events;
mod every;
mod expand;
mod fault;
mod form;
mod hands;
mod invoices;
mod lists;
mod methods;
mod paying;
mod payments;
mod phases;
mod proration;
mod refunds;
mod refusal;
mod respond;
mod routes;
mod schedules;
mod seen;
mod serve;
mod shape;
mod shelf;
mod subscribing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod time;
mod world;

use shared::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use self::fault::Fault;
use self::respond::State;
pub use self::seen::{Happened, Standing};
use self::serve::Shared;
use self::shelf::Shelf;
use self::world::World;

/// The only key that it lets in.
pub const SECRET_KEY: &str = "sk_test_stand_in";

/// The version of Stripe's interface whose shapes it shows.
const API_VERSION: &str = "2026-09-30.endive";

/// What becomes of a subscription whose invoice stays unpaid after the last try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AfterRetries {
    /// It is cancelled, which is Stripe's default.
    Cancel,
    /// It goes on as `unpaid`, and the invoices of its next periods stay drafts.
    LeaveUnpaid,
}

/// The running stand-in; it stops when dropped. It lives in the runtime of the test that started it.
pub struct StripeLike {
    base_url: String,
    shared: Shared,
    serving: AbortHandle,
}

impl StripeLike {
    /// Starts it on a free port of 127.0.0.1 with the machine's present time.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("stand-in: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("stand-in: {error}"));
        let shared = Shared::new(State::new(Clock::System.now().timestamp()));
        let serving = tokio::spawn(serve::serve(listener, shared.clone())).abort_handle();
        Self { base_url: format!("http://{address}"), shared, serving }
    }

    /// Its address without a slash at the end; calls are below `/v1/`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Its clock; unix seconds.
    pub fn now(&self) -> i64 {
        self.shared.with(|state| state.world.now)
    }

    /// Sets its clock and does what falls due on the way there; a clock that is set back undoes nothing.
    pub fn set_now(&self, at: i64) {
        self.shared.with(|state| state.world.move_to(at));
    }

    /// Moves its clock on and does what falls due: periods are renewed, invoices tried, sessions expire.
    pub fn advance(&self, seconds: i64) {
        self.shared.with(|state| state.world.move_to(state.world.now + seconds));
    }

    /// From now on all payments of the customer are declined, or none is any more.
    pub fn fail_payments(&self, customer: &str, fail: bool) {
        self.shared.with(|state| {
            let customer = known(&state.world.customers, customer);
            if fail { state.world.failing.insert(customer) } else { state.world.failing.remove(&customer) }
        });
    }

    /// What becomes of subscriptions whose invoice stays unpaid after the last try.
    pub fn after_retries(&self, what: AfterRetries) {
        self.shared.with(|state| state.world.after_retries = what);
    }

    /// The next `times` requests go wrong whose path begins with `prefix`; before it can stand a method, as in
    /// `POST /v1/subscriptions`. Faults are used up in the order in which they were ordered.
    pub fn next(&self, fault: Fault, times: usize, prefix: &str) {
        self.shared.with(|state| state.faults.order(fault, times, prefix));
    }

    /// Lets so many answers go that were or will be held: see [`Fault::Held`].
    pub fn let_go(&self, answers: usize) {
        self.shared.open(answers);
    }

    fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(|state| act(&mut state.world))
    }
}

impl Drop for StripeLike {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn known<T>(shelf: &Shelf<T>, id: &str) -> u64 {
    shelf.at(id).unwrap_or_else(|refusal| panic!("stand-in: {refusal:?}"))
}
