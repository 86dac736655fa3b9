use serde_json::json;

use super::*;

fn scope() -> Value {
    json!({
        "intent": "send the report",
        "context": {"limit": 3, "ratio": 0.5, "on": true, "tags": ["a", "b"], "none": null},
        "user": {"email": "ada@example.com", "full_name": "Ada <Lovelace>", "username": "ada"},
        "steps": {"sales": {"output": {"json": {"total": 42, "rows": [{"n": 1}, {"n": 2}]}}}},
    })
}

fn text(template: &str) -> Result<String, TemplateError> {
    Templates::default().render_text(template, &scope())
}

fn value(value: &Value) -> Result<Value, TemplateError> {
    Templates::default().render_value(value, &scope())
}

fn holds(expr: &str) -> Result<bool, TemplateError> {
    Templates::default().eval_bool(expr, &scope())
}

#[test]
fn text_is_filled_in_without_escaping() {
    assert_eq!(
        text("Dear {{ user.full_name }}, {{ steps.sales.output.json.total }}!").unwrap(),
        "Dear Ada <Lovelace>, 42!"
    );
    assert_eq!(text("{% for row in steps.sales.output.json.rows %}{{ row.n }};{% endfor %}").unwrap(), "1;2;");
    assert_eq!(text("no template").unwrap(), "no template");
}

#[test]
fn a_sole_expression_keeps_its_type() {
    for (template, expected) in [
        ("{{ context.limit }}", json!(3)),
        ("{{context.limit + 1}}", json!(4)),
        (" {{- context.ratio -}}\n", json!(0.5)),
        ("{{ context.on }}", json!(true)),
        ("{{ context.none }}", Value::Null),
        ("{{ context.tags }}", json!(["a", "b"])),
        ("{{ steps.sales.output.json }}", json!({"total": 42, "rows": [{"n": 1}, {"n": 2}]})),
        ("{{ {'n': context.limit} }}", json!({"n": 3})),
        ("{{ user.email }}", json!("ada@example.com")),
        ("{{ context.limit | string }}", json!("3")),
        ("{{ '}}' }}", json!("}}")),
    ] {
        assert_eq!(value(&json!({"x": template})).unwrap(), json!({"x": expected}), "{template}");
    }
}

#[test]
fn two_expressions_or_any_text_beside_one_make_a_text() {
    assert_eq!(value(&json!("{{ context.limit }}{{ context.limit }}")).unwrap(), json!("33"));
    assert_eq!(value(&json!("n={{ context.limit }}")).unwrap(), json!("n=3"));
}

#[test]
fn values_are_rendered_at_any_depth_and_the_rest_is_left_alone() {
    let given = json!({"a": [1, null, {"b": "{{ user.username }}"}], "c": "plain", "{{ key }}": false});
    let expected = json!({"a": [1, null, {"b": "ada"}], "c": "plain", "{{ key }}": false});
    assert_eq!(value(&given).unwrap(), expected);
}

#[test]
fn what_a_template_inserts_is_not_a_template_again() {
    let scope = json!({"context": {"evil": "{{ secret }}"}, "secret": "x"});
    let templates = Templates::default();
    assert_eq!(templates.render_text("{{ context.evil }}", &scope).unwrap(), "{{ secret }}");
    assert_eq!(templates.render_value(&json!("{{ context.evil }}"), &scope).unwrap(), json!("{{ secret }}"));
}

#[test]
fn a_name_that_does_not_exist_is_an_error_that_names_it() {
    assert_eq!(text("Hi {{ user.phone }}"), Err(TemplateError::Missing("user.phone".into())));
    assert_eq!(text("{{ steps.mail.output }}"), Err(TemplateError::Missing("steps.mail.output".into())));
    let error = value(&json!({"list": ["ok", "{{ steps.sales.output.json.sum }}"]})).unwrap_err();
    assert_eq!(error.to_string(), "with.list[1]: `steps.sales.output.json.sum` does not exist");
    assert!(matches!(text("{{ context['nothing'] }}"), Err(TemplateError::Failed(_))));
}

#[test]
fn a_default_makes_a_missing_name_fine() {
    assert_eq!(text("{{ context.colour | default('red') }}").unwrap(), "red");
    assert_eq!(value(&json!("{{ context.size | default(7) }}")).unwrap(), json!(7));
}

#[test]
fn conditions_are_true_or_false_with_or_without_braces() {
    assert!(holds("context.limit > 2 and user.username == 'ada'").unwrap());
    assert!(holds("{{ context.on }}").unwrap());
    assert!(!holds("context.limit > 3").unwrap());
    assert!(!holds("context.none").unwrap());
    assert_eq!(holds("context.nothing"), Err(TemplateError::Missing("context.nothing".into())));
}

#[test]
fn endless_work_is_stopped() {
    let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% set x = a * b %}{% endfor %}{% endfor %}";
    assert_eq!(text(nested), Err(TemplateError::TooMuchWork));
    assert_eq!(text("{{ 'x' * 90000000 }}"), Err(TemplateError::TooMuchWork));
    let many = vec!["{{ 1 }}"; MAX_TEMPLATES + 1];
    assert!(
        matches!(value(&json!(many)), Err(TemplateError::At { problem, .. }) if *problem == TemplateError::TooMuchWork)
    );
}

#[test]
fn results_over_a_mebibyte_are_refused_one_by_one_and_in_sum() {
    assert_eq!(text("{{ 'x' * 1100000 }}"), Err(TemplateError::TooLarge));
    let half = "{{ 'x' * 600000 }}";
    assert!(value(&json!([half])).is_ok());
    assert!(
        matches!(value(&json!([half, half])), Err(TemplateError::At { problem, .. }) if *problem == TemplateError::TooLarge)
    );
}

#[test]
fn a_template_reaches_nothing_outside_its_scope() {
    for template in ["{% include '/etc/passwd' %}", "{% extends 'base' %}", "{% import 'x' as x %}", "{{ debug() }}"] {
        assert!(text(template).is_err(), "{template}");
    }
}

#[test]
fn syntax_is_checked_without_rendering() {
    let templates = Templates::default();
    assert_eq!(templates.check_syntax("{{ steps.later.output }} and {{ intent }}"), Ok(()));
    let error = templates.check_syntax("Hi\n{{ user. }}").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(templates.check_syntax("{% if x %}").is_err());
    assert_eq!(templates.check_expression("{{ a > 1 }}"), Ok(()));
    assert!(templates.check_expression("a >").is_err());
}

#[test]
fn steps_are_found_where_templates_name_them() {
    let templates = Templates::default();
    let found =
        templates.steps_in_template("{{ steps.a.output.x }} {% if steps.b.output %}{{ user.email }}{% endif %}");
    assert_eq!(found, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(templates.steps_in_expression("steps.c.output.n > 1"), BTreeSet::from(["c".to_owned()]));
    assert!(Templates::mentions_steps(&json!({"x": [{"y": "{{ steps['a'] }}"}]})));
    assert!(!Templates::mentions_steps(&json!({"x": "three steps", "y": "{{ intent }}"})));
}
