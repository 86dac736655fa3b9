//! What happened at Stripe, for those who missed it. Stripe keeps events for 30 days.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_core::event::ListEvent;
use stripe_types::RangeQueryTs;

use crate::stripe::StripeResult;
use crate::stripe::objects::Event;
use crate::stripe::transport::{PAGE, Stripe, decode};

/// How many pages of events are read: thirty thousand events are held at once then, which may take 100 MB.
const MAX_PAGES: i64 = 300;

impl Stripe {
    /// Events of these kinds, at most twenty, from `since` on, oldest first, each also as Stripe wrote it.
    pub async fn events(&self, since: DateTime<Utc>, kinds: &[&str]) -> StripeResult<Vec<(Event, String)>> {
        let listed = self.raw_list(MAX_PAGES, |after| page(since, kinds, after)).await?;
        // Stripe tells the newest first, also among those of one second.
        let mut events = listed.into_iter().rev().map(event).collect::<StripeResult<Vec<_>>>()?;
        events.sort_by_key(|(event, _)| event.created);
        Ok(events)
    }
}

fn event(raw: Box<RawValue>) -> StripeResult<(Event, String)> {
    let event = decode(raw.get().as_bytes())?;
    Ok((event, Box::<str>::from(raw).into_string()))
}

fn page(since: DateTime<Utc>, kinds: &[&str], after: Option<&str>) -> RequestBuilder {
    let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
    let mut list = ListEvent::new().created(RangeQueryTs::gte(since.timestamp())).limit(PAGE).types(kinds);
    if let Some(after) = after {
        list = list.starting_after(after);
    }
    list.build()
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn events_are_asked_for_by_time_and_kind() {
        let since = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        assert_eq!(
            shown(&page(since, &["invoice.paid", "charge.refunded"], Some("evt_1"))),
            "Get /events created[gte]=1767225600&limit=100&starting_after=evt_1&types[0]=invoice.paid\
             &types[1]=charge.refunded"
        );
    }
}
