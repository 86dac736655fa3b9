//! Products and prices.

use serde_json::{Value, json};

use super::every::Every;
use super::form::{Metadata, Params};
use super::lists::Page;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::shape::{joined, nulls};
use super::world::World;

/// Something that is sold.
pub(super) struct Product {
    created: i64,
    name: String,
    metadata: Metadata,
}

/// What it costs, once or every so often.
pub(super) struct Price {
    created: i64,
    product: String,
    pub(super) currency: String,
    /// Minor units.
    pub(super) unit_amount: i64,
    pub(super) every: Option<Every>,
    pub(super) lookup_key: Option<String>,
    active: bool,
    metadata: Metadata,
}

/// A price that is asked for and not made yet; its product is one that exists, or is made of the name.
pub(super) struct WantedPrice {
    price: Price,
    product_name: Option<String>,
}

impl WantedPrice {
    /// Reads and checks everything, so that nothing is half made.
    pub(super) fn read(world: &World, params: &Params) -> Result<Self, Refusal> {
        let product_name = params.text("product_data[name]");
        let product = match &product_name {
            Some(_) => String::new(),
            None => params.need("product")?.to_owned(),
        };
        if product_name.is_none() && !world.products.contains_key(&product) {
            return Err(Refusal::no_such("product", &product, "product"));
        }
        let currency = params.need("currency")?.to_lowercase();
        if currency.len() != 3 {
            return Err(Refusal::invalid("currency", "this is not a code of three letters"));
        }
        let unit_amount = params.number("unit_amount")?.ok_or_else(|| Refusal::missing("unit_amount"))?;
        if unit_amount < 0 {
            return Err(Refusal::invalid("unit_amount", "this must not be below zero"));
        }
        let price = Price {
            created: world.now,
            product,
            currency,
            unit_amount,
            every: read_every(params)?,
            lookup_key: params.text("lookup_key"),
            active: params.flag("active")?.unwrap_or(true),
            metadata: params.metadata("metadata"),
        };
        Ok(Self { price, product_name })
    }

    /// Whether it is paid once only.
    pub(super) fn once(&self) -> bool {
        self.price.every.is_none()
    }
}

fn read_every(params: &Params) -> Result<Option<Every>, Refusal> {
    let Some(unit) = params.get("recurring[interval]") else { return Ok(None) };
    let count = params.number("recurring[interval_count]")?.unwrap_or(1);
    let every = Every::read(unit, count);
    every.map(Some).ok_or_else(|| Refusal::invalid("recurring", "there is no such interval"))
}

impl World {
    pub(super) fn add_price(&mut self, wanted: WantedPrice) -> u64 {
        let mut price = wanted.price;
        if let Some(name) = wanted.product_name {
            price.product = self.add_product(None, name, Metadata::new());
        }
        let serial = self.next_serial();
        self.prices.add(serial, None, price);
        self.note("price.created", self.price_json(serial));
        serial
    }

    fn add_product(&mut self, id: Option<String>, name: String, metadata: Metadata) -> String {
        let serial = self.next_serial();
        let id = id.unwrap_or_else(|| format!("prod_{serial}"));
        self.products.insert(id.clone(), Product { created: self.now, name, metadata });
        self.note("product.created", self.product_json(&id));
        id
    }

    pub(super) fn product_json(&self, id: &str) -> Value {
        let product = &self.products[id];
        joined([
            json!({
                "id": id, "object": "product", "active": true, "created": product.created, "images": [],
                "livemode": false, "marketing_features": [], "metadata": product.metadata, "name": product.name,
                "type": "service", "updated": product.created,
            }),
            nulls(&["default_price", "description", "package_dimensions", "shippable", "statement_descriptor"]),
            nulls(&["tax_code", "unit_label", "url"]),
        ])
    }

    pub(super) fn price_json(&self, serial: u64) -> Value {
        let price = &self.prices[serial];
        let recurring = price.every.map(|every| {
            json!({
                "interval": every.unit, "interval_count": every.count, "meter": null, "trial_period_days": null,
                "usage_type": "licensed",
            })
        });
        json!({
            "id": self.prices.id(serial), "object": "price", "active": price.active, "billing_scheme": "per_unit",
            "created": price.created, "currency": price.currency, "custom_unit_amount": null, "livemode": false,
            "lookup_key": price.lookup_key, "metadata": price.metadata, "nickname": null, "product": price.product,
            "recurring": recurring, "tax_behavior": "unspecified", "tiers_mode": null, "transform_quantity": null,
            "type": price.kind(), "unit_amount": price.unit_amount,
            "unit_amount_decimal": price.unit_amount.to_string(),
        })
    }

    /// The older form of a price that pays again and again, which items still carry.
    pub(super) fn plan_json(&self, serial: u64) -> Value {
        let price = &self.prices[serial];
        json!({
            "id": self.prices.id(serial), "object": "plan", "active": price.active, "amount": price.unit_amount,
            "amount_decimal": price.unit_amount.to_string(), "billing_scheme": "per_unit", "created": price.created,
            "currency": price.currency, "interval": price.every.map(|every| every.unit),
            "interval_count": price.every.map(|every| every.count), "livemode": false, "metadata": price.metadata,
            "meter": null, "nickname": null, "product": price.product, "tiers_mode": null, "transform_usage": null,
            "trial_period_days": null, "usage_type": "licensed",
        })
    }

    /// Refuses prices that cannot be subscribed to.
    pub(super) fn check_recurring(&self, price: u64, param: &str) -> Result<(), Refusal> {
        let row = &self.prices[price];
        if row.every.is_none() {
            return Err(Refusal::rule(param, "The price is paid once; a subscription needs one with an interval."));
        }
        if !row.active {
            return Err(Refusal::rule(param, "The price is not active."));
        }
        Ok(())
    }

    /// The product that a price is for.
    pub(super) fn product_of(&self, price: u64) -> &str {
        &self.prices[price].product
    }
}

impl Price {
    fn kind(&self) -> &'static str {
        if self.every.is_some() { "recurring" } else { "one_time" }
    }
}

pub(super) const CREATE_PRODUCT: &[&str] = &["id", "name", "metadata[*]"];

pub(super) fn create_product(world: &mut World, _: &str, params: &Params) -> Outcome {
    let name = params.need("name")?.to_owned();
    let id = params.text("id");
    if id.as_ref().is_some_and(|id| world.products.contains_key(id)) {
        return Err(Refusal::coded("resource_already_exists", "id", "Product already exists."));
    }
    let id = world.add_product(id, name, params.metadata("metadata"));
    Ok(world.product_json(&id))
}

pub(super) fn get_product(world: &mut World, id: &str, _: &Params) -> Outcome {
    if world.products.contains_key(id) { Ok(world.product_json(id)) } else { Err(Refusal::not_found("product", id)) }
}

pub(super) const CREATE_PRICE: &[&str] = &[
    "product",
    "product_data[name]",
    "currency",
    "unit_amount",
    "recurring[interval]",
    "recurring[interval_count]",
    "lookup_key",
    "transfer_lookup_key",
    "active",
    "metadata[*]",
];

pub(super) fn create_price(world: &mut World, _: &str, params: &Params) -> Outcome {
    let wanted = WantedPrice::read(world, params)?;
    let transfer = params.flag("transfer_lookup_key")?.unwrap_or(false);
    let holder = world
        .prices
        .oldest()
        .find(|(_, price)| price.lookup_key.is_some() && price.lookup_key == wanted.price.lookup_key);
    if let Some(holder) = holder.map(|(serial, _)| serial) {
        if !transfer {
            return Err(Refusal::rule("lookup_key", "Another price uses that lookup key already."));
        }
        world.prices[holder].lookup_key = None;
    }
    let serial = world.add_price(wanted);
    Ok(world.price_json(serial))
}

pub(super) fn get_price(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.prices.at(id)?;
    Ok(world.price_json(serial))
}

pub(super) const LIST_PRICES: &[&str] = &["lookup_keys[*]", "active", "product", "currency", "type"];

pub(super) fn list_prices(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.prices, params)?;
    let keys = params.list("lookup_keys");
    let active = params.flag("active")?;
    let rows = world.prices.newest(None).filter(|serial| {
        let price = &world.prices[*serial];
        let named = keys.is_empty() || price.lookup_key.as_deref().is_some_and(|key| keys.contains(&key));
        named
            && active.is_none_or(|active| price.active == active)
            && params.get("product").is_none_or(|product| price.product == product)
            && params.get("currency").is_none_or(|currency| price.currency == currency)
            && params.get("type").is_none_or(|kind| price.kind() == kind)
            && page.spans(price.created)
    });
    Ok(page.list("/v1/prices", rows, |serial| world.price_json(serial)))
}
