//! The calls that the stand-in knows: one line each, with the parameters it takes.

use serde_json::Value;

use super::form::Params;
use super::lists::PAGING;
use super::refusal::Refusal;
use super::world::World;
use super::{catalogue, changing, checkout, customers, events, invoices, methods, payments, refunds};
use super::{schedules, subscribing, subscriptions};

/// What comes of a call: the object to answer with.
pub(super) type Outcome = Result<Value, Refusal>;

type Run = fn(&mut World, &str, &Params) -> Outcome;

/// One call.
pub(super) struct Route {
    method: &'static str,
    /// Below `/v1/`; `*` stands for the id.
    path: &'static str,
    params: &'static [&'static str],
    /// Whether it takes the parameters of a list besides.
    paged: bool,
    pub(super) run: Run,
}

const fn get(path: &'static str, run: Run) -> Route {
    Route { method: "GET", path, params: &[], paged: false, run }
}

const fn list(path: &'static str, params: &'static [&'static str], run: Run) -> Route {
    Route { method: "GET", path, params, paged: true, run }
}

const fn post(path: &'static str, params: &'static [&'static str], run: Run) -> Route {
    Route { method: "POST", path, params, paged: false, run }
}

const fn delete(path: &'static str, params: &'static [&'static str], run: Run) -> Route {
    Route { method: "DELETE", path, params, paged: false, run }
}

const ROUTES: &[Route] = &[
    post("customers", customers::CREATE, customers::create),
    list("customers", customers::LIST, customers::list),
    get("customers/*", customers::get),
    post("customers/*", customers::UPDATE, customers::update),
    post("products", catalogue::CREATE_PRODUCT, catalogue::create_product),
    get("products/*", catalogue::get_product),
    post("prices", catalogue::CREATE_PRICE, catalogue::create_price),
    list("prices", catalogue::LIST_PRICES, catalogue::list_prices),
    get("prices/*", catalogue::get_price),
    post("payment_methods/*/attach", methods::ATTACH, methods::attach),
    post("subscriptions", subscribing::CREATE, subscribing::create),
    list("subscriptions", subscriptions::LIST, subscriptions::list),
    get("subscriptions/*", subscriptions::get),
    post("subscriptions/*", changing::UPDATE, changing::update),
    delete("subscriptions/*", changing::CANCEL, changing::cancel),
    post("subscription_schedules", schedules::CREATE, schedules::create),
    get("subscription_schedules/*", schedules::get),
    post("subscription_schedules/*", schedules::UPDATE, schedules::update),
    post("subscription_schedules/*/release", &[], schedules::release),
    post("invoices/create_preview", invoices::PREVIEW, invoices::preview),
    list("invoices", invoices::LIST, invoices::list),
    get("invoices/*", invoices::get),
    get("payment_intents/*", payments::get),
    get("charges/*", payments::get_charge),
    post("checkout/sessions", checkout::CREATE, checkout::create),
    list("checkout/sessions", checkout::LIST, checkout::list),
    get("checkout/sessions/*", checkout::get),
    post("checkout/sessions/*/expire", &[], checkout::expire),
    post("billing_portal/sessions", checkout::PORTAL, checkout::portal),
    post("refunds", refunds::CREATE, refunds::create),
    list("refunds", refunds::LIST, refunds::list),
    get("refunds/*", refunds::get),
    list("events", events::LIST, events::list),
    get("events/*", events::get),
];

impl Route {
    /// Refuses parameters that the call does not take.
    pub(super) fn check(&self, params: &Params) -> Result<(), Refusal> {
        let paging: &[&str] = if self.paged { &PAGING } else { &[] };
        params.only(&[self.params, paging].concat())
    }
}

/// The call that a request makes, and the id in its path, empty where there is none.
pub(super) fn find<'a>(method: &str, path: &'a str) -> Option<(&'static Route, &'a str)> {
    let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let mut routes = ROUTES.iter().filter(|route| route.method == method);
    routes.find_map(|route| Some((route, matched(route.path, &parts)?)))
}

fn matched<'a>(pattern: &str, parts: &[&'a str]) -> Option<&'a str> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    if pattern.len() != parts.len() {
        return None;
    }
    let mut id = "";
    for (wanted, part) in pattern.into_iter().zip(parts) {
        if wanted == "*" {
            id = part;
        } else if wanted != *part {
            return None;
        }
    }
    Some(id)
}
