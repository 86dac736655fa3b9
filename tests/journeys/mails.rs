//! The mails that people get on their way, each once, as they arrive: as files embedded, over SMTP scaled.

use serde_json::json;

use super::address;
use super::client::planned;

journey! {
    async fn a_newcomer_gets_a_link_and_then_a_welcome_each_once(site: Site) {
        let signed_up = site.sign_up("ada").await;
        let link = site.mail(&address("ada"), "Confirm your address").await;
        assert!(link.text.contains("Hello Ada Lovelace"), "{}", link.text);
        assert!(site.mails().iter().all(|mail| !mail.subject.contains("Welcome")), "welcomed before verified");

        let ada = site.client().with_tokens(&signed_up["tokens"]);
        let token = json!({"token": site.verification_token("ada").await});
        ada.post("/auth/verify-email", &token).await.must(200);
        let welcome = site.mail(&address("ada"), "Welcome").await;
        assert!(welcome.text.contains("You have 10 credits"), "{}", welcome.text);
        let sent: Vec<_> = site.mails().into_iter().map(|mail| mail.message_id).collect();
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_ne!(sent[0], sent[1]);
    }

    async fn the_owner_is_told_of_a_failure_and_why(site: Site) {
        let ada = site.user("ada").await;
        let template = "{{ context.nothing.at.all }}";
        let workflow = ada.submit(&json!({
            "intent": "Render what is not there",
            "plan": {"steps": [{"id": "render", "action": "template.render", "with": {"template": template}}]},
        })).await;
        let failed = ada.ends(&workflow, "failed").await;
        let mail = site.mail(&address("ada"), "Failed: Render what is not there").await;
        let error = failed["error"].as_str().unwrap_or("no error");
        // Long lines are not wrapped, so the reason stands in the mail as it is.
        assert!(mail.text.contains(error) && mail.text.contains(&workflow), "{error} in {}", mail.text);
    }

    async fn a_mail_goes_to_all_whom_a_step_names(site: Site) {
        let ada = site.user("ada").await;
        let workflow = ada.submit(&planned(&json!([
            {"id": "mail", "action": "email.send", "with": {
                "to": ["bob@example.com", "eve@example.com"], "subject": "Grüße – heute", "body": "Schöne Grüße.\n",
            }},
        ]))).await;
        let done = ada.ends(&workflow, "completed").await;
        let mail = site.mail("bob@example.com, eve@example.com", "Grüße – heute").await;
        assert_eq!(mail.text.trim_end(), "Schöne Grüße.");
        assert_eq!(mail.message_id, format!("<{workflow}.mail@autoos>"));
        assert_eq!(done["result"]["message_id"], format!("{workflow}.mail@autoos"), "{done}");
    }
}
