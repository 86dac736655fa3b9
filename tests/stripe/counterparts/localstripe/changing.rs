//! Plans that are changed, cancelled, taken back, and ended with their accounts.

use serde_json::{Value, json};
use shared::domain::payment::EventStatus;

use super::{ENDED, Site, current, history};
use crate::harness::engines::both_engines;
use crate::journeys::client::PASSWORD;

const CHANGE: &str = "/payments/change-plan";
const CANCEL: &str = "/payments/cancel";
const CHANGED: &str = "Your AUTOOS subscription was changed";

/// The only subscription of somebody, as localstripe has it.
async fn theirs(site: &Site, name: &str) -> Value {
    let customer = site.customer(name).await;
    let mut all = site.subscriptions(&customer).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

both_engines! {
    async fn more_is_had_at_once_at_the_price_that_was_told_before(app: App) {
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        site.subscribe(&ada).await;
        let told = ada.client.post("/payments/change-plan/preview", &json!({"tier": "employee"})).await.must(200);
        assert_eq!((&told["effective"], &told["price"]["amount_minor"]), (&json!("now"), &json!(2_999)), "{told}");
        assert_eq!(told["amount_due"], json!({"amount_minor": 2_000, "currency": "USD"}));

        let changed = ada.client.post(CHANGE, &json!({"tier": "employee"})).await.must(200);
        assert_eq!((&changed["effective"], &changed["subscription"]["tier"]), (&json!("now"), &json!("employee")));
        assert_eq!(theirs(&site, "ada").await["plan"]["nickname"], "autoos:employee:monthly:usd:2999");
        let mails = site.here.mails("ada", CHANGED).await;
        assert_eq!(mails.len(), 1);
        assert!(mails[0].text.contains("Plan: student → employee"), "{}", mails[0].text);

        // Only a change of the time makes localstripe bill the difference at once: both months count towards the year.
        let year = json!({"tier": "employee", "billing_cycle": "annual"});
        let changed = ada.client.post(CHANGE, &year).await.must(200);
        assert_eq!(changed["subscription"]["billing_cycle"], "annual", "{changed}");
        let mut paid: Vec<_> = history(&ada).await;
        paid.sort_by_key(|payment| payment["amount_minor"].as_i64());
        let paid: Vec<_> = paid.iter().map(|one| (&one["tier"], &one["billing_cycle"], &one["amount_minor"])).collect();
        let (month, year) = (json!(["student", "monthly", 999]), json!(["employee", "annual", 28_001]));
        let expected = [&month, &year].map(|one| (&one[0], &one[1], &one[2]));
        assert_eq!(paid, expected);
        assert_eq!(current(&ada).await, changed["subscription"]);
    }

    async fn what_cannot_be_planned_leaves_the_plan_as_it_is(app: App) {
        // localstripe has no schedules, which less is planned with.
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        site.subscribe(&ada).await;
        ada.client.post(CHANGE, &json!({"tier": "employee"})).await.must(200);
        let before = current(&ada).await;
        ada.client.post(CHANGE, &json!({"tier": "student"})).await.problem(503, "payments_unavailable");
        assert_eq!(current(&ada).await, before);
        assert_eq!(theirs(&site, "ada").await["plan"]["nickname"], "autoos:employee:monthly:usd:2999");
    }

    async fn a_plan_is_cancelled_taken_back_and_ended(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        let bought = site.subscribe(&ada).await;
        let cancelled = ada.client.post(CANCEL, &json!({})).await.must(200)["subscription"].clone();
        assert_eq!((&cancelled["cancel_at_period_end"], &cancelled["entitles"]), (&json!(true), &json!(true)));
        assert_eq!(theirs(&site, "ada").await["cancel_at_period_end"], true);
        let again = ada.client.post("/payments/reactivate", &json!({})).await.must(200);
        assert_eq!(again["subscription"], bought);
        assert_eq!(theirs(&site, "ada").await["cancel_at_period_end"], false);
        assert_eq!(site.here.mails("ada", CHANGED).await.len(), 2);

        let ended = ada.client.post(CANCEL, &json!({"immediately": true})).await.must(200)["subscription"].clone();
        assert_eq!((&ended["status"], &ended["entitles"]), (&json!("canceled"), &json!(false)), "{ended}");
        assert_eq!(theirs(&site, "ada").await["status"], "canceled");
        let told = site.hear().await;
        let end = told.iter().find(|event| event.kind == "customer.subscription.deleted");
        assert_eq!(end.map(|event| event.status), Some(EventStatus::Applied));
        assert_eq!(current(&ada).await, ended);
        assert_eq!(site.here.mails("ada", ENDED).await.len(), 1);
    }

    async fn a_closed_account_is_billed_no_more(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        site.subscribe(&ada).await;
        ada.client.close(PASSWORD).await.empty(204);
        site.here.app.run_until_idle().await;
        assert_eq!(theirs(&site, "ada").await["status"], "canceled");
        // What is told of it afterwards finds nobody to grant anything to, and is no failure.
        let told = site.hear().await;
        assert!(told.iter().all(|event| event.status != EventStatus::Dead && event.error.is_none()), "{told:?}");
        assert_eq!(site.here.mails("ada", ENDED).await.len(), 0);
    }
}
