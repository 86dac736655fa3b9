//! Lists, newest first, in pages: `limit`, `starting_after`, `ending_before` and bounds of `created`.

use serde_json::{Value, json};

use super::form::Params;
use super::refusal::Refusal;
use super::shelf::Shelf;

/// Parameters that every list takes.
pub(super) const PAGING: [&str; 8] = [
    "limit",
    "starting_after",
    "ending_before",
    "created",
    "created[gt]",
    "created[gte]",
    "created[lt]",
    "created[lte]",
];

/// Which part of a list is wanted.
pub(super) struct Page {
    limit: usize,
    after: Option<u64>,
    before: Option<u64>,
    from: i64,
    until: i64,
}

impl Page {
    pub(super) fn read<T>(shelf: &Shelf<T>, params: &Params) -> Result<Self, Refusal> {
        let limit = params.number("limit")?.unwrap_or(10);
        if !(1..=100).contains(&limit) {
            return Err(Refusal::invalid("limit", "this must be between 1 and 100"));
        }
        let exact = params.number("created")?;
        let from = [exact, params.number("created[gte]")?, params.number("created[gt]")?.map(|at| at + 1)];
        let until = [exact, params.number("created[lte]")?, params.number("created[lt]")?.map(|at| at - 1)];
        Ok(Self {
            limit: limit as usize,
            after: shelf.maybe(params, "starting_after")?,
            before: shelf.maybe(params, "ending_before")?,
            from: from.into_iter().flatten().max().unwrap_or(i64::MIN),
            until: until.into_iter().flatten().min().unwrap_or(i64::MAX),
        })
    }

    /// Whether something made at that time is within the bounds.
    pub(super) fn spans(&self, created: i64) -> bool {
        (self.from..=self.until).contains(&created)
    }

    /// The page of `rows`, which come newest first.
    pub(super) fn list(&self, url: &str, rows: impl Iterator<Item = u64>, show: impl Fn(u64) -> Value) -> Value {
        let (page, has_more) = self.cut(rows);
        let data: Vec<Value> = page.into_iter().map(show).collect();
        json!({"object": "list", "data": data, "has_more": has_more, "url": url})
    }

    fn cut(&self, rows: impl Iterator<Item = u64>) -> (Vec<u64>, bool) {
        if let Some(before) = self.before {
            // The rows nearest to the one named, which are the last of all that are newer.
            let mut newer: Vec<u64> = rows.take_while(|serial| *serial > before).collect();
            let surplus = newer.len().saturating_sub(self.limit);
            return (newer.split_off(surplus), surplus > 0);
        }
        let older = rows.skip_while(|serial| self.after.is_some_and(|after| *serial >= after));
        let mut page: Vec<u64> = older.take(self.limit + 1).collect();
        let has_more = page.len() > self.limit;
        page.truncate(self.limit);
        (page, has_more)
    }
}
