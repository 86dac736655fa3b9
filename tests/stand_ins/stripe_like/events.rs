//! Events: each change is kept with the object as it was at that moment.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::API_VERSION;
use super::every::DAY;
use super::form::Params;
use super::lists::Page;
use super::refusal::Refusal;
use super::routes::Outcome;
use super::world::World;

/// How long events are listed.
const KEPT: i64 = 30 * DAY;

/// One event and its text, which stays the same for ever.
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) created: i64,
    pub(super) raw: Arc<str>,
}

/// The request that caused what happens now.
pub(super) struct Cause {
    pub(super) request: String,
    pub(super) key: Option<String>,
}

impl World {
    /// Records that something happened to the object.
    pub(super) fn note(&mut self, kind: &'static str, object: Value) {
        self.record(kind, object, None);
    }

    /// Records the change of an object, and nothing where it did not change.
    pub(super) fn note_change(&mut self, kind: &'static str, before: &Value, object: Value) {
        let previous = differences(before, &object);
        if !previous.is_empty() {
            self.record(kind, object, Some(previous));
        }
    }

    fn record(&mut self, kind: &'static str, object: Value, previous: Option<Map<String, Value>>) {
        let serial = self.next_serial();
        let cause = self.cause.as_ref();
        let mut event = json!({
            "id": self.events.id(serial), "object": "event", "api_version": API_VERSION, "created": self.now,
            "data": {}, "livemode": false, "pending_webhooks": 1, "type": kind,
            "request": {
                "id": cause.map(|cause| &cause.request),
                "idempotency_key": cause.and_then(|cause| cause.key.as_ref()),
            },
        });
        event["data"]["object"] = object;
        if let Some(previous) = previous {
            event["data"]["previous_attributes"] = Value::Object(previous);
        }
        let raw = Arc::from(format!("{event:#}"));
        self.events.add(serial, None, Event { kind, created: self.now, raw });
    }

    fn event_json(&self, serial: u64) -> Value {
        serde_json::from_str(&self.events[serial].raw).unwrap_or_else(|error| panic!("our own event: {error}"))
    }
}

/// The fields that are different now, with their former values.
fn differences(before: &Value, now: &Value) -> Map<String, Value> {
    let fields = before.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| now[name.as_str()] != **value)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub(super) fn get(world: &mut World, id: &str, _: &Params) -> Outcome {
    let serial = world.events.at(id)?;
    if world.events[serial].created < world.now - KEPT {
        return Err(Refusal::not_found("event", id));
    }
    Ok(world.event_json(serial))
}

pub(super) const LIST: &[&str] = &["type", "types[*]"];

pub(super) fn list(world: &mut World, _: &str, params: &Params) -> Outcome {
    let page = Page::read(&world.events, params)?;
    let mut types = params.list("types");
    types.extend(params.get("type"));
    let rows = world.events.newest(None).filter(|serial| {
        let event = &world.events[*serial];
        let wanted = types.is_empty() || types.contains(&event.kind);
        wanted && page.spans(event.created) && event.created >= world.now - KEPT
    });
    Ok(page.list("/v1/events", rows, |serial| world.event_json(serial)))
}
