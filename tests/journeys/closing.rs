//! The end of an account: what goes with it, and what stays.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::tier::Tier;
use shared::ids::UserId;
use shared::on;
use shared::store::Tx;
use shared::store::credits::{self, Subscription};
use sqlx::AssertSqlSafe;

use super::address;
use super::client::{PASSWORD, eventually, planned};
use super::here::{Here, VERIFY, account};
use crate::harness::engines::{App, both_engines};

const GOODBYE: &str = "Your AUTOOS account was deleted";
/// Parts of all that tells of the person in the story of what is left.
const TRACES: [&str; 6] = ["countess", "analytical", "augusta", "s-1815", "difference-engine", "127.0.0.1"];

async fn tables(tx: &mut Tx) -> Vec<String> {
    let sql = tx.either(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite%'",
        "select cast(tablename as text) from pg_tables where schemaname = 'public'",
    );
    on!(tx, |c| sqlx::query_scalar(sql).fetch_all(&mut *c).await.expect("names of tables"))
}

/// A query that gives each row of a table as one text.
async fn as_text(tx: &mut Tx, table: &str) -> String {
    if matches!(tx, Tx::Postgres(_) | Tx::PostgresRead(_)) {
        return format!("select cast(t as text) from \"{table}\" t");
    }
    let columns: Vec<String> = on!(tx, |c| {
        let sql = "select name from pragma_table_info($1)";
        sqlx::query_scalar(sql).bind(table).fetch_all(&mut *c).await.expect("names of columns")
    });
    let texts = columns.iter().map(|column| {
        format!("coalesce(case typeof(\"{column}\") when 'blob' then hex(\"{column}\") else \"{column}\" end, '')")
    });
    format!("select {} from \"{table}\"", texts.collect::<Vec<_>>().join(" || ' ' || "))
}

/// Every row of every table, with the table's name.
async fn everything(app: &App) -> Vec<String> {
    let mut tx = app.services.db.read().await.expect("a reader");
    let mut rows = Vec::new();
    for table in tables(&mut tx).await {
        let sql = as_text(&mut tx, &table).await;
        let texts: Vec<String> =
            on!(tx, |c| { sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(&mut *c).await.expect("rows") });
        rows.extend(texts.into_iter().map(|row| format!("{table}: {row}")));
    }
    rows
}

/// The rows that contain a text in any case, but for those about somebody else.
async fn naming(app: &App, text: &str, other: UserId) -> Vec<String> {
    // One engine writes ids with hyphens, the other without.
    let other = other.0.simple().to_string();
    let mut rows = everything(app).await;
    rows.retain(|row| {
        let row = row.to_lowercase();
        row.contains(text) && !row.replace('-', "").contains(&other)
    });
    rows
}

/// Work for a person that names its owner everywhere.
fn errand(email: &str) -> Value {
    json!({
        "intent": "Remind Augusta King", "context": {"to": email},
        "plan": {"steps": [{"id": "ask", "action": "human.task", "with": {"instructions": "Call Augusta King"}}]},
    })
}

/// Reasons and amounts in somebody's ledger, sorted.
async fn ledger(app: &App, user: UserId) -> Vec<(String, i64)> {
    let mut tx = app.services.db.read().await.expect("a reader");
    on!(tx, |c| {
        let sql = "select reason, amount from ledger where user_id = $1 order by reason, amount";
        sqlx::query_as(sql).bind(user).fetch_all(&mut *c).await.expect("a ledger")
    })
}

async fn subscription(app: &App, user: UserId) -> Option<Subscription> {
    let mut tx = app.services.db.read().await.expect("a reader");
    credits::subscription(&mut tx, user).await.expect("a row")
}

async fn subscribe(app: &App, user: UserId) {
    let now = app.clock.now();
    let month = Subscription::new(Tier::Student, "active", now + TimeDelta::days(30));
    let mut tx = app.services.db.begin().await.expect("a transaction");
    credits::put_subscription(&mut tx, user, &month, now).await.expect("a subscription");
    tx.commit().await.expect("a commit");
}

journey! {
    async fn an_account_is_closed_with_the_password_and_its_address_is_free_again(site: Site) {
        let ada = site.user("ada").await;
        let workflow = ada.submit(&json!({"intent": "Water the plants on the moon"})).await;
        ada.waits_for_a_person(&workflow, 0).await;
        site.client().close(PASSWORD).await.problem(401, "unauthorized");
        ada.close("Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
        ada.get("/auth/me").await.must(200);

        ada.close(PASSWORD).await.empty(204);
        ada.get("/auth/me").await.problem(401, "unauthorized");
        site.client().sign_in(&address("ada"), PASSWORD).await.problem(401, "invalid_credentials");
        let goodbye = site.mail(&address("ada"), GOODBYE).await;
        assert!(goodbye.text.contains("Hello Ada Lovelace"), "{}", goodbye.text);

        // Whoever has the address next is somebody else.
        let again = site.client().with_tokens(&site.sign_up("ada").await["tokens"]);
        assert_eq!(again.get("/auth/me").await.must(200)["trial"], json!(null));
        eventually(async || {
            let answer = again.get(&format!("/api/v1/workflows/{workflow}")).await;
            if answer.status == 404 { Ok(()) } else { Err(answer.text) }
        })
        .await;
    }
}

both_engines! {
    async fn what_is_left_of_a_closed_account_tells_of_nobody(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await;
        let device = here.nobody.with("user-agent", "Difference-Engine/1");
        let email = address("countess");
        let body = json!({
            "email": email, "username": "countess", "password": PASSWORD, "full_name": "Augusta King",
            "role": "student", "organization": "Analytical Society", "student_id": "S-1815",
        });
        let ada = account(&device, &device.post("/auth/signup", &body).await.must(201));
        let token = here.token("countess", VERIFY).await;
        device.post("/auth/verify-email", &json!({ "token": token })).await.must(200);
        let workflow = ada.client.submit(&errand(&email)).await;
        here.app.run_until_idle().await;
        ada.client.waits_for_a_person(&workflow, 0).await;
        subscribe(&here.app, ada.id).await;
        device.sign_in(&email, "Wrong-Horse7-Battery").await.problem(401, "invalid_credentials");
        device.post("/auth/forgot-password", &json!({ "email": email })).await.empty(202);
        for trace in TRACES {
            let found = naming(&here.app, trace, root.id).await;
            assert_ne!(found, Vec::<String>::new(), "the search does not find {trace}");
        }
        let before = ledger(&here.app, ada.id).await;
        assert_eq!(before.len(), 2, "{before:?}");

        ada.client.close(PASSWORD).await.empty(204);
        here.app.run_until_idle().await;
        for trace in TRACES {
            assert_eq!(naming(&here.app, trace, root.id).await, Vec::<String>::new(), "{trace}");
        }
        assert_eq!(here.jobs().await, 0, "something of it goes on");
        root.client.get(&format!("/api/v1/workflows/{workflow}")).await.problem(404, "not_found");
        let status = subscription(&here.app, ada.id).await.map(|subscription| subscription.status);
        assert_eq!(status.as_deref(), Some("canceled"));
        let after = ledger(&here.app, ada.id).await;
        assert!(before.iter().all(|entry| after.contains(entry)), "{before:?} {after:?}");
        here.app.check_invariants().await;
        device.post("/auth/signup", &body).await.must(201);
    }

    async fn the_farewell_goes_to_the_old_address_and_nothing_else_does(app: App) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await.client;
        ada.submit(&planned(&json!([
            {"id": "wait", "action": "wait", "with": {"until": "2026-01-16T09:00:00Z"}},
            {"id": "fail", "action": "template.render", "needs": ["wait"],
             "with": {"template": "{{ context.no.such }}"}},
        ]))).await;
        here.app.run_until_idle().await;
        // A mail and a link that are still to be sent when the account is closed.
        let change = json!({"old_password": PASSWORD, "new_password": "Another-Horse8-Battery"});
        ada.post("/auth/change-password", &change).await.must(200);
        here.nobody.post("/auth/forgot-password", &json!({"email": address("ada")})).await.empty(202);
        ada.close("Another-Horse8-Battery").await.empty(204);
        here.pass(TimeDelta::days(2));
        let mut subjects: Vec<_> = here.mails("ada", "").await.into_iter().map(|mail| mail.subject).collect();
        subjects.sort_unstable();
        assert_eq!(subjects.len(), 3, "{subjects:?}");
        for (subject, expected) in subjects.iter().zip([VERIFY, "Welcome", GOODBYE]) {
            assert!(subject.contains(expected), "{subjects:?}");
        }
        here.app.check_invariants().await;
    }

    async fn an_account_that_is_closed_twice_at_once_is_closed_once(app: App) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await;
        let (a, b) = tokio::join!(ada.client.close(PASSWORD), ada.client.close(PASSWORD));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 401], "{} {}", a.text, b.text);
        assert_eq!(here.mails("ada", GOODBYE).await.len(), 1);
    }
}
