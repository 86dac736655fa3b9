//! A deployment without keys to Stripe: what needs them says so, and all else works. And what is refused before Stripe
//! is asked, where there are keys.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use shared::domain::money::Currency;
use shared::domain::payment::{BillingCycle, PaymentKind, PaymentStatus, Scheme};
use shared::domain::tier::Tier;
use shared::ids::{PaymentId, UserId};
use shared::store::payments::{self, Payment};
use shared::store::stripe_customers;
use shared::store::subscriptions::{self, Billed};

use super::address;
use super::client::{Answer, Client, faulty, send};
use super::here::Here;
use crate::harness::engines::{Settings, both_engines};

const UPI: Settings = &[("UPI_VPA", "autoos@bank")];
/// Stripe is configured, and out of reach.
const KEYS: Settings =
    &[("UPI_VPA", "autoos@bank"), ("STRIPE_SECRET_KEY", "sk_test_1"), ("STRIPE_API_BASE", "http://127.0.0.1:9")];
const QR: &str = "/payments/qr-code";
const CANCEL: &str = "/payments/cancel";
const UNKNOWN: &str = "0199e0a4-0000-7000-8000-000000000001";

/// A month of a plan, paid for by UPI.
async fn ask(client: &Client, tier: &str) -> Value {
    let month = json!({"tier": tier, "billing_cycle": "monthly", "scheme": "upi"});
    client.post(QR, &month).await.must(201)
}

async fn confirm(admin: &Client, payment: &str, reference: &str) -> Answer {
    admin.post(&format!("{QR}/{payment}/confirm"), &json!({ "reference": reference })).await
}

async fn pay(admin: &Client, client: &Client, (tier, reference): (&str, &str)) -> Value {
    let payment = ask(client, tier).await;
    confirm(admin, payment["payment_id"].as_str().unwrap_or_default(), reference).await.must(200)
}

async fn keyed(client: &Client, key: &str, body: &Value) -> Answer {
    send(client.request(Method::POST, CANCEL).header("Idempotency-Key", key).json(body)).await
}

/// Lets Stripe bill somebody, who has cancelled that and planned another thing before.
async fn bill(here: &Here, user: UserId) {
    let now = here.app.clock.now();
    let billed = Billed {
        stripe_subscription: format!("sub_{}", user.0.simple()),
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        status: "active".to_owned(),
        period: (now, BillingCycle::Monthly.end(now)),
        cancel_at_period_end: true,
        past_due_since: None,
        entitles_until: Some(now + TimeDelta::days(40)),
        pending: Some((Tier::Employee, BillingCycle::Annual)),
    };
    let mut tx = here.app.services.db.begin().await.expect("a transaction");
    let customer = format!("cus_{}", user.0.simple());
    stripe_customers::put(&mut tx, &customer, user, false, now).await.expect("a customer");
    subscriptions::put_billed(&mut tx, user, &billed).await.expect("a subscription");
    tx.commit().await.expect("a commit");
}

/// A payment that is waited for on a page of Stripe.
async fn wait_for_stripe(here: &Here, user: UserId) -> PaymentId {
    let now = here.app.clock.now();
    let payment = Payment {
        id: PaymentId::new(now),
        user_id: Some(user),
        kind: PaymentKind::Qr,
        scheme: Scheme::Stripe,
        tier: Tier::Student,
        billing_cycle: BillingCycle::Monthly,
        amount: 999,
        currency: Currency::USD,
        status: PaymentStatus::Pending,
        payload: "https://checkout.example/c/pay/cs_1".to_owned(),
        created_at: now,
        expires_at: now + TimeDelta::minutes(15),
        paid_at: None,
        reference: None,
        confirmed_by: None,
        late: false,
        stripe_id: Some("cs_1".to_owned()),
        payment_intent: None,
        refund_of: None,
        review: None,
    };
    let mut tx = here.app.services.db.begin().await.expect("a transaction");
    payments::insert(&mut tx, &payment).await.expect("a payment");
    tx.commit().await.expect("a commit");
    payment.id
}

both_engines! {
    async fn what_needs_stripe_says_that_it_is_not_configured(app: App with UPI) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await.client;
        let plan = json!({"tier": "student", "billing_cycle": "monthly"});
        let with = |name: &str, value: Value| {
            let mut body = plan.clone();
            body[name] = value;
            body
        };
        for (path, body) in [
            ("/payments/subscribe", plan.clone()),
            ("/payments/subscribe", with("payment_method", json!("pm_card_visa"))),
            ("/payments/change-plan", json!({"tier": "employee"})),
            ("/payments/change-plan", plan.clone()),
            ("/payments/change-plan/preview", plan.clone()),
            (CANCEL, json!({})),
            (CANCEL, json!({"immediately": true})),
            ("/payments/reactivate", json!({})),
            ("/payments/portal", json!({})),
            (QR, with("scheme", json!("stripe"))),
        ] {
            here.nobody.post(path, &body).await.problem(401, "unauthorized");
            let problem = ada.post(path, &body).await.problem(503, "payments_not_configured");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Stripe")), "{path}: {problem}");
        }
        // What is wrong with a request is told first.
        for (path, body, field) in [
            ("/payments/subscribe", with("tier", json!("enterprise")), "tier"),
            ("/payments/subscribe", with("tier", json!("free_trial")), "tier"),
            ("/payments/subscribe", with("billing_cycle", json!("weekly")), "billing_cycle"),
            ("/payments/subscribe", with("payment_method", json!("")), "payment_method"),
            ("/payments/subscribe", with("payment_method", json!("../customers/cus_1")), "payment_method"),
            ("/payments/subscribe", with("amount_minor", json!(1)), "amount_minor"),
            ("/payments/subscribe", with("user_id", json!(UNKNOWN)), "user_id"),
            ("/payments/change-plan", json!({"tier": "enterprise"}), "tier"),
            ("/payments/change-plan/preview", json!({}), "tier"),
            (CANCEL, json!({"immediately": "yes"}), "immediately"),
            (QR, with("scheme", json!("cash")), "scheme"),
        ] {
            let problem = ada.post(path, &body).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), [field], "{path}: {problem}");
        }
        for path in ["/payments/reactivate", "/payments/portal", CANCEL] {
            let request = ada.request(Method::POST, path).header("Idempotency-Key", "").json(&json!({}));
            send(request).await.problem(422, "validation_failed");
        }
        assert_eq!(ada.get("/payments/subscription").await.must(200)["status"], "trial");
    }

    async fn what_stripe_has_told_is_for_admins_and_empty(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let none = json!({"items": [], "next_cursor": null});
        let replay = "/payments/stripe-events/evt_1/replay";
        for path in ["/payments/stripe-events", "/payments/stripe-events?status=dead", "/payments/reconciliations"] {
            assert_eq!(root.get(path).await.must(200), none, "{path}");
            ada.client.get(path).await.problem(403, "forbidden");
            here.nobody.get(path).await.problem(401, "unauthorized");
        }
        ada.client.post(replay, &json!({})).await.problem(403, "forbidden");
        for path in [replay, "/payments/stripe-events/a%00b/replay", "/payments/stripe-events/%ff/replay"] {
            root.post(path, &json!({})).await.problem(404, "not_found");
        }
        let problem = root.get("/payments/stripe-events?status=odd").await.problem(400, "bad_request");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("dead")), "{problem}");
        for path in ["/payments/stripe-events?cursor=x", "/payments/reconciliations?cursor=x"] {
            root.get(path).await.problem(400, "invalid_cursor");
        }
        // Invoices are everybody's own.
        let of_root = format!("/payments/invoices?user_id={UNKNOWN}");
        for client in [&root, &ada.client] {
            assert_eq!(client.get("/payments/invoices").await.must(200), none);
            assert_eq!(client.get(&of_root).await.must(200), none);
            client.get("/payments/invoices?user_id=x").await.problem(400, "bad_request");
        }
    }

    async fn a_plan_that_nobody_renews_is_ended_by_its_owner_at_once(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        pay(&root, &ada, ("student", "R-0001")).await;
        let before = ada.get("/payments/subscription").await.must(200);
        for (name, value) in [
            ("status", json!("active")), ("entitles", json!(true)), ("billed_by", json!(null)),
            ("cancel_at_period_end", json!(false)), ("pending_tier", json!(null)), ("pending_cycle", json!(null)),
            ("entitles_until", json!("2026-02-15T09:00:00Z")),
        ] {
            assert_eq!(before[name], value, "{name} in {before}");
        }
        // It ends with its period anyway.
        assert_eq!(ada.post(CANCEL, &json!({})).await.must(200), json!({ "subscription": before }));
        assert_eq!(ada.get("/payments/subscription").await.must(200), before);

        let at_once = json!({"immediately": true});
        let first = keyed(&ada, "one", &at_once).await;
        let after = first.must(200)["subscription"].clone();
        for (name, value) in [
            ("tier", json!("student")), ("status", json!("canceled")), ("entitles", json!(false)),
            ("entitles_until", json!(null)),
        ] {
            assert_eq!(after[name], value, "{name} in {after}");
        }
        assert_eq!(ada.get("/payments/subscription").await.must(200), after);
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "free_trial");
        let repeated = keyed(&ada, "one", &at_once).await;
        assert_eq!((repeated.status, &repeated.text), (200, &first.text));
        assert_eq!(repeated.header("idempotent-replayed"), "true");
        keyed(&ada, "one", &json!({})).await.problem(422, "idempotency_key_reused");
        keyed(&ada, "two", &at_once).await.problem(503, "payments_not_configured");
        here.app.run_until_idle().await;
        assert_eq!(here.app.mails("subscription_ended").await, [(address("ada"), "2026-02-15T09:00:00Z".to_owned())]);
        // A smaller plan than the one that was ended may be paid for now.
        pay(&root, &ada, ("student", "R-0002")).await;
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "student");
    }

    async fn what_stripe_bills_is_shown_and_left_to_stripe(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let payment = ask(&ada.client, "professional").await;
        bill(&here, ada.id).await;
        let own = ada.client.get("/payments/subscription").await.must(200);
        for (name, value) in [
            ("tier", json!("student")), ("billing_cycle", json!("monthly")), ("billed_by", json!("stripe")),
            ("cancel_at_period_end", json!(true)), ("pending_tier", json!("employee")),
            ("pending_cycle", json!("annual")), ("entitles_until", json!("2026-02-24T09:00:00Z")),
        ] {
            assert_eq!(own[name], value, "{name} in {own}");
        }
        ada.client.post(CANCEL, &json!({"immediately": true})).await.problem(503, "payments_not_configured");
        let month = json!({"tier": "professional", "billing_cycle": "monthly", "scheme": "upi"});
        ada.client.post(QR, &month).await.problem(409, "wrong_state");

        // Money that comes all the same is taken, and a person has to look at it.
        let id = payment["payment_id"].as_str().unwrap_or_default();
        let paid = confirm(&root, id, "R-0001").await.must(200);
        assert_eq!((&paid["status"], &paid["paid_until"]), (&json!("paid"), &json!(null)), "{paid}");
        assert!(paid["review"].as_str().is_some_and(|review| review.contains("Stripe bills")), "{paid}");
        let history = ada.client.get("/payments/history").await.must(200);
        assert_eq!(history["items"][0]["review"], paid["review"], "{history}");
        assert_eq!(ada.client.get("/payments/subscription").await.must(200), own);
        assert!(here.app.mails("qr_received").await.is_empty());
        let events = root.get("/auth/audit?kind=payment_confirmed").await.must(200);
        assert_eq!(events["items"][0]["detail"]["review"], paid["review"], "{events}");
    }

    async fn nobody_confirms_what_stripe_tells_of(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let payment = wait_for_stripe(&here, ada.id).await.to_string();
        let problem = confirm(&root, &payment, "R-0001").await.problem(409, "wrong_state");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Stripe")), "{problem}");
        let shown = ada.client.get(&format!("{QR}/{payment}")).await.must(200);
        assert_eq!((&shown["status"], &shown["scheme"]), (&json!("pending"), &json!("stripe")), "{shown}");
    }

    async fn what_there_is_not_is_neither_changed_nor_cancelled(app: App with KEYS) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await.client;
        for path in
            [CANCEL, "/payments/reactivate", "/payments/change-plan", "/payments/change-plan/preview"]
        {
            let body = if path.contains("change") { json!({"tier": "employee"}) } else { json!({}) };
            // A refusal leaves nothing behind that the next request would wait for.
            for _ in 0..2 {
                let request = ada.request(Method::POST, path).header("Idempotency-Key", "one").json(&body);
                send(request).await.problem(409, "wrong_state");
            }
        }
    }

    async fn nobody_subscribes_to_less_than_what_is_paid_for(app: App with KEYS) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let subscribe = async |client: &Client, tier: &str| {
            let body = json!({"tier": tier, "billing_cycle": "annual", "payment_method": "pm_card_visa"});
            client.post("/payments/subscribe", &body).await.problem(409, "wrong_state")["detail"].to_string()
        };
        pay(&root, &ada.client, ("employee", "R-0001")).await;
        for tier in ["student", "employee"] {
            let detail = subscribe(&ada.client, tier).await;
            assert!(detail.contains("employee plan runs until 2026-02-15T09:00:00Z"), "{detail}");
        }
        bill(&here, ada.id).await;
        let detail = subscribe(&ada.client, "professional").await;
        assert!(detail.contains("/payments/change-plan"), "{detail}");
        // It is to end, so it is neither changed nor given another end.
        let change = json!({"tier": "professional"});
        let problem = ada.client.post("/payments/change-plan", &change).await.problem(409, "wrong_state");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("reactivate")), "{problem}");
    }
}
