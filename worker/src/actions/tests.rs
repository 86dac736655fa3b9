use serde_json::json;
use shared::clock::Clock;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// The first attempt at step `step` on New Year's Day 2026, at a quarter past nine.
pub(super) fn run_of(action: &str, with: Value) -> Run {
    Run {
        workflow: WorkflowId(Uuid::nil()),
        step: "step".into(),
        attempt: 1,
        now: DateTime::from_timestamp(1_767_258_900, 0).unwrap(),
        action: action.into(),
        with,
        limit: std::time::Duration::from_secs(30),
    }
}

/// Rules under which a server of the test can be reached.
pub(super) fn lenient_rules() -> HttpRules {
    HttpRules {
        allow_private: true,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
        max_redirects: 5,
    }
}

/// A mailer that writes into a folder of its own, and the folder.
pub(super) fn file_mailer() -> (Mailer, TempDir) {
    let now = run_of("", Value::Null).now;
    let dir = tempfile::tempdir().unwrap();
    (Mailer::files(dir.path(), "AUTOOS <autoos@example.com>".parse().unwrap(), Clock::manual(now)), dir)
}

fn actions() -> Actions {
    let (mailer, _) = file_mailer();
    Actions::new(Arc::new(Catalogue::new()), lenient_rules(), Arc::new(mailer)).unwrap()
}

#[tokio::test]
async fn every_action_of_the_catalogue_can_be_run() {
    let actions = actions();
    for (action, with) in [
        ("approval", json!({"message": "Go on?"})),
        ("data.extract", json!({"from": {"a": 1}, "path": "a"})),
        ("email.send", json!({"to": "ada@example.com", "subject": "x", "body": "y"})),
        ("human.task", json!({"instructions": "Check it."})),
        ("template.render", json!({"template": "done"})),
        ("wait", json!({"seconds": 1})),
    ] {
        assert!(actions.run(&run_of(action, with)).await.is_ok(), "{action}");
    }
    let unreachable = run_of("http.request", json!({"url": "http://127.0.0.1:1/"}));
    assert!(matches!(actions.run(&unreachable).await, Err(ActionError::Retry(_))));
    assert_eq!(Catalogue::new().all().len(), 7, "a new action wants a line here");
}

#[tokio::test]
async fn parameters_are_checked_before_anything_happens() {
    let with = json!({"to": "ada@example.com", "subject": 7, "colour": "red"});
    let Err(ActionError::Fail(message)) = actions().run(&run_of("email.send", with)).await else {
        panic!("must fail");
    };
    for part in ["with.subject must be a text, not a number", "with.colour is not known here", "with.body is missing"] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn an_unknown_action_fails_for_good() {
    let result = actions().run(&run_of("teleport", json!({}))).await;
    assert!(matches!(result, Err(ActionError::Fail(message)) if message.contains("teleport")));
}
