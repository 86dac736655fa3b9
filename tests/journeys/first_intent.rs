//! The first hour with it: sign up, submit, read, and meet the two limits of a trial.

use std::time::Instant;

use serde_json::json;

use super::client::{id, planned};
use super::{PRIVATE, UNPACED, address};
use crate::harness::stand_in_http::StandInHttp;

const REPORT: &str = "Send weekly sales report email";

journey! {
    async fn an_intent_is_submitted_once_the_address_is_verified_and_can_be_read(site: Site) {
        let signed_up = site.sign_up("ada").await;
        assert_eq!(signed_up["tokens"]["token_type"], "Bearer", "{signed_up}");
        assert_eq!(signed_up["tokens"]["expires_in"], 900, "{signed_up}");
        assert_eq!(signed_up["user"]["email"], address("ada"), "{signed_up}");
        assert_eq!(signed_up["user"]["tier"], "free_trial", "{signed_up}");
        assert_eq!(signed_up["user"]["email_verified"], false, "{signed_up}");

        let ada = site.client().with_tokens(&signed_up["tokens"]);
        let intent = json!({ "intent": REPORT });
        ada.post("/api/v1/intents", &intent).await.problem(403, "email_not_verified");
        ada.get("/payments/trial").await.problem(404, "not_found");

        let token = json!({"token": site.verification_token("ada").await});
        let verified = ada.post("/auth/verify-email", &token).await.must(200);
        assert_eq!(verified["user"]["email_verified"], true, "{verified}");
        assert_eq!(verified["trial"]["credits_remaining"], 10, "{verified}");

        let accepted = ada.post("/api/v1/intents", &intent).await.must(202);
        assert_eq!(accepted["status"], "pending", "{accepted}");
        assert_eq!(accepted["message"], "Intent submitted successfully. Trial credits remaining: 9", "{accepted}");
        assert_eq!(accepted["credits_remaining"], 9, "{accepted}");
        assert!(accepted["estimated_cost"].is_number() && accepted["estimated_time"].is_number(), "{accepted}");

        let workflow = ada.waits_for_a_person(&id(&accepted), 0).await;
        assert_eq!(workflow["intent"], REPORT, "{workflow}");
        assert_eq!(workflow["status"], "running", "{workflow}");
        let reason = workflow["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("Waiting for you"), "{workflow}");
        assert_eq!(ada.credits().await, 9);
    }

    async fn the_eleventh_rapid_intent_is_told_when_to_come_back(site: Site) {
        let ada = site.user("ada").await;
        let intent = json!({"intent": "Say hello"});
        let begin = Instant::now();
        for left in (0..10).rev() {
            let answer = ada.post("/api/v1/intents", &intent).await;
            assert_eq!(answer.must(202)["credits_remaining"], left);
            assert_eq!(answer.header("ratelimit-limit"), "10");
            assert_eq!(answer.header("ratelimit-remaining"), left.to_string());
        }
        let answer = ada.post("/api/v1/intents", &intent).await;
        answer.problem(429, "rate_limited");
        assert_eq!(answer.header("ratelimit-remaining"), "0");
        assert_eq!(answer.header("ratelimit-reset"), answer.header("retry-after"));
        // True: a minute after the first one, which was let in after `begin`.
        let earliest = 60_u64.saturating_sub(begin.elapsed().as_secs() + 1);
        let seconds = answer.header("retry-after").parse::<u64>();
        assert!(seconds.as_ref().is_ok_and(|seconds| (earliest..=60).contains(seconds)), "{seconds:?}, {earliest}");
        let list = ada.get("/api/v1/workflows?limit=100").await.must(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(10));
    }

    async fn the_eleventh_paced_intent_finds_the_credits_used_up(site: Site with UNPACED) {
        let ada = site.user("ada").await;
        let intent = json!({"intent": "Say hello"});
        for _ in 0..10 {
            ada.submit(&intent).await;
        }
        let refused = ada.post("/api/v1/intents", &intent).await.problem(403, "trial_credits_exhausted");
        assert_eq!(refused["detail"], "Trial credits exhausted. Please upgrade to continue.");
        assert_eq!(ada.credits().await, 0);
        let list = ada.get("/api/v1/workflows?limit=100").await.must(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(10));
    }

    async fn a_plan_fetches_renders_and_mails(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let workflow = ada.submit(&planned(&json!([
            {"id": "sales", "action": "http.request", "with": {"url": format!("{}/json", partner.base_url())}},
            {"id": "report", "action": "template.render", "needs": ["sales"],
             "with": {"template": "{{ user.full_name }}, the total is {{ steps.sales.output.json.total }}."}},
            {"id": "mail", "action": "email.send", "needs": ["report"],
             "with": {"to": "{{ user.email }}", "subject": "Sales", "body": "{{ steps.report.output.text }}"}},
        ]))).await;
        let done = ada.ends(&workflow, "completed").await;
        assert_eq!(done["steps_completed"], 3, "{done}");
        assert_eq!(done["steps"][0]["output"]["json"]["total"], 1234.5, "{done}");
        assert_eq!(done["result"]["to"], json!([address("ada")]), "{done}");
        let mail = site.mail(&address("ada"), "Sales").await;
        assert_eq!(mail.text.trim_end(), "Ada Lovelace, the total is 1234.5.");
    }

    async fn the_weekly_sales_report_is_fetched_from_the_given_address(site: Site with PRIVATE) {
        let (ada, partner) = (site.user("ada").await, StandInHttp::start().await);
        let url = format!("{}/json", partner.base_url());
        let intent = json!({"intent": REPORT, "context": {"sales_url": url, "to": "boss@example.com"}});
        let workflow = ada.submit(&intent).await;
        let done = ada.ends(&workflow, "completed").await;
        assert_eq!(done["planner"], "recipe:weekly-sales-report", "{done}");
        let mail = site.mail("boss@example.com", "Weekly sales report").await;
        assert!(mail.text.contains("total: 1234.5") && mail.text.contains(&url), "{}", mail.text);
    }

    async fn the_weekly_sales_report_asks_for_figures_that_nobody_gave(site: Site) {
        let ada = site.user("ada").await;
        let workflow = ada.submit(&json!({ "intent": REPORT })).await;
        let waiting = ada.waits_for_a_person(&workflow, 0).await;
        assert_eq!(waiting["planner"], "recipe:weekly-sales-report-by-hand", "{waiting}");
        let step = waiting["steps"][0]["step_id"].as_str().unwrap_or_default();
        let path = format!("/api/v1/workflows/{workflow}/steps/{step}/complete");
        ada.post(&path, &json!({"output": {"text": "North 700, south 534"}})).await.must(200);
        ada.ends(&workflow, "completed").await;
        let mail = site.mail(&address("ada"), "Weekly sales report").await;
        assert!(mail.text.contains("North 700, south 534"), "{}", mail.text);
    }

    async fn a_preview_shows_plan_and_price_and_charges_nothing(site: Site) {
        let ada = site.user("ada").await;
        let intent = json!({"intent": REPORT, "context": {"sales_url": "https://example.com/sales.json"}});
        let preview = ada.post("/api/v1/intents/preview", &intent).await.must(200);
        assert_eq!(preview["plan"]["steps"].as_array().map(Vec::len), Some(3), "{preview}");
        assert_eq!(preview["planner"], "recipe:weekly-sales-report", "{preview}");
        assert!(preview["estimated_cost"].as_f64().is_some_and(|cost| cost > 0.0), "{preview}");
        assert_eq!(preview["entitled"]["allowed"], true, "{preview}");
        assert_eq!(preview["entitled"]["credits_remaining"], 9, "{preview}");
        assert_eq!(ada.credits().await, 10);
        assert_eq!(ada.get("/api/v1/workflows").await.must(200)["items"], json!([]));
    }
}
