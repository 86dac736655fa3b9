//! Giving money back: never more than was paid, by admins only, with a reason, and once.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, faulty, send};
use super::here::Here;
use crate::harness::engines::{Settings, both_engines};

const UPI: Settings = &[("UPI_VPA", "autoos@bank")];
const QR: &str = "/payments/qr-code";
const REFUNDS: &str = "/payments/refunds";
const UNKNOWN: &str = "0199e0a4-0000-7000-8000-000000000001";

/// Asks for a month of the student plan; gives the payment's id.
async fn ask(client: &Client) -> String {
    let month = json!({"tier": "student", "billing_cycle": "monthly", "scheme": "upi"});
    let payment = client.post(QR, &month).await.must(201);
    payment["payment_id"].as_str().unwrap_or_default().to_owned()
}

/// The same, paid.
async fn pay(admin: &Client, client: &Client, reference: &str) -> String {
    let payment = ask(client).await;
    admin.post(&format!("{QR}/{payment}/confirm"), &json!({ "reference": reference })).await.must(200);
    payment
}

/// A refund of all that is left.
fn rest(payment: &str, reference: &str) -> Value {
    json!({"payment_id": payment, "reason": "Paid twice", "reference": reference})
}

fn part(payment: &str, amount: i64, reference: &str) -> Value {
    let mut body = rest(payment, reference);
    body["amount_minor"] = json!(amount);
    body
}

/// One of many tries to give back all that is left.
async fn try_rest(admin: &Client, payment: &str, number: usize) -> Answer {
    admin.post(REFUNDS, &rest(payment, &format!("R-90{number:02}"))).await
}

async fn keyed(client: &Client, key: &str, body: &Value) -> Answer {
    send(client.request(Method::POST, REFUNDS).header("Idempotency-Key", key).json(body)).await
}

async fn events(admin: &Client) -> Vec<Value> {
    let events = admin.get("/auth/audit?kind=payment_refunded").await.must(200);
    events["items"].as_array().cloned().unwrap_or_default()
}

journey! {
    async fn a_plan_is_ended_and_its_money_given_back(site: Site with UPI) {
        let (root, ada) = (site.admin("root").await, site.user("ada").await);
        let payment = pay(&root, &ada, "R-0001").await;
        let ended = ada.post("/payments/cancel", &json!({"immediately": true})).await.must(200);
        assert_eq!(ended["subscription"]["status"], "canceled", "{ended}");
        let refund = root.post(REFUNDS, &rest(&payment, "r-9001")).await.must(201);
        assert_eq!((&refund["amount_minor"], &refund["reference"]), (&json!(79_900), &json!("R-9001")), "{refund}");
        let history = ada.get("/payments/history").await.must(200);
        assert_eq!(history["items"][0], refund, "{history}");
    }
}

both_engines! {
    async fn a_payment_by_upi_is_given_back_at_the_bank_in_parts_and_noted(app: App with UPI) {
        let here = Here::new(app).await;
        let root = here.admin("root").await;
        let ada = here.verified("ada").await;
        let payment = pay(&root.client, &ada.client, "R-0001").await;
        here.pass(TimeDelta::seconds(1));
        let first = root.client.post(REFUNDS, &part(&payment, 30_000, "R-9001")).await.must(201);
        for (name, value) in [
            ("kind", json!("refund")), ("status", json!("paid")), ("scheme", json!("upi")),
            ("amount_minor", json!(30_000)), ("currency", json!("INR")), ("refund_of", json!(payment)),
            ("user_id", json!(ada.id)), ("reference", json!("R-9001")), ("review", json!(null)),
            ("paid_at", json!("2026-01-15T09:00:01Z")),
        ] {
            assert_eq!(first[name], value, "{name} in {first}");
        }
        let too_much = root.client.post(REFUNDS, &part(&payment, 49_901, "R-9002")).await;
        let problem = too_much.problem(422, "validation_failed");
        assert_eq!(faulty(&problem), ["amount_minor"], "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("49900")), "{problem}");
        here.pass(TimeDelta::seconds(1));
        let second = root.client.post(REFUNDS, &rest(&payment, "R-9002")).await.must(201);
        assert_eq!(second["amount_minor"], 49_900, "{second}");
        root.client.post(REFUNDS, &part(&payment, 1, "R-9003")).await.problem(409, "wrong_state");

        let history = ada.client.get("/payments/history").await.must(200);
        let kinds: Vec<_> = history["items"].as_array().into_iter().flatten().map(|item| &item["kind"]).collect();
        assert_eq!(kinds, ["refund", "refund", "qr"], "{history}");
        // Money back is not the end of the plan: that is cancelled.
        assert_eq!(ada.client.get("/auth/me").await.must(200)["tier"], "student");
        let events = events(&root.client).await;
        let detail = json!({
            "payment_id": payment, "refund_id": second["payment_id"], "amount_minor": 49_900, "currency": "INR",
            "reason": "Paid twice", "reference": "R-9002",
        });
        assert_eq!((events.len(), &events[0]["detail"], &events[0]["user_id"]), (2, &detail, &json!(ada.id)));
        assert_eq!(events[0]["actor"], json!(format!("admin:{}", root.id)));
    }

    async fn a_refund_that_makes_no_sense_changes_nothing(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        let (paid, open) = (pay(&root, &ada, "R-0001").await, ask(&ada).await);
        let without = |name: &str| {
            let mut body = rest(&paid, "R-9001");
            body.as_object_mut().expect("an object").remove(name);
            body
        };
        let with = |name: &str, value: Value| {
            let mut body = rest(&paid, "R-9001");
            body[name] = value;
            body
        };
        for (body, fields) in [
            (without("payment_id"), vec!["payment_id"]),
            (without("reason"), vec!["reason"]),
            // The bank names each transfer.
            (without("reference"), vec!["reference"]),
            (with("reference", json!("abc")), vec!["reference"]),
            (with("payment_id", json!("x")), vec!["payment_id"]),
            (with("amount_minor", json!(0)), vec!["amount_minor"]),
            (with("amount_minor", json!(-1)), vec!["amount_minor"]),
            (with("amount_minor", json!(9.99)), vec!["amount_minor"]),
            (with("amount_minor", json!(79_901)), vec!["amount_minor"]),
            (json!({"payment_id": paid, "amount_minor": 0, "reason": " "}), vec!["amount_minor", "reason"]),
            (with("currency", json!("INR")), vec!["currency"]),
        ] {
            let problem = root.post(REFUNDS, &body).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), fields, "{problem}");
        }
        root.post(REFUNDS, &rest(UNKNOWN, "R-9001")).await.problem(404, "not_found");
        root.post(REFUNDS, &rest(&open, "R-9001")).await.problem(409, "wrong_state");
        root.post(REFUNDS, &rest(&paid, "r-0001")).await.problem(409, "already_exists");
        ada.post(REFUNDS, &rest(&paid, "R-9001")).await.problem(403, "forbidden");
        here.nobody.post(REFUNDS, &rest(&paid, "R-9001")).await.problem(401, "unauthorized");
        assert_eq!(events(&root).await, Vec::<Value>::new());

        let refund = root.post(REFUNDS, &part(&paid, 1, "R-9001")).await.must(201);
        let id = refund["payment_id"].as_str().unwrap_or_default();
        root.post(REFUNDS, &rest(id, "R-9002")).await.problem(409, "wrong_state");
        // It is no payment by QR code.
        root.get(&format!("{QR}/{id}")).await.problem(404, "not_found");
        root.post(&format!("{QR}/{id}/confirm"), &json!({"reference": "R-9003"})).await.problem(404, "not_found");
    }

    async fn however_many_give_a_payment_back_it_is_given_back_once(app: App with UPI) {
        let here = Here::new(app).await;
        let admins = [here.admin("root").await.client, here.admin("ruth").await.client];
        let ada = here.verified("ada").await.client;
        let payment = pay(&admins[0], &ada, "R-0001").await;
        let tries = join_all((0..12).map(|n| try_rest(&admins[n % 2], &payment, n))).await;
        let (done, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((done.len(), refused.len()), (1, 11));
        for answer in refused {
            answer.problem(409, "wrong_state");
        }
        assert_eq!(events(&admins[0]).await.len(), 1);
    }

    async fn a_repeated_refund_is_the_first_one(app: App with UPI) {
        let here = Here::new(app).await;
        let (root, ada) = (here.admin("root").await.client, here.verified("ada").await.client);
        let payment = pay(&root, &ada, "R-0001").await;
        let body = part(&payment, 10_000, "R-9001");
        let (first, repeated) = (keyed(&root, "one", &body).await, keyed(&root, "one", &body).await);
        first.must(201);
        assert_eq!((repeated.status, &repeated.text), (201, &first.text));
        assert_eq!((first.header("idempotent-replayed"), repeated.header("idempotent-replayed")), ("", "true"));
        keyed(&root, "one", &part(&payment, 10_001, "R-9001")).await.problem(422, "idempotency_key_reused");
        // What was refused is free again.
        keyed(&root, "two", &part(&payment, 80_000, "R-9002")).await.problem(422, "validation_failed");
        keyed(&root, "two", &part(&payment, 10_000, "R-9002")).await.must(201);
        assert_eq!(events(&root).await.len(), 2);
    }
}
