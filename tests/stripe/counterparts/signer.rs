//! Stripe's own SDK as the one who signs: what it signs with a secret of ours is taken, and nothing else. Whether a
//! signature is genuine the SDK is asked too; how old it may be we say ourselves.

use chrono::TimeDelta;
use serde_json::json;

use super::{stored, tell};
use crate::harness::engines::{Settings, both_engines};
use crate::harness::stripe_sdk::Signer;
use crate::journeys::here::Here;

const OLD: &str = "whsec_old";
const NEW: &str = "whsec_new";
/// As they are set while one replaces the other.
const SECRETS: Settings = &[("STRIPE_WEBHOOK_SECRET", "whsec_old,whsec_new")];

/// An event as Stripe writes it, over several lines and not in ASCII only.
fn event(id: &str) -> String {
    let event = json!({
        "id": id, "object": "event", "type": "invoice.paid", "livemode": false, "pending_webhooks": 1,
        "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1", "description": "Söhne \u{2028} 🦀"}},
    });
    format!("{event:#}\n")
}

/// The signatures in a header, without its time.
fn signatures(header: &str) -> &str {
    let (_, signatures) = header.split_once(',').unwrap_or_else(|| panic!("no signature in {header}"));
    signatures
}

both_engines! {
    async fn what_the_sdk_signs_is_taken_with_either_secret_and_within_five_minutes(app: App with SECRETS) {
        let (here, signer) = (Here::new(app).await, Signer::start());
        let now = here.app.clock.now().timestamp();
        let signed = |id: &str, secret: &str, time: i64| (event(id), signer.header(&event(id), secret, time));
        // Stripe signs with both secrets for a while; here the other one is none of ours.
        let both = |id: &str, ours_first: bool| {
            let (body, ours) = signed(id, NEW, now);
            let (_, others) = signed(id, "whsec_gone", now);
            let (first, last) = if ours_first { (&ours, &others) } else { (&others, &ours) };
            (body, format!("{first},{}", signatures(last)))
        };
        let good = [
            signed("evt_1", OLD, now),
            signed("evt_2", NEW, now),
            signed("evt_3", NEW, now - 300),
            signed("evt_4", OLD, now + 300),
            both("evt_5", true),
            both("evt_6", false),
        ];
        for (body, header) in &good {
            assert!([OLD, NEW].iter().any(|secret| signer.verify(body, header, secret)), "{header}");
            assert_eq!(tell(&here.nobody, body, Some(header)).await.must(200), json!({"received": true}));
            // A second time, as Stripe does when it has missed the answer.
            tell(&here.nobody, body, Some(header)).await.must(200);
        }
        let mut ids: Vec<String> = stored(&here).await.into_iter().map(|event| event.id).collect();
        ids.sort();
        assert_eq!(ids, ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5", "evt_6"]);
    }

    async fn whatever_is_not_just_what_the_sdk_signed_is_refused(app: App with SECRETS) {
        let (here, signer) = (Here::new(app).await, Signer::start());
        let now = here.app.clock.now().timestamp();
        let (body, other) = (event("evt_1"), event("evt_2"));
        let good = signer.header(&body, NEW, now);
        let later = good.replacen(&format!("t={now}"), &format!("t={}", now + 1), 1);
        for (why, body, header, is_genuine) in [
            ("too old", body.clone(), signer.header(&body, NEW, now - 301), true),
            ("from the future", body.clone(), signer.header(&body, NEW, now + 301), true),
            ("another secret", body.clone(), signer.header(&body, "whsec_other", now), false),
            ("both secrets as one", body.clone(), signer.header(&body, "whsec_old,whsec_new", now), false),
            ("another time", body.clone(), later, false),
            ("another event", other, good.clone(), false),
            ("one byte less", body.trim_end().to_owned(), good.clone(), false),
            ("one byte changed", body.replacen("in_1", "in_2", 1), good.clone(), false),
            ("the signature of tests", body.clone(), good.replacen("v1=", "v0=", 1), false),
            ("no time", body.clone(), signatures(&good).to_owned(), false),
            ("nothing", body.clone(), String::new(), false),
        ] {
            let sdk = [OLD, NEW].iter().any(|secret| signer.verify(&body, &header, secret));
            assert_eq!(sdk, is_genuine, "{why}: {header}");
            let refused = tell(&here.nobody, &body, Some(&header)).await;
            assert_eq!(refused.status, 400, "{why}: {header}");
            refused.problem(400, "invalid_signature");
        }
        tell(&here.nobody, &body, None).await.problem(400, "invalid_signature");
        assert_eq!(stored(&here).await, []);
    }

    async fn what_was_overheard_is_worth_nothing_after_five_minutes(app: App with SECRETS) {
        let (here, signer) = (Here::new(app).await, Signer::start());
        let body = event("evt_1");
        let header = signer.header(&body, NEW, here.app.clock.now().timestamp());
        here.pass(TimeDelta::minutes(5));
        tell(&here.nobody, &body, Some(&header)).await.must(200);
        here.pass(TimeDelta::seconds(1));
        tell(&here.nobody, &body, Some(&header)).await.problem(400, "invalid_signature");
        assert_eq!(stored(&here).await.len(), 1);
    }
}
