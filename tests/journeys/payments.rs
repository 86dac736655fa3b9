//! Paying for a plan by QR code: asked for once, seen by nobody else, confirmed once, and never too late.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::credits;

use super::address;
use super::client::{Answer, Client, PASSWORD, faulty, send};
use super::here::Here;
use crate::harness::engines::{Settings, both_engines};

const UPI: Settings = &[("UPI_VPA", "autoos@bank")];
/// Both schemes are configured; Stripe is out of reach.
const BOTH: Settings =
    &[("UPI_VPA", "autoos@bank"), ("STRIPE_SECRET_KEY", "sk_test_1"), ("STRIPE_API_BASE", "http://127.0.0.1:9")];
const QR: &str = "/payments/qr-code";
const TRANSACTIONS: &str = "/payments/qr-code/transactions";
const HISTORY: &str = "/payments/history";
/// The subject of the mail about a payment, or a part of it.
const RECEIVED: &str = "Payment received";
const UNKNOWN: &str = "0199e0a4-0000-7000-8000-000000000001";

/// A month of a plan.
fn month(tier: &str) -> Value {
    json!({"tier": tier, "billing_cycle": "monthly", "scheme": "upi"})
}

async fn ask(client: &Client, tier: &str) -> Value {
    client.post(QR, &month(tier)).await.must(201)
}

async fn keyed(client: &Client, key: &str, body: &Value) -> Answer {
    send(client.request(Method::POST, QR).header("Idempotency-Key", key).json(body)).await
}

fn id(payment: &Value) -> &str {
    payment["payment_id"].as_str().unwrap_or_else(|| panic!("no payment_id in {payment}"))
}

async fn read(client: &Client, payment: &Value) -> Value {
    client.get(&format!("{QR}/{}", id(payment))).await.must(200)
}

async fn confirm(admin: &Client, payment: &Value, reference: &str) -> Answer {
    admin.post(&format!("{QR}/{}/confirm", id(payment)), &json!({ "reference": reference })).await
}

async fn list(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.must(200)["items"].as_array().cloned().unwrap_or_default()
}

fn ids(payments: &[Value]) -> Vec<&str> {
    payments.iter().map(id).collect()
}

/// Somebody with a fresh access token, for stories that last longer than one.
async fn again(here: &Here, name: &str) -> Client {
    here.nobody.with_tokens(&here.sign_in(name, PASSWORD).await.must(200)["tokens"])
}

/// The parameters of the link in a code.
fn parameters(payment: &Value) -> Vec<(String, String)> {
    let payload = payment["payload"].as_str().unwrap_or_default();
    assert!(payload.starts_with("upi://pay?pa=autoos@bank&"), "{payload}");
    reqwest::Url::parse(payload).expect("a link").query_pairs().into_owned().collect()
}

/// A picture of a code: its content type and its bytes.
async fn picture(client: &Client, payment: &Value, ending: &str) -> (String, Vec<u8>) {
    let answer = client.request(Method::GET, &format!("{QR}/{}.{ending}", id(payment))).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    (kind, answer.bytes().await.expect("a picture").to_vec())
}

journey! {
    async fn a_plan_is_paid_for_by_qr_code_and_its_limits_apply_to_the_next_request(site: Site with UPI) {
        let (root, ada) = (site.admin("root").await, site.user("ada").await);
        let payment = ask(&ada, "student").await;
        for (name, value) in [
            ("status", json!("pending")), ("amount_minor", json!(79_900)), ("currency", json!("INR")),
            ("tier", json!("student")), ("billing_cycle", json!("monthly")), ("scheme", json!("upi")),
            ("kind", json!("qr")), ("late", json!(false)), ("paid_at", json!(null)), ("reference", json!(null)),
        ] {
            assert_eq!(payment[name], value, "{name} in {payment}");
        }
        let reference = id(&payment).replace('-', "");
        let expected = [
            ("pa", "autoos@bank"), ("pn", "AUTOOS"), ("am", "799.00"), ("cu", "INR"), ("tr", reference.as_str()),
            ("tn", "student plan, monthly"),
        ];
        assert_eq!(parameters(&payment), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

        let (kind, svg) = picture(&ada, &payment, "svg").await;
        assert_eq!(kind, "image/svg+xml");
        assert_eq!(payment["svg"].as_str().map(str::as_bytes), Some(svg.as_slice()));
        let (kind, png) = picture(&ada, &payment, "png").await;
        assert!(kind == "image/png" && png.starts_with(b"\x89PNG\r\n\x1a\n"), "{kind}");
        let png_url = payment["png_url"].as_str().unwrap_or_default();
        assert!(png_url.ends_with(&format!("{QR}/{}.png", id(&payment))), "{png_url}");
        assert_eq!(read(&ada, &payment).await, payment);
        assert_eq!(ids(&list(&root, TRANSACTIONS).await), [id(&payment)]);

        let confirmed = confirm(&root, &payment, "utr-42611234").await.must(200);
        assert_eq!((&confirmed["status"], &confirmed["late"]), (&json!("paid"), &json!(false)), "{confirmed}");
        assert_eq!(confirmed["reference"], "UTR-42611234", "{confirmed}");
        assert!(confirmed["paid_until"].is_string(), "{confirmed}");
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "student");
        let accepted = ada.post("/api/v1/intents", &json!({"intent": "Say hello"})).await;
        assert_eq!(accepted.must(202)["credits_remaining"], json!(null));
        assert_eq!((accepted.header("ratelimit-limit"), ada.credits().await), ("20", 10));

        let history = list(&ada, HISTORY).await;
        assert_eq!((history.len(), &history[0]["status"]), (1, &json!("paid")), "{history:?}");
        let mail = site.mail(&address("ada"), RECEIVED).await;
        assert_eq!(mail.subject, "Payment received: INR 799.00 for the student plan");
        for part in ["UTR-42611234", "INR 799.00", "student, one month", "Paid until: "] {
            assert!(mail.text.contains(part), "{part} in {}", mail.text);
        }
    }
}

both_engines! {
    async fn without_an_address_to_pay_to_nobody_is_asked_to_pay(app: App) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        let problem = ada.post(QR, &month("student")).await.problem(503, "payments_not_configured");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("UPI")), "{problem}");
        // What is wrong with a request is told first.
        ada.post(QR, &month("enterprise")).await.problem(422, "validation_failed");
        assert!(list(&root, TRANSACTIONS).await.is_empty());
    }

    async fn a_repeated_request_gets_the_first_code_byte_for_byte(app: App with UPI) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let (ada, eve) = (here.verified("ada").await.client, here.verified("eve").await.client);
        let (small, large) = (month("student"), month("professional"));
        let first = keyed(&ada, "one", &small).await;
        let repeated = keyed(&ada, "one", &small).await;
        first.must(201);
        repeated.must(201);
        assert_eq!(first.text, repeated.text);
        assert_eq!((first.header("idempotent-replayed"), repeated.header("idempotent-replayed")), ("", "true"));
        keyed(&ada, "one", &large).await.problem(422, "idempotency_key_reused");
        keyed(&ada, "", &small).await.problem(422, "validation_failed");

        // Other keys, other users and no key at all are other payments.
        let mut all = vec![first.text, keyed(&ada, "two", &small).await.text, keyed(&eve, "one", &small).await.text];
        all.push(ada.post(QR, &small).await.text);
        let twins = join_all((0..10).map(|_| keyed(&ada, "three", &large))).await;
        assert!(twins.iter().all(|twin| twin.status == 201 && twin.text == twins[0].text));
        all.push(twins[0].text.clone());
        let all: Vec<Value> = all.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        let mut listed = list(&root, TRANSACTIONS).await;
        listed.sort_unstable_by_key(|payment| all.iter().position(|one| one["payment_id"] == payment["payment_id"]));
        assert_eq!(ids(&listed), ids(&all));
        for payment in &listed {
            assert_eq!((&payment["svg"], &payment["payload"]), (&json!(null), &json!(null)), "{payment}");
        }
    }

    async fn a_key_is_good_for_one_scheme(app: App with BOTH) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await.client;
        let mut other = month("student");
        other["scheme"] = json!("stripe");
        keyed(&ada, "one", &month("student")).await.must(201);
        keyed(&ada, "one", &other).await.problem(422, "idempotency_key_reused");
        assert_eq!(list(&ada, HISTORY).await.len(), 1);
    }

    async fn a_payment_is_for_its_owner_and_for_admins(app: App with UPI) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let (ada, eve) = (here.verified("ada").await, here.verified("eve").await);
        let payment = ask(&ada.client, "student").await;
        here.pass(TimeDelta::seconds(1));
        let hers = ask(&eve.client, "student").await;
        for ending in ["", ".svg", ".png"] {
            let path = format!("{QR}/{}{ending}", id(&payment));
            here.nobody.get(&path).await.problem(401, "unauthorized");
            eve.client.get(&path).await.problem(403, "not_owner");
            assert_eq!(root.get(&path).await.status, 200, "{path}");
        }
        let unknown = format!("{UNKNOWN}.png");
        for name in [UNKNOWN, &unknown, "x", ".svg", &format!("{}.gif", id(&payment)), "%ff"] {
            eve.client.get(&format!("{QR}/{name}")).await.problem(404, "not_found");
        }
        // The payer's word is not taken.
        confirm(&ada.client, &payment, "R-0001").await.problem(403, "forbidden");
        ada.client.get(TRANSACTIONS).await.problem(403, "forbidden");
        assert_eq!(read(&ada.client, &payment).await["status"], "pending");

        let of_ada = format!("{HISTORY}?user_id={}", ada.id);
        assert_eq!(ids(&list(&ada.client, HISTORY).await), [id(&payment)]);
        assert_eq!(ids(&list(&eve.client, &of_ada).await), [id(&hers)], "whose, nobody else can say");
        assert_eq!(ids(&list(&root, &of_ada).await), [id(&payment)]);
        assert_eq!(ids(&list(&root, HISTORY).await), [id(&hers), id(&payment)]);
        for path in [HISTORY, TRANSACTIONS] {
            let page = root.get(&format!("{path}?limit=1")).await.must(200);
            let cursor = page["next_cursor"].as_str().unwrap_or_default();
            assert_eq!(ids(&list(&root, &format!("{path}?limit=1&cursor={cursor}")).await), [id(&payment)]);
        }
        root.get(&format!("{HISTORY}?user_id=x")).await.problem(400, "bad_request");
    }

    async fn only_plans_that_have_a_price_can_be_paid_for(app: App with UPI) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await.client;
        for tier in ["free_trial", "enterprise", "gold"] {
            let problem = ada.post(QR, &month(tier)).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), ["tier"], "{problem}");
        }
        for (name, value) in [
            ("billing_cycle", json!("weekly")), ("scheme", json!("cash")), ("amount_minor", json!(1)),
            ("user_id", json!(UNKNOWN)),
        ] {
            let mut body = month("student");
            body[name] = value;
            let problem = ada.post(QR, &body).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), [name], "{problem}");
        }
        let stripe = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "stripe"});
        let problem = ada.post(QR, &stripe).await.problem(503, "payments_not_configured");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Stripe")), "{problem}");
        assert!(list(&ada, HISTORY).await.is_empty());

        for (tier, cycle, amount) in [
            ("student", "annual", 799_900), ("employee", "monthly", 239_900), ("professional", "annual", 7_999_900),
        ] {
            let body = json!({"tier": tier, "billing_cycle": cycle, "scheme": "upi"});
            let payment = ada.post(QR, &body).await.must(201);
            assert_eq!((&payment["amount_minor"], &payment["currency"]), (&json!(amount), &json!("INR")), "{payment}");
        }
    }

    async fn a_payment_expires_after_a_quarter_of_an_hour_and_late_money_is_taken_and_flagged(app: App with UPI) {
        let here = Here::new(app).await;
        here.admin("root").await;
        let ada = here.verified("ada").await.client;
        let (seen, unseen) = (ask(&ada, "student").await, ask(&ada, "employee").await);
        assert_eq!(seen["expires_at"], "2026-01-15T09:15:00Z", "{seen}");
        here.pass(TimeDelta::minutes(15) - TimeDelta::microseconds(1));
        let (root, ada) = (again(&here, "root").await, again(&here, "ada").await);
        assert_eq!(read(&ada, &seen).await["status"], "pending");
        here.pass(TimeDelta::microseconds(1));
        for payment in list(&ada, HISTORY).await {
            assert_eq!(payment["status"], "expired", "{payment}");
        }
        assert_eq!(read(&ada, &seen).await["status"], "expired");
        let now = here.app.clock.now();
        let done = ::scheduler::once(&here.app.services, "expire_payments", now).await;
        assert_eq!(done.expect("the duty"), "1 payments", "the other one was noted when it was read");

        let paid = confirm(&root, &seen, "R-0001").await.must(200);
        assert_eq!((&paid["status"], &paid["late"]), (&json!("paid"), &json!(true)), "{paid}");
        assert_eq!(paid["paid_until"], "2026-02-15T09:15:00Z", "{paid}");
        assert_eq!(read(&ada, &seen).await["status"], "paid");
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "student");
        let larger = confirm(&root, &unseen, "R-0002").await.must(200);
        assert_eq!((&larger["late"], &larger["tier"]), (&json!(true), &json!("employee")), "{larger}");
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "employee");
        assert_eq!(here.mails("ada", RECEIVED).await.len(), 2);

        here.pass(TimeDelta::days(31));
        let ada = again(&here, "ada").await;
        assert_eq!(ada.get("/auth/me").await.must(200)["tier"], "free_trial", "a plan ends with what was paid for");
    }

    async fn however_often_a_payment_is_confirmed_one_period_begins(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        let payment = ask(&ada, "student").await;
        let answers = join_all((0..20).map(|_| confirm(&root, &payment, "R-0001"))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!((done.len(), refused.len()), (1, 19));
        assert_eq!(done[0].must(200)["paid_until"], "2026-02-15T09:00:00Z");
        for answer in refused {
            answer.problem(409, "wrong_state");
        }
        confirm(&root, &payment, "R-0002").await.problem(409, "wrong_state");
        assert_eq!(here.mails("ada", RECEIVED).await.len(), 1);
        let events = list(&root, "/auth/audit?kind=payment_confirmed").await;
        assert_eq!(events.len(), 1, "{events:?}");
        let detail = json!({
            "payment_id": id(&payment), "reference": "R-0001", "tier": "student", "billing_cycle": "monthly",
            "amount_minor": 79_900, "currency": "INR", "late": false,
        });
        assert_eq!((&events[0]["detail"], &events[0]["address"]), (&detail, &json!("127.0.0.1")));
        assert!(events[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("admin:")), "{events:?}");

        // The next payment follows on it.
        let next = ask(&ada, "student").await;
        let paid = confirm(&root, &next, "R-0003").await.must(200);
        assert_eq!(paid["paid_until"], "2026-03-15T09:00:00Z", "{paid}");
    }

    async fn a_reference_pays_for_one_payment_in_whatever_spelling(app: App with UPI) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let (ada, eve) = (here.verified("ada").await.client, here.verified("eve").await.client);
        let (payment, hers) = (ask(&ada, "student").await, ask(&eve, "student").await);
        for reference in ["", "abc", "-abc", "two words", "a\u{e9}ab", &"x".repeat(65)] {
            let problem = confirm(&root, &payment, reference).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), ["reference"], "{problem}");
        }
        confirm(&root, &payment, "Utr/42.61_1").await.must(200);
        for reference in ["Utr/42.61_1", "UTR/42.61_1", " utr/42.61_1 "] {
            confirm(&root, &hers, reference).await.problem(409, "already_exists");
        }
        assert_eq!(read(&eve, &hers).await["status"], "pending");
        assert_eq!(eve.get("/auth/me").await.must(200)["tier"], "free_trial");
        assert!(here.mails("eve", RECEIVED).await.is_empty());
        confirm(&root, &hers, "another").await.must(200);
        for name in ["x", UNKNOWN] {
            let body = json!({"reference": "R-0001"});
            root.post(&format!("{QR}/{name}/confirm"), &body).await.problem(404, "not_found");
        }
    }

    async fn nobody_is_asked_to_pay_for_less_than_what_still_runs(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        let payment = ask(&ada, "employee").await;
        confirm(&root, &payment, "R-0001").await.must(200);
        let refused = keyed(&ada, "one", &month("student")).await.problem(409, "wrong_state");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("2026-02-15T09:00:00Z")), "{refused}");
        ask(&ada, "employee").await;
        ask(&ada, "professional").await;
        // The refused key is free, and so is the way once the plan has ended.
        here.pass(TimeDelta::days(31));
        keyed(&again(&here, "ada").await, "one", &month("student")).await.must(201);
    }

    async fn a_closed_account_leaves_its_payments_and_begins_nothing(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await);
        let (first, second) = (ask(&ada.client, "student").await, ask(&ada.client, "student").await);
        confirm(&root, &first, "R-0001").await.must(200);
        assert_eq!(here.mails("ada", RECEIVED).await.len(), 1);
        ada.client.close(PASSWORD).await.empty(204);
        here.app.run_until_idle().await;

        let paid = confirm(&root, &second, "R-0002").await.must(200);
        assert_eq!((&paid["status"], &paid["paid_until"]), (&json!("paid"), &json!(null)), "{paid}");
        let history = list(&root, &format!("{HISTORY}?user_id={}", ada.id)).await;
        assert_eq!(history.len(), 2, "{history:?}");
        for payment in &history {
            assert_eq!((&payment["status"], &payment["user_id"]), (&json!("paid"), &json!(ada.id)), "{payment}");
            let text = payment.to_string();
            assert!(!text.contains("ada@") && !text.contains("Lovelace"), "{text}");
        }
        assert_eq!(here.mails("ada", RECEIVED).await.len(), 1);
        let mut reader = here.app.services.db.read().await.expect("a reader");
        let left = credits::subscription(&mut reader, ada.id).await.expect("a row").expect("a subscription");
        assert_eq!(left.status, "canceled");
    }
}
