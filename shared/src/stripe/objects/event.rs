//! What Stripe tells: as little of it as is needed, since an event that cannot be read is lost.

use serde::Deserialize;

use super::{Named, or_default};

/// Something that happened, as far as it is known by what Stripe sends.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Its id, the same however often it is sent.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// When.
    #[serde(default, deserialize_with = "or_default")]
    pub created: i64,
    /// Whether real money is meant.
    pub livemode: Option<bool>,
    /// The version that its shape is of.
    pub api_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    data: EventData,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct EventData {
    #[serde(default, deserialize_with = "or_default")]
    object: EventObject,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct EventObject {
    id: Option<String>,
    object: Option<String>,
    customer: Option<Named>,
    payment_intent: Option<Named>,
}

impl Event {
    /// The id of the object that it is about.
    pub fn object_id(&self) -> Option<&str> {
        self.data.object.id.as_deref()
    }

    /// The customer that it is about, if it says so.
    pub fn customer(&self) -> Option<&str> {
        let object = &self.data.object;
        let itself = object.id.as_deref().filter(|_| object.object.as_deref() == Some("customer"));
        object.customer.as_ref().map(|named| named.0.as_str()).or(itself)
    }

    /// The payment that it is about, if it says so.
    pub fn payment_intent(&self) -> Option<&str> {
        self.data.object.payment_intent.as_ref().map(|named| named.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_read_from_little_and_says_whom_it_is_about() {
        let event: Event = serde_json::from_value(json!({"id": "evt_1", "type": "x.y", "created": null})).unwrap();
        assert_eq!((event.customer(), event.object_id()), (None, None));
        for object in [json!({"id": "cus_1", "object": "customer"}), json!({"id": "in_1", "customer": "cus_1"})] {
            let event = json!({"id": "evt_1", "type": "x.y", "data": {"object": object}});
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(event.customer(), Some("cus_1"));
        }
    }
}
