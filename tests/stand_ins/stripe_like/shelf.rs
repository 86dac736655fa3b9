//! The objects of one kind, by number and by customer.
//!
//! All numbers come from one counter, so an object's number also tells when it was made, and no two objects of
//! different kinds share one.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Index, IndexMut};

use super::form::Params;
use super::refusal::Refusal;

/// Objects whose ids are `prefix` and a number.
pub(super) struct Shelf<T> {
    prefix: &'static str,
    noun: &'static str,
    rows: BTreeMap<u64, T>,
    by_customer: HashMap<u64, Vec<u64>>,
}

impl<T> Shelf<T> {
    /// `noun` is what an error calls such an object.
    pub(super) fn new(prefix: &'static str, noun: &'static str) -> Self {
        Self { prefix, noun, rows: BTreeMap::new(), by_customer: HashMap::new() }
    }

    pub(super) fn add(&mut self, serial: u64, customer: Option<u64>, row: T) {
        self.rows.insert(serial, row);
        if let Some(customer) = customer {
            self.by_customer.entry(customer).or_default().push(serial);
        }
    }

    pub(super) fn id(&self, serial: u64) -> String {
        format!("{}{serial}", self.prefix)
    }

    pub(super) fn has(&self, serial: u64) -> bool {
        self.rows.contains_key(&serial)
    }

    /// The number behind an id of this kind that names something.
    pub(super) fn serial(&self, id: &str) -> Option<u64> {
        let serial = id.strip_prefix(self.prefix)?.parse().ok()?;
        self.has(serial).then_some(serial)
    }

    /// The object that the path names, or 404.
    pub(super) fn at(&self, id: &str) -> Result<u64, Refusal> {
        self.serial(id).ok_or_else(|| Refusal::not_found(self.noun, id))
    }

    /// The object that a parameter names, or 400.
    pub(super) fn named(&self, params: &Params, key: &str) -> Result<u64, Refusal> {
        let id = params.need(key)?;
        self.serial(id).ok_or_else(|| Refusal::no_such(self.noun, id, key))
    }

    /// The same for a parameter that may be left out.
    pub(super) fn maybe(&self, params: &Params, key: &str) -> Result<Option<u64>, Refusal> {
        params.get(key).map(|_| self.named(params, key)).transpose()
    }

    /// Numbers from the newest to the oldest, of one customer or of all.
    pub(super) fn newest(&self, customer: Option<u64>) -> Box<dyn Iterator<Item = u64> + '_> {
        match customer {
            Some(customer) => Box::new(self.by_customer.get(&customer).into_iter().flatten().rev().copied()),
            None => Box::new(self.rows.keys().rev().copied()),
        }
    }

    /// Objects from the oldest to the newest.
    pub(super) fn oldest(&self) -> impl Iterator<Item = (u64, &T)> {
        self.rows.iter().map(|(serial, row)| (*serial, row))
    }
}

impl<T> Index<u64> for Shelf<T> {
    type Output = T;

    fn index(&self, serial: u64) -> &T {
        &self.rows[&serial]
    }
}

impl<T> IndexMut<u64> for Shelf<T> {
    fn index_mut(&mut self, serial: u64) -> &mut T {
        self.rows.get_mut(&serial).unwrap_or_else(|| panic!("no {} with the number {serial}", self.noun))
    }
}
