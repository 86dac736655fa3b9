//! Lists: `?limit=&cursor=` in, `{items, next_cursor}` out; keyset paging, so inserts move nothing.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::App;
use crate::error::{ApiError, Code};

/// The paging part of a query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items, 1 to 100; 20 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
}

/// How many items, and after which.
pub struct Page {
    /// How many items.
    pub limit: usize,
    /// The key of the last item of the page before.
    pub after: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl FromRequestParts<App> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bad = |_| ApiError::new(Code::BadRequest, "The query string cannot be read.");
        let Query(query) = Query::<PageQuery>::from_request_parts(parts, app).await.map_err(bad)?;
        let limit = match query.limit {
            None => 20,
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=100).contains(n))
                .ok_or_else(|| ApiError::new(Code::BadRequest, "limit must be a whole number from 1 to 100."))?,
        };
        let after = match query.cursor {
            None => None,
            Some(cursor) => Some(decode(&cursor).ok_or_else(Self::bad_cursor)?),
        };
        Ok(Self { limit, after })
    }
}

impl Page {
    /// What is said of a cursor that is none of ours.
    pub fn bad_cursor() -> ApiError {
        ApiError::new(Code::InvalidCursor, "The cursor is not one that we gave; start without one.")
    }

    /// The last item of the page before, for lists whose keys are ids.
    pub fn after_id(&self) -> Result<Option<Uuid>, ApiError> {
        self.after.as_ref().map(|id| Uuid::try_parse(id).map_err(|_| Self::bad_cursor())).transpose()
    }

    /// How many rows to read: one more than the page, to know whether there is another page.
    pub const fn rows(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Makes a page of the rows that were read.
    pub fn of<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Paged<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Paged { items, next_cursor }
    }
}

fn decode(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}
