//! Plans that are bought: who is who at localstripe, and who tells of it.

use futures_util::future::join_all;
use serde_json::json;
use shared::domain::payment::{EventStatus, Via};

use super::super::connected;
use super::{DECLINED, ENDED, PRICE, SUBSCRIBE, Site, VISA, current, student};
use crate::harness::engines::{App, both_engines};
use crate::journeys::address;

both_engines! {
    async fn a_plan_is_paid_for_at_once_and_its_webhooks_change_nothing_more(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        let bought = site.subscribe(&ada).await;
        site.has_student_plan("ada", &ada).await;
        let customer = site.customer("ada").await;
        let subscriptions = site.subscriptions(&customer).await;
        assert_eq!(subscriptions.len(), 1, "{subscriptions:?}");
        assert_eq!(subscriptions[0]["metadata"], json!({"user_id": ada.id}));

        let told = site.hear().await;
        assert!(told.iter().all(|event| event.via == Via::Webhook && event.attempts == 0), "{told:?}");
        // localstripe sends what Stripe would not, since it cannot be told which types to send.
        let applied = told.iter().filter(|event| event.status == EventStatus::Applied);
        let applied: Vec<_> = applied.map(|event| (event.kind.as_str(), event.customer.as_ref())).collect();
        assert_eq!(applied, [("customer.subscription.created", Some(&customer))]);
        site.has_student_plan("ada", &ada).await;
        assert_eq!(current(&ada).await, bought);
    }

    async fn what_is_bought_and_ended_elsewhere_is_told_by_webhooks(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        let customer = site.introduce("ada", &ada).await;
        let subscription = site.subscribe_elsewhere(&customer).await;
        site.is_on_trial("ada", &ada).await;
        site.hear().await;
        site.has_student_plan("ada", &ada).await;

        site.delete(&format!("/v1/subscriptions/{subscription}")).await;
        site.hear().await;
        let own = current(&ada).await;
        assert_eq!((&own["status"], &own["entitles"]), (&json!("canceled"), &json!(false)), "{own}");
        assert_eq!(site.here.mails("ada", ENDED).await.len(), 1);
    }

    async fn an_account_is_one_customer_and_a_plan_one_price_however_often_they_are_needed(app: App) {
        let site = Site::open(app).await;
        let (ada, eve) = (site.here.verified("ada").await, site.here.verified("eve").await);
        for account in [&ada, &ada, &eve] {
            account.client.post(SUBSCRIBE, &student(DECLINED)).await.problem(402, "payment_declined");
        }
        site.subscribe(&ada).await;
        site.subscribe(&eve).await;
        // Another deployment, which knows nothing of this one, with the same account at Stripe.
        let other = connected(App::sqlite(&[]).await, site.stripe.base_url()).await;
        let kim = other.verified("kim").await;
        kim.client.post(SUBSCRIBE, &student(VISA)).await.must(200);
        let customers = site.rows("/v1/customers?limit=100").await;
        let found: Vec<_> = customers.iter().map(|one| (&one["email"], &one["metadata"]["user_id"])).collect();
        let known = [("ada", &ada), ("eve", &eve), ("kim", &kim)];
        let known = known.map(|(name, account)| (json!(address(name)), json!(account.id)));
        assert_eq!(found, known.each_ref().map(|(email, user)| (email, user)));
        let plans = site.rows("/v1/plans?limit=100").await;
        assert_eq!(plans.iter().map(|plan| &plan["nickname"]).collect::<Vec<_>>(), [PRICE]);
    }

    async fn however_many_ask_at_once_one_subscription_begins(app: App) {
        // localstripe ignores idempotency keys: that it happens once is our own doing.
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        let body = student(VISA);
        let answers = join_all((0..6).map(|_| ada.client.post(SUBSCRIBE, &body))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!((done.len(), refused.len()), (1, 5));
        for answer in refused {
            assert_eq!(answer.status, 409, "{}", answer.text);
        }
        let customer = site.customer("ada").await;
        assert_eq!(site.subscriptions(&customer).await.len(), 1);
        site.has_student_plan("ada", &ada).await;
    }
}
