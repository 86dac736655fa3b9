//! Plans that are not paid for, or not yet: nothing is granted, and another try is free.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::super::text;
use super::{ACTIVE, DECLINED, SUBSCRIBE, Site, VISA, current, items, student};
use crate::harness::engines::both_engines;
use crate::journeys::client::faulty;

/// A card that is declined when it is charged.
const UNCHARGEABLE: &str = "pm_card_chargeCustomerFail";

/// A card whose bank wants each payment confirmed; localstripe knows such cards by their numbers only.
async fn careful_card(site: &Site) -> String {
    let card = "type=card&card[number]=4000002500003155&card[exp_month]=12&card[exp_year]=2030&card[cvc]=123";
    text(&site.post("/v1/payment_methods", card).await["id"])
}

/// What the payer tells the bank about the newest invoice of a customer's only subscription.
async fn tell_the_bank(site: &Site, customer: &str, is_wanted: bool) {
    let subscriptions = site.subscriptions(customer).await;
    let invoice = site.get(&format!("/v1/invoices/{}", text(&subscriptions[0]["latest_invoice"]))).await;
    let payment = site.get(&format!("/v1/payment_intents/{}", text(&invoice["payment_intent"]))).await;
    assert_eq!(payment["status"], "requires_action", "{payment}");
    let path = format!("/v1/payment_intents/{}/_authenticate", text(&payment["id"]));
    let form = format!("client_secret={}&success={is_wanted}", text(&payment["client_secret"]));
    site.post(&path, &form).await;
}

both_engines! {
    async fn a_declined_card_is_said_to_be_and_grants_nothing(app: App) {
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        let refused = ada.client.post(SUBSCRIBE, &student(DECLINED)).await.problem(402, "payment_declined");
        assert_eq!(refused["detail"], "Your card was declined.");
        site.is_on_trial("ada", &ada).await;
        assert_eq!(current(&ada).await["status"], "trial");
        let customer = site.customer("ada").await;
        assert_eq!(site.subscriptions(&customer).await, Vec::<Value>::new());
        site.subscribe(&ada).await;
        site.has_student_plan("ada", &ada).await;
    }

    async fn a_card_that_is_not_there_is_refused_as_such(app: App) {
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        let refused = ada.client.post(SUBSCRIBE, &student("pm_nobodys")).await.problem(422, "validation_failed");
        assert_eq!(faulty(&refused), ["payment_method"]);
        site.is_on_trial("ada", &ada).await;
    }

    async fn a_subscription_that_was_not_paid_for_grants_nothing_and_can_be_given_up(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        // Stripe would refuse this with 402; localstripe begins the subscription and leaves it unpaid.
        let begun = ada.client.post(SUBSCRIBE, &student(UNCHARGEABLE)).await.must(200)["subscription"].clone();
        assert_eq!((&begun["status"], &begun["entitles"]), (&json!("incomplete"), &json!(false)), "{begun}");
        site.is_on_trial("ada", &ada).await;
        site.hear().await;
        site.is_on_trial("ada", &ada).await;
        assert_eq!(current(&ada).await, begun);
        ada.client.post(SUBSCRIBE, &student(VISA)).await.problem(409, "wrong_state");

        let ended = ada.client.post("/payments/cancel", &json!({"immediately": true})).await.must(200);
        assert_eq!(ended["subscription"]["status"], "canceled", "{ended}");
        site.is_on_trial("ada", &ada).await;
        let bought = site.subscribe(&ada).await;
        assert_eq!((&bought["status"], &bought["entitles"]), (&json!("active"), &json!(true)), "{bought}");
        site.hear().await;
        assert_eq!(current(&ada).await, bought);
        assert_eq!(site.here.mails("ada", ACTIVE).await.len(), 1);
    }

    async fn a_payment_that_the_bank_wants_confirmed_grants_nothing_before_it_is(app: App) {
        let site = Site::open(app).await;
        let (root, ada) = (site.here.admin("root").await, site.here.verified("ada").await);
        let card = careful_card(&site).await;
        // Stripe would refuse this with 402 too.
        let begun = ada.client.post(SUBSCRIBE, &student(&card)).await.must(200);
        assert_eq!(begun["subscription"]["status"], "incomplete", "{begun}");
        site.is_on_trial("ada", &ada).await;
        assert_eq!(site.duty("compare_stripe").await, "1 customers compared, 0 differ");

        let customer = site.customer("ada").await;
        tell_the_bank(&site, &customer, true).await;
        // There is no event about that which Stripe has too, so the comparison of the night finds it.
        site.here.pass(TimeDelta::seconds(1));
        assert_eq!(site.duty("compare_stripe").await, "1 customers compared, 1 differ");
        site.has_student_plan("ada", &ada).await;
        site.here.pass(TimeDelta::seconds(1));
        assert_eq!(site.duty("compare_stripe").await, "1 customers compared, 0 differ");
        let runs = items(&root, "/payments/reconciliations").await;
        let found: Vec<_> = runs.iter().map(|run| (&run["kind"], &run["found"])).collect();
        let compare = json!("compare");
        assert_eq!(found, [(&compare, &json!(0)), (&compare, &json!(1)), (&compare, &json!(0))]);
        let examples = json!([{"customer": customer, "user_id": ada.id, "differences": ["status"]}]);
        assert_eq!(runs[1]["detail"]["examples"], examples);
    }

    async fn a_payment_that_the_payer_did_not_confirm_grants_nothing_and_another_is_free(app: App) {
        let site = Site::told(app).await;
        let ada = site.here.verified("ada").await;
        let card = careful_card(&site).await;
        ada.client.post(SUBSCRIBE, &student(&card)).await.must(200);
        let customer = site.customer("ada").await;
        tell_the_bank(&site, &customer, false).await;
        site.hear().await;
        assert_eq!(current(&ada).await["status"], "canceled");
        site.is_on_trial("ada", &ada).await;
        assert_eq!(site.subscribe(&ada).await["status"], "active");
    }

    async fn what_is_not_to_be_had_is_an_outage_and_leaves_nothing(app: App) {
        // localstripe answers what it does not know with a 404 in plain text.
        let site = Site::open(app).await;
        let ada = site.here.verified("ada").await;
        let page = json!({"tier": "student", "billing_cycle": "monthly"});
        for (path, body) in [("/payments/portal", json!({})), (SUBSCRIBE, page)] {
            let refused = ada.client.post(path, &body).await;
            refused.problem(503, "payments_unavailable");
            assert_eq!(refused.header("retry-after"), "5", "{path}");
        }
        site.is_on_trial("ada", &ada).await;
        site.subscribe(&ada).await;
        site.has_student_plan("ada", &ada).await;
    }
}
