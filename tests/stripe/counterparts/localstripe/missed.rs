//! Webhooks that never come: what they would have told of is found by asking.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::payment::Via;

use super::super::{SECRET, stored, tell};
use super::{Site, items};
use crate::harness::engines::both_engines;
use crate::harness::stripe_sdk::Signer;

/// More events than are on one page of the list.
const MANY: usize = 110;
const BEGUN: &str = "customer.subscription.created";

both_engines! {
    async fn events_whose_webhooks_were_withheld_are_found(app: App) {
        let site = Site::open(app).await;
        let (root, ada) = (site.here.admin("root").await, site.here.verified("ada").await);
        // From the first run on, there is a time to ask from.
        assert_eq!(site.duty("reconcile_stripe").await, "all 0 customers are read");
        let customer = site.introduce("ada", &ada).await;
        for n in 0..MANY {
            site.post("/v1/customers", &format!("email=stranger{n}@example.com")).await;
        }
        site.subscribe_elsewhere(&customer).await;
        site.is_on_trial("ada", &ada).await;

        // localstripe lists all types, those first that happened first.
        let listed = site.rows("/v1/events?limit=1000").await.len();
        site.here.pass(TimeDelta::seconds(1));
        assert_eq!(site.duty("reconcile_stripe").await, format!("{listed} events, {listed} of them news"));
        site.has_student_plan("ada", &ada).await;
        let found = stored(&site.here).await;
        assert!(found.len() == listed && found.iter().all(|event| event.via == Via::Reconcile), "{found:?}");
        site.here.pass(TimeDelta::seconds(1));
        assert_eq!(site.duty("reconcile_stripe").await, format!("{listed} events, 0 of them news"));
        let runs = items(&root, "/payments/reconciliations").await;
        let runs: Vec<_> = runs.iter().map(|run| (&run["kind"], &run["found"])).collect();
        let (events, full, all) = (json!("events"), json!("full"), json!(listed));
        assert_eq!(runs, [(&events, &json!(0)), (&events, &all), (&full, &json!(0))]);
    }

    async fn a_webhook_that_comes_after_all_changes_nothing(app: App) {
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        site.duty("reconcile_stripe").await;
        let customer = site.introduce("ada", &ada).await;
        site.subscribe_elsewhere(&customer).await;
        let stripe = site.here.app.services.stripe.as_deref().expect("a connection to Stripe");
        let now = site.here.app.clock.now();
        let events = stripe.events(now - TimeDelta::minutes(1), &[BEGUN]).await.expect("events");
        assert!(events.is_sorted_by_key(|(event, _)| event.created), "{events:?}");
        site.duty("reconcile_stripe").await;
        site.has_student_plan("ada", &ada).await;

        let (_, late) = events.iter().find(|(event, _)| event.kind == BEGUN).expect("the beginning");
        let signature = Signer::start().header(late, SECRET, now.timestamp());
        let answer = tell(&site.here.nobody, late, Some(&signature)).await;
        assert_eq!(answer.must(200), json!({"received": true}));
        site.here.app.run_until_idle().await;
        let kept = stored(&site.here).await;
        assert!(kept.len() == events.len() && kept.iter().all(|event| event.via == Via::Reconcile), "{kept:?}");
        site.has_student_plan("ada", &ada).await;
    }
}
