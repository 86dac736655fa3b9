use serde_json::json;

use super::*;

fn plan(steps: &Value) -> Plan {
    serde_json::from_value(json!({"steps": steps})).unwrap()
}

fn checked(steps: &Value) -> Vec<(String, String)> {
    let errors = Catalogue::new().check(&plan(steps), "plan");
    errors.into_iter().map(|error| (error.field, error.message)).collect()
}

fn one_step(action: &str, with: &Value) -> Vec<(String, String)> {
    checked(&json!([{"id": "a", "action": action, "with": with}]))
}

fn final_faults(action: &str, with: &Value) -> Vec<String> {
    let errors = Catalogue::new().check_params(action, with, "with");
    errors.into_iter().map(|error| format!("{} {}", error.field, error.message)).collect()
}

#[test]
fn every_action_has_a_schema_that_compiles_and_an_example_that_fits() {
    let catalogue = Catalogue::new();
    for action in catalogue.all() {
        assert!(jsonschema::options().build(&action.output).is_ok(), "{}", action.name);
        let errors = catalogue.faults(action.name, &action.example, "with", left_to_rendering);
        assert!(errors.is_empty(), "{}: {errors:?}", action.name);
        assert!(catalogue.get(action.name).is_some());
    }
}

#[test]
fn the_plan_of_the_handbook_is_right() {
    let errors = checked(&json!([
        {"id": "sales", "action": "http.request", "with": {"method": "GET", "url": "https://example.com/sales.json"}},
        {"id": "report", "action": "template.render", "needs": ["sales"],
         "with": {"template": "Total: {{ steps.sales.output.json.total }}"}},
        {"id": "mail", "action": "email.send", "needs": ["report"], "when": "steps.sales.output.status == 200",
         "with": {"to": "{{ user.email }}", "subject": "Weekly sales", "body": "{{ steps.report.output.text }}"}},
    ]));
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn all_errors_of_a_plan_come_at_once() {
    let errors = checked(&json!([
        {"id": "1st", "action": "teleport", "with": {}},
        {"id": "get", "action": "http.request", "when": "a >",
         "with": {"url": "ftp://x", "colour": "red", "max_bytes": 0}},
        {"id": "mail", "action": "email.send", "needs": ["nobody"],
         "with": {"to": [], "subject": "{{ oops", "body": 1}},
    ]));
    let fields: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
    for field in [
        "plan.steps[0].id",
        "plan.steps[0].action",
        "plan.steps[1].when",
        "plan.steps[1].with.url",
        "plan.steps[1].with.colour",
        "plan.steps[1].with.max_bytes",
        "plan.steps[2].needs",
        "plan.steps[2].with.to",
        "plan.steps[2].with.subject",
        "plan.steps[2].with.body",
    ] {
        assert!(fields.contains(&field), "{field} is not among {errors:#?}");
    }
}

#[test]
fn faults_are_told_in_plain_words() {
    for (action, with, expected) in [
        ("email.send", json!({"to": "a@b.cc", "body": ""}), "with.subject is missing"),
        ("email.send", json!({"to": "a@b.cc", "subject": "", "body": ""}), "with.subject must not be empty"),
        ("email.send", json!({"to": "a@b.cc", "subject": "x", "body": 7}), "with.body must be a text, not a number"),
        (
            "email.send",
            json!({"to": "nobody", "subject": "x", "body": ""}),
            "with.to does not fit: One mail address, or a list of 1 to 20 of them",
        ),
        (
            "http.request",
            json!({"url": "https://ada:secret@example.com"}),
            "with.url does not fit: A full http or https URL without a user name or password: `https://example.com/path`",
        ),
        (
            "http.request",
            json!({"url": "https://x.example", "method": "FETCH"}),
            "with.method does not fit: GET, POST, PUT, PATCH, DELETE or HEAD",
        ),
        (
            "http.request",
            json!({"url": "https://x.example", "expect_status": [200, 42]}),
            "with.expect_status[1] must be at least 100",
        ),
        (
            "http.request",
            json!({"url": "https://x.example", "headers": {"X-A": 1}}),
            "with.headers.X-A must be a text, not a number",
        ),
        ("wait", json!({}), "with does not fit: Give either `seconds` or `until`, not both"),
        (
            "wait",
            json!({"seconds": 1, "until": "2026-01-31T09:00:00Z"}),
            "with does not fit: Give either `seconds` or `until`, not both",
        ),
        ("wait", json!({"seconds": 31_622_401}), "with.seconds must be at most 31622400"),
        ("wait", json!({"until": "tomorrow"}), "with.until must be a time with its zone, such as 2026-01-31T09:00:00Z"),
        ("approval", json!({"message": "ok?", "to": "x"}), "with.to is not known here; there are message"),
    ] {
        assert_eq!(final_faults(action, &with), [expected], "{action} {with}");
    }
}

#[test]
fn an_unknown_action_is_answered_with_those_that_exist() {
    let faults = final_faults("email.sent", &json!({}));
    assert!(faults[0].contains("\"email.sent\"") && faults[0].contains("email.send, http.request"), "{faults:?}");
}

#[test]
fn a_template_is_checked_again_when_it_is_rendered() {
    let with = json!({"to": ["{{ context.who }}", "b@example.com"], "subject": "x", "body": "{{ context.body }}"});
    assert!(one_step("email.send", &with).is_empty());
    assert_eq!(final_faults("email.send", &with).len(), 1);
    assert!(one_step("http.request", &json!({"url": "{{ context.url }}", "max_bytes": "{{ context.n }}"})).is_empty());
    assert!(one_step("wait", &json!({"seconds": "{{ context.pause }}"})).is_empty());
}

#[test]
fn a_fault_beside_a_template_is_still_found() {
    let errors = one_step("email.send", &json!({"to": "{{ user.email }}", "subject": "x"}));
    assert_eq!(errors, [("plan.steps[0].with.body".to_owned(), "is missing".to_owned())]);
}

#[test]
fn a_template_may_use_steps_that_are_needed_directly_or_not() {
    let errors = checked(&json!([
        {"id": "a", "action": "wait", "with": {"seconds": 1}},
        {"id": "b", "action": "wait", "needs": ["a"], "with": {"seconds": 1}},
        {"id": "c", "action": "template.render", "needs": ["b"],
         "with": {"template": "{{ steps.a.output.waited_until }}"}},
    ]));
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn a_template_may_not_use_steps_that_might_still_run() {
    let errors = checked(&json!([
        {"id": "a", "action": "wait", "with": {"seconds": 1}},
        {"id": "b", "action": "data.extract", "when": "steps.z.output.x",
         "with": {"from": ["{{ steps.a.output }}"], "path": "0"}},
    ]));
    let expected = [
        (
            "plan.steps[1].with.from[0]",
            "uses `steps.a`, but \"b\" does not need \"a\", directly or through other steps",
        ),
        ("plan.steps[1].when", "uses `steps.z`, but there is no step \"z\""),
    ];
    assert_eq!(errors, expected.map(|(field, message)| (field.to_owned(), message.to_owned())));
}

#[test]
fn a_default_of_null_is_not_the_same_as_none() {
    let extract = |value: Value| serde_json::from_value::<params::DataExtract>(value).unwrap().default;
    assert_eq!(extract(json!({"from": {}, "path": "a"})), None);
    assert_eq!(extract(json!({"from": {}, "path": "a", "default": null})), Some(Value::Null));
}
