//! What people may submit and are shown of it, and what admins do about that: longer trials, subscriptions by hand.

use ::scheduler::once;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::client::{Answer, Client, PASSWORD, faulty, planned};
use super::here::{Account, Here, account};
use super::{UNPACED, address};
use crate::harness::engines::{Settings, both_engines};

const INTENTS: &str = "/api/v1/intents";
const UNKNOWN: &str = "0199e0a4-0000-7000-8000-000000000001";
/// So few that a test can use them up.
const SMALL: Settings = &[("TIERS_STUDENT_WORKFLOWS_PER_MONTH", "3"), ("TIERS_STUDENT_INTENTS_PER_MINUTE", "1000")];
const CHANGED: &str = "Your AUTOOS subscription was changed";

fn hello() -> Value {
    json!({"intent": "Say hello"})
}

/// Somebody's client with a fresh session, for after some days.
async fn again(here: &Here, name: &str) -> Client {
    account(&here.nobody, &here.sign_in(name, PASSWORD).await.must(200)).client
}

async fn extend(admin: &Client, whom: &Account, body: &Value) -> Answer {
    admin.post(&format!("/payments/subscriptions/{}/extend-trial", whom.id), body).await
}

async fn adjust(admin: &Client, whom: &Account, body: &Value) -> Answer {
    admin.post(&format!("/payments/subscriptions/{}/adjust", whom.id), body).await
}

async fn usage(client: &Client) -> Value {
    client.get("/payments/usage").await.must(200)
}

async fn entitled(client: &Client) -> Value {
    client.post("/api/v1/intents/preview", &hello()).await.must(200)["entitled"].clone()
}

/// The only event of this kind.
async fn event(admin: &Client, kind: &str) -> Value {
    let events = admin.get(&format!("/auth/audit?kind={kind}")).await.must(200);
    assert_eq!(events["items"].as_array().map(Vec::len), Some(1), "{events}");
    events["items"][0].clone()
}

/// What the trial warnings of this moment are, after the scheduler has looked for them.
async fn warnings(here: &Here) -> Vec<String> {
    once(&here.app.services, "trial_warnings", here.app.clock.now()).await.expect("a duty");
    let mut occasions = here.app.mails("trial_ending").await;
    occasions.extend(here.app.mails("trial_ended").await);
    let mut occasions: Vec<_> = occasions.into_iter().map(|(_, occasion)| occasion).collect();
    occasions.sort();
    occasions
}

fn time(value: &Value) -> DateTime<Utc> {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

both_engines! {
    async fn usage_tells_what_intents_have_used(app: App with UNPACED) {
        let here = Here::new(app).await;
        let newcomer = here.sign_up("eve").await.client;
        let before = usage(&newcomer).await;
        assert_eq!((&before["period_start"], &before["credits"]), (&Value::Null, &Value::Null), "{before}");
        assert_eq!(newcomer.get("/payments/subscription").await.must(200)["status"], "none");

        let ada = here.verified("ada").await.client;
        let begun = here.app.clock.now();
        let before = usage(&ada).await;
        assert_eq!(before["tier"], "free_trial");
        assert_eq!(time(&before["period_end"]), begun + TimeDelta::days(30));
        assert_eq!(before["workflows"], json!({"used": 0, "limit": 10}));
        assert_eq!(before["credits"], json!({"total": 10, "remaining": 10}));
        assert_eq!(before["agents"], json!({"busy": 0, "limit": 2}));
        assert_eq!(before["storage"], json!({"bytes": 0, "limit_bytes": 1_000_000_000}));
        assert_eq!(before["cost"], json!({"amount_minor": 0, "currency": "USD", "dollars": 0.0}));

        let mail = json!([{"id": "mail", "action": "email.send", "with": {
            "to": "bob@example.com", "subject": "Hello", "body": "Hello, Bob",
        }}]);
        let ids = [ada.submit(&planned(&mail)).await, ada.submit(&planned(&mail)).await];
        here.app.run_until_idle().await;
        let after = usage(&ada).await;
        assert_eq!(after["workflows"], json!({"used": 2, "limit": 10}));
        assert_eq!(after["credits"], json!({"total": 10, "remaining": 8}));
        assert!(after["storage"]["bytes"].as_i64().is_some_and(|bytes| bytes > 20), "{after}");
        let cost = ada.workflow(&ids[0]).await["cost"].as_f64().expect("a cost");
        assert!(cost > 0.0);
        assert_eq!(after["cost"]["dollars"].as_f64(), Some(2.0 * cost), "{after}");
        let own = ada.get("/payments/subscription").await.must(200);
        assert_eq!((&own["tier"], &own["status"]), (&json!("free_trial"), &json!("trial")));
        assert_eq!((&own["workflows_used"], &own["workflows_limit"]), (&json!(2), &json!(10)));
    }

    async fn what_others_use_is_for_admins(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.verified("ada").await, here.verified("eve").await.client);
        let root = here.admin("root").await.client;
        ada.client.submit(&hello()).await;
        let of_ada = format!("/payments/usage/{}", ada.id);
        let own = usage(&ada.client).await;
        assert_eq!(ada.client.get(&of_ada).await.must(200), own);
        assert_eq!(root.get(&of_ada).await.must(200), own);
        eve.get(&of_ada).await.problem(403, "forbidden");
        // Whether there is such an account is not said.
        eve.get(&format!("/payments/usage/{UNKNOWN}")).await.problem(403, "forbidden");
        root.get(&format!("/payments/usage/{UNKNOWN}")).await.problem(404, "not_found");
        root.get("/payments/usage/me").await.problem(404, "not_found");
        here.nobody.get(&of_ada).await.problem(401, "unauthorized");
        eve.get("/payments/subscriptions").await.problem(403, "forbidden");
        eve.get(&format!("/payments/subscriptions/{}", ada.id)).await.problem(403, "forbidden");
        let body = json!({"days": 1, "tier": "student", "reason": "Please"});
        extend(&eve, &ada, &body).await.problem(403, "forbidden");
        adjust(&ada.client, &ada, &body).await.problem(403, "forbidden");
    }
}

both_engines! {
    async fn an_extended_trial_lives_again_and_is_warned_of_again(app: App) {
        let here = Here::new(app).await;
        let (ada, _root) = (here.verified("ada").await, here.admin("root").await);
        let end = here.app.clock.now() + TimeDelta::days(30);
        here.pass(TimeDelta::days(29));
        let first = warnings(&here).await.len();
        here.pass(TimeDelta::days(2));
        let ended = warnings(&here).await.len();
        // The admin's trial is told of as well.
        assert_eq!((first, ended), (2, 4));
        let client = again(&here, "ada").await;
        client.post(INTENTS, &hello()).await.problem(402, "trial_expired");
        assert_eq!(entitled(&client).await["allowed"], false);
        assert_eq!(client.get("/payments/subscription").await.must(200)["status"], "none");

        let root = again(&here, "root").await;
        let now = here.app.clock.now();
        let more = json!({"days": 10, "credits": 3, "reason": " Was on holiday "});
        let trial = extend(&root, &ada, &more).await.must(200);
        assert_eq!((time(&trial["ends_at"]), &trial["is_active"]), (now + TimeDelta::days(10), &json!(true)));
        assert_eq!((&trial["credits_total"], &trial["credits_remaining"]), (&json!(13), &json!(13)));
        assert_eq!(entitled(&client).await, json!({"allowed": true, "credits_remaining": 12}));
        client.submit(&hello()).await;
        // A running one is moved from its end.
        here.pass(TimeDelta::seconds(1));
        let less = json!({"days": 5, "reason": "Still busy"});
        let trial = extend(&root, &ada, &less).await.must(200);
        assert_eq!((time(&trial["ends_at"]), &trial["credits_total"]), (now + TimeDelta::days(15), &json!(13)));

        let mut told = Vec::new();
        for _ in 0..17 {
            told.push(warnings(&here).await.len() - ended);
            here.pass(TimeDelta::days(1));
        }
        assert_eq!(told, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4, 4]);
        again(&here, "ada").await.post(INTENTS, &hello()).await.problem(402, "trial_expired");

        let events = again(&here, "root").await.get("/auth/audit?kind=trial_extended").await.must(200);
        let event = &events["items"][1];
        assert_eq!(event["user_id"], json!(ada.id), "{events}");
        assert!(event["actor"].as_str().is_some_and(|actor| actor.starts_with("admin:")), "{event}");
        let detail = &event["detail"];
        assert_eq!((&detail["reason"], &detail["credits"]), (&json!("Was on holiday"), &json!(3)));
        assert_eq!((time(&detail["from"]), time(&detail["to"])), (end, now + TimeDelta::days(10)));
        here.app.check_invariants().await;
    }

    async fn an_extension_that_makes_no_sense_changes_nothing(app: App) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.verified("ada").await, here.sign_up("eve").await);
        let root = here.admin("root").await.client;
        for (body, fields) in [
            (json!({"days": 0, "reason": "x"}), vec!["days"]),
            (json!({"days": 91, "credits": 1001, "reason": " "}), vec!["days", "credits", "reason"]),
            (json!({"days": 1, "credits": -1, "reason": "x\ny"}), vec!["credits", "reason"]),
            (json!({"days": 1, "reason": "x".repeat(501)}), vec!["reason"]),
            (json!({"reason": "x"}), vec!["days"]),
            (json!({"days": 1, "reason": "x", "tier": "student"}), vec!["tier"]),
        ] {
            let problem = extend(&root, &ada, &body).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), fields, "{problem}");
        }
        let one = json!({"days": 1, "reason": "x"});
        extend(&root, &eve, &one).await.problem(409, "wrong_state");
        root.post(&format!("/payments/subscriptions/{UNKNOWN}/extend-trial"), &one).await.problem(404, "not_found");
        ada.client.close(PASSWORD).await.empty(204);
        extend(&root, &ada, &one).await.problem(409, "wrong_state");
        let events = root.get("/auth/audit?kind=trial_extended").await.must(200);
        assert_eq!(events["items"], json!([]));
    }
}

both_engines! {
    async fn a_subscription_that_an_admin_gives_applies_at_once_and_is_told_by_mail(app: App with SMALL) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await;
        let root = here.admin("root").await.client;
        let of_ada = format!("/payments/subscriptions/{}", ada.id);
        root.get(&of_ada).await.problem(404, "not_found");
        let now = here.app.clock.now();
        let end = now + TimeDelta::days(365);
        let given = json!({"tier": "student", "current_period_end": end, "reason": "Scholarship"});
        let body = adjust(&root, &ada, &given).await.must(200);
        assert_eq!((&body["tier"], &body["status"]), (&json!("student"), &json!("active")));
        assert_eq!(body["email"], json!(address("ada")));
        assert_eq!(root.get(&of_ada).await.must(200), body);
        let own = ada.client.get("/payments/subscription").await.must(200);
        assert_eq!((time(&own["current_period_start"]), time(&own["current_period_end"])), (now, end));
        assert_eq!((&own["workflows_limit"], &own["entitles"]), (&json!(3), &json!(true)));
        assert_eq!(ada.client.get("/auth/me").await.must(200)["tier"], "student");
        let shown = usage(&ada.client).await;
        assert_eq!((&shown["agents"]["limit"], &shown["credits"]), (&json!(5), &Value::Null), "{shown}");

        // The month's workflows, and no credits.
        for left in (0..3).rev() {
            assert_eq!(entitled(&ada.client).await, json!({"allowed": true, "workflows_remaining": left}));
            let accepted = ada.client.post(INTENTS, &hello()).await.must(202);
            assert_eq!(accepted["credits_remaining"], Value::Null);
        }
        let refused = ada.client.post(INTENTS, &hello()).await.problem(403, "workflow_limit_reached");
        assert_eq!(entitled(&ada.client).await, json!({"allowed": false, "reason": refused["detail"]}));
        assert_eq!(usage(&ada.client).await["workflows"], json!({"used": 3, "limit": 3}));
        assert_eq!(ada.client.credits().await, 10);

        let mails = here.mails("ada", CHANGED).await;
        assert_eq!(mails.len(), 1);
        let text = &mails[0].text;
        assert!(text.contains("Plan: none → student") && text.contains("Reason: Scholarship"), "{text}");
        let event = event(&root, "subscription_adjusted").await;
        assert_eq!((&event["user_id"], &event["detail"]["reason"]), (&json!(ada.id), &json!("Scholarship")));
        assert_eq!(event["detail"]["tier"], json!({"from": null, "to": "student"}));

        // The same once more is no change.
        adjust(&root, &ada, &given).await.must(200);
        // Enterprise has no limit.
        adjust(&root, &ada, &json!({"tier": "enterprise", "reason": "Hired"})).await.must(200);
        ada.client.submit(&hello()).await;
        assert_eq!(usage(&ada.client).await["workflows"], json!({"used": 4, "limit": null}));
        assert_eq!(here.mails("ada", CHANGED).await.len(), 2);

        // In the next month of the year, there are as many again.
        adjust(&root, &ada, &json!({"tier": "student", "reason": "Back to school"})).await.must(200);
        ada.client.post(INTENTS, &hello()).await.problem(403, "workflow_limit_reached");
        here.pass(TimeDelta::days(31));
        let client = again(&here, "ada").await;
        assert_eq!(usage(&client).await["workflows"], json!({"used": 0, "limit": 3}));
        client.submit(&hello()).await;
        assert_eq!(usage(&client).await["workflows"], json!({"used": 1, "limit": 3}));
        here.app.check_invariants().await;
    }

    async fn a_payment_that_is_past_due_is_forgiven_for_a_week(app: App) {
        let here = Here::new(app).await;
        let ada = here.verified("ada").await;
        here.admin("root").await;
        // The trial is over, so that nothing else pays.
        here.pass(TimeDelta::days(31));
        let root = again(&here, "root").await;
        let end = here.app.clock.now() + TimeDelta::days(1);
        let mut given = json!({"tier": "employee", "status": "past_due", "reason": "Card expired"});
        given["current_period_end"] = json!(end);
        adjust(&root, &ada, &given).await.must(200);
        here.pass(TimeDelta::days(8) - TimeDelta::seconds(1));
        let client = again(&here, "ada").await;
        client.submit(&hello()).await;
        assert_eq!(client.get("/auth/me").await.must(200)["tier"], "employee");
        here.pass(TimeDelta::seconds(1));
        client.post(INTENTS, &hello()).await.problem(402, "subscription_required");
        assert_eq!(usage(&client).await["tier"], "free_trial");
        let own = client.get("/payments/subscription").await.must(200);
        assert_eq!((&own["tier"], &own["status"]), (&json!("employee"), &json!("past_due")));
        assert_eq!(own["entitles"], false);

        // Paid after all; and then cancelled.
        let root = again(&here, "root").await;
        let next = here.app.clock.now() + TimeDelta::days(30);
        let paid = json!({"status": "active", "current_period_end": next, "reason": "Paid by transfer"});
        adjust(&root, &ada, &paid).await.must(200);
        client.submit(&hello()).await;
        adjust(&root, &ada, &json!({"status": "canceled", "reason": "Asked for it"})).await.must(200);
        client.post(INTENTS, &hello()).await.problem(402, "subscription_required");
        let text = here.mails("ada", CHANGED).await.into_iter().map(|mail| mail.text).collect::<String>();
        for change in ["Status: none → past due", "Status: past due → active", "Status: active → canceled"] {
            assert!(text.contains(change), "{change} in {text}");
        }
    }

    async fn an_adjustment_that_makes_no_sense_changes_nothing(app: App) {
        let here = Here::new(app).await;
        let ada = here.sign_up("ada").await;
        let root = here.admin("root").await.client;
        let (now, end) = (here.app.clock.now(), here.app.clock.now() + TimeDelta::days(30));
        for (body, fields) in [
            (json!({"reason": "x"}), vec!["body"]),
            (json!({"tier": "student"}), vec!["reason"]),
            (json!({"tier": "free_trial", "reason": ""}), vec!["tier", "reason"]),
            (json!({"tier": "gold", "reason": "x"}), vec!["tier"]),
            (json!({"status": "trialing", "reason": "x"}), vec!["status"]),
            (json!({"current_period_end": "+10000-01-01T00:00:00Z", "reason": "x"}), vec!["current_period_end"]),
            // There is none yet.
            (json!({"tier": "student", "reason": "x"}), vec!["current_period_end"]),
            (json!({"current_period_end": end, "reason": "x"}), vec!["tier"]),
            (json!({"status": "active", "reason": "x"}), vec!["tier", "current_period_end"]),
            (json!({"tier": "student", "current_period_end": now, "reason": "x"}), vec!["current_period_end"]),
        ] {
            let problem = adjust(&root, &ada, &body).await.problem(422, "validation_failed");
            assert_eq!(faulty(&problem), fields, "{problem}");
        }
        let given = json!({"tier": "student", "current_period_end": end, "reason": "x"});
        root.post(&format!("/payments/subscriptions/{UNKNOWN}/adjust"), &given).await.problem(404, "not_found");
        assert_eq!(root.get("/payments/subscriptions").await.must(200)["items"], json!([]));
        assert_eq!(root.get("/auth/audit?kind=subscription_adjusted").await.must(200)["items"], json!([]));
        assert!(here.mails("ada", CHANGED).await.is_empty());
        ada.client.close(PASSWORD).await.empty(204);
        adjust(&root, &ada, &given).await.problem(409, "wrong_state");
    }

    async fn subscriptions_are_listed_in_pages_by_status_and_tier(app: App) {
        let here = Here::new(app).await;
        let root = here.admin("root").await.client;
        let end = here.app.clock.now() + TimeDelta::days(30);
        for (name, tier, status) in
            [("ada", "student", "active"), ("bob", "enterprise", "canceled"), ("eve", "student", "past_due")]
        {
            here.pass(TimeDelta::milliseconds(1));
            let user = here.sign_up(name).await;
            let given = json!({"tier": tier, "status": status, "current_period_end": end, "reason": "x"});
            adjust(&root, &user, &given).await.must(200);
        }
        let list = async |query: &str| {
            let page = root.get(&format!("/payments/subscriptions?{query}")).await.must(200);
            let items = page["items"].as_array().expect("items").iter();
            let emails = items.map(|item| item["email"].as_str().unwrap_or_default().to_owned());
            (emails.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
        };
        assert_eq!(list("").await.0, ["eve", "bob", "ada"].map(address));
        assert_eq!(list("tier=student").await.0, ["eve", "ada"].map(address));
        assert_eq!(list("tier=student&status=active").await.0, ["ada"].map(address));
        let (first, next) = list("limit=2").await;
        assert_eq!(first, ["eve", "bob"].map(address));
        let (second, last) = list(&format!("limit=2&cursor={}", next.expect("a cursor"))).await;
        assert_eq!((second, last), (vec![address("ada")], None));
        for query in ["status=trialing", "tier=free_trial", "cursor=x"] {
            assert_eq!(root.get(&format!("/payments/subscriptions?{query}")).await.status, 400, "{query}");
        }
    }
}

both_engines! {
    async fn credits_that_run_low_are_told_of_once_for_each_grant(app: App with UNPACED) {
        let here = Here::new(app).await;
        let (ada, eve) = (here.verified("ada").await, here.verified("eve").await);
        let root = here.admin("root").await.client;
        let low = async |name: &str| {
            let mails = here.mails(name, "Your AUTOOS trial has").await;
            mails.into_iter().map(|mail| mail.subject).collect::<Vec<_>>()
        };
        for _ in 0..7 {
            ada.client.submit(&hello()).await;
        }
        ada.client.post("/api/v1/intents/preview", &hello()).await.must(200);
        assert!(low("ada").await.is_empty());
        let ask = json!([{"id": "wait", "action": "wait", "with": {"seconds": 3600}}]);
        let mut later = planned(&ask);
        later["run_at"] = json!(here.app.clock.now() + TimeDelta::days(1));
        let last = ada.client.submit(&later).await;
        let told = ["Your AUTOOS trial has 2 credits left"];
        assert_eq!(low("ada").await, told);
        // Given back and taken again.
        ada.client.delete(&format!("/api/v1/workflows/{last}")).await.must(200);
        assert_eq!(ada.client.credits().await, 3);
        ada.client.submit(&hello()).await;
        assert_eq!(low("ada").await, told);
        // More credits run low again.
        extend(&root, &ada, &json!({"days": 1, "credits": 1, "reason": "x"})).await.must(200);
        ada.client.submit(&hello()).await;
        assert_eq!(low("ada").await.len(), 2);

        // Several at once tell what is left in the end; what is refused as a whole tells nothing.
        let batch = |count: usize| json!({"intents": vec![hello(); count]});
        eve.client.post("/api/v1/intents/batch", &batch(11)).await.problem(403, "trial_credits_exhausted");
        assert!(low("eve").await.is_empty());
        eve.client.post("/api/v1/intents/batch", &batch(10)).await.must(202);
        assert_eq!(low("eve").await, ["Your AUTOOS trial has no credits left"]);
    }
}

journey! {
    async fn an_admin_gives_a_subscription_and_its_owner_goes_on(site: Site with UNPACED) {
        let (root, ada) = (site.admin("root").await, site.user("ada").await);
        let me = ada.get("/auth/me").await.must(200);
        for _ in 0..10 {
            ada.submit(&hello()).await;
        }
        ada.post(INTENTS, &hello()).await.problem(403, "trial_credits_exhausted");
        site.mail(&address("ada"), "2 credits left").await;
        let path = format!("/payments/subscriptions/{}/adjust", me["user_id"].as_str().unwrap_or_default());
        let given = json!({"tier": "professional", "current_period_end": "2099-01-01T00:00:00Z", "reason": "A friend"});
        root.post(&path, &given).await.must(200);
        ada.submit(&hello()).await;
        assert_eq!(usage(&ada).await["workflows"], json!({"used": 1, "limit": null}));
        let mail = site.mail(&address("ada"), CHANGED).await;
        assert!(mail.text.contains("Until: none → 1 January 2099, 00:00 UTC"), "{}", mail.text);
    }
}
