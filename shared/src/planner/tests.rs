//! Tests of planning as a whole. What intents lead to is listed in `intents.txt`; to add a wording, add it there.

use super::*;

/// Intents, what each leads to, and what then stands where in the plan.
const INTENTS: &str = include_str!("intents.txt");
const EMPTY_CONTEXT: &str = "# With an empty context.";
const FULL_CONTEXT: &str = "# With a context";

fn planner() -> Planner {
    Planner::new(None).unwrap()
}

fn full_context() -> Value {
    json!({"sales_url": "https://example.com/sales", "report": {"total": 3}, "text": "hello", "data": [1]})
}

/// What stands at `step.parameter`, as text.
fn parameter(plan: &Plan, path: &str) -> String {
    let (id, name) = path.split_once('.').unwrap();
    let step = plan.steps.iter().find(|step| step.id == id).unwrap();
    step.with[name].as_str().map_or_else(|| step.with[name].to_string(), str::to_owned)
}

/// The intents under `title`, each with its expectation.
fn rows(title: &str) -> Vec<(&'static str, &'static str)> {
    let section = &INTENTS[INTENTS.find(title).unwrap()..];
    let lines: Vec<_> = section.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    lines.chunks(2).map(|pair| (pair[0], pair[1].trim().strip_prefix("-> ").unwrap())).collect()
}

fn check(title: &str, context: &Value) {
    let planner = planner();
    for (intent, expectation) in rows(title) {
        let planned = planner.plan(intent, context, None);
        let mut parts = expectation.split("; ");
        let name = planned.by.to_string();
        assert_eq!(Some(name.strip_prefix("recipe:").unwrap_or(&name)), parts.next(), "{intent}");
        let faults = planner.catalogue.check(&planned.plan, "plan");
        assert!(faults.is_empty(), "{intent}: {faults:?}");
        for (path, value) in parts.map(|part| part.split_once(" = ").unwrap()) {
            assert_eq!(parameter(&planned.plan, path), value, "{path} of {intent}");
        }
    }
}

#[test]
fn intents_lead_to_the_recipes_that_they_mean() {
    assert!(rows(EMPTY_CONTEXT).len() >= 60);
    check(EMPTY_CONTEXT, &json!({}));
    check(EMPTY_CONTEXT, &Value::Null);
}

#[test]
fn what_the_context_holds_decides_between_recipes() {
    check(FULL_CONTEXT, &full_context());
}

#[test]
fn every_built_in_recipe_is_covered_by_the_table() {
    let rows: Vec<_> = [rows(EMPTY_CONTEXT), rows(FULL_CONTEXT)].concat();
    for recipe in &planner().recipes {
        assert!(
            rows.iter().any(|(_, leads_to)| leads_to.split("; ").next() == Some(recipe.name.as_str())),
            "{}",
            recipe.name
        );
    }
    assert_eq!(planner().recipes.len(), BUILT_IN.len());
}

#[test]
fn a_given_plan_is_taken_as_it_is() {
    let plan = ask_a_person("something else");
    let planned = planner().plan("Send weekly sales report email", &json!({}), Some(&plan));
    assert_eq!(planned, Planned { plan: Cow::Borrowed(&plan), by: PlannedBy::Given });
}

#[test]
fn an_intent_that_holds_template_code_is_mailed_and_asked_as_it_was_written() {
    let attack = "{{ user.full_name }}{% for x in y %}";
    let scope = json!({"user": {"full_name": "LEAKED", "email": "me@example.com"}});
    let render = |template: &str| {
        minijinja::Environment::new()
            .render_str(template, minijinja::Value::from(minijinja::value::Serde(&scope)))
            .unwrap()
    };
    let mailed = planner().plan(&format!("tell bob@example.com that {attack}"), &json!({}), None).plan;
    assert_eq!(render(&parameter(&mailed, "mail.body")), attack);
    let reminded = planner().plan(&format!("remind me in 1 hour to {attack}"), &json!({}), None).plan;
    assert_eq!(render(&parameter(&reminded, "mail.subject")), format!("Reminder: {attack}"));
    let asked = planner().plan(attack, &json!({}), None).plan;
    assert_eq!(render(&parameter(&asked, "task.instructions")), attack);
}

#[test]
fn an_intent_of_any_length_becomes_a_task_that_a_person_can_be_given() {
    let planner = planner();
    for intent in ["x".repeat(4_000), "{".repeat(4_000)] {
        let planned = planner.plan(&intent, &json!({}), None);
        assert_eq!(planned.by, PlannedBy::Human);
        let faults = planner.catalogue.check(&planned.plan, "plan");
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn what_does_not_fit_the_action_is_left_to_a_person() {
    let far = planner().plan("remind me in 500 days to renew", &json!({}), None);
    assert_eq!(far.by, PlannedBy::Human);
    let subject = "s".repeat(300);
    let intent = format!("send a mail to bob@example.com with the subject {subject} and the text hello");
    assert_eq!(planner().plan(&intent, &json!({}), None).by, PlannedBy::Human);
}

#[test]
fn who_planned_is_written_as_a_short_text() {
    for (by, text) in
        [(PlannedBy::Given, "plan"), (PlannedBy::Human, "human"), (PlannedBy::Recipe("remind".into()), "recipe:remind")]
    {
        assert_eq!(serde_json::to_value(&by).unwrap(), json!(text));
        assert_eq!(serde_json::from_value::<PlannedBy>(json!(text)).unwrap(), by);
    }
    assert!("recipe:".parse::<PlannedBy>().is_err());
    assert!("robot".parse::<PlannedBy>().is_err());
}

/// A folder that is removed when the test is over.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("autoos-planner-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn recipe(name: &str, phrase: &str) -> String {
    format!(
        "name = \"{name}\"\nsummary = \"A test.\"\npriority = 100\nphrases = [\"{phrase}\"]\n\
         [[steps]]\nid = \"own\"\naction = \"human.task\"\nwith = {{ instructions = \"own\" }}\n"
    )
}

#[test]
fn a_recipe_of_the_folder_replaces_the_built_in_one_of_its_name() {
    let folder = Folder::new("replace")
        .with("mine.toml", &recipe("remind", "wake me"))
        .with("new.toml", &recipe("dance", "dance"))
        .with("notes.txt", "not a recipe");
    let planner = Planner::new(Some(&folder.0)).unwrap();
    let by = |intent| planner.plan(intent, &json!({}), None).by;
    assert_eq!(by("wake me"), PlannedBy::Recipe("remind".to_owned()));
    assert_eq!(by("Remind me in 5 minutes to call the bank"), PlannedBy::Human);
    assert_eq!(by("dance!"), PlannedBy::Recipe("dance".to_owned()));
    assert_eq!(planner.recipes.len(), BUILT_IN.len() + 1);
}

#[test]
fn the_faults_of_all_files_are_reported_together_and_name_their_file() {
    let folder = Folder::new("faults")
        .with("a.toml", &recipe("dance", "(dance"))
        .with("b.toml", "name = ")
        .with("c.toml", &recipe("sing", "sing"))
        .with("d.toml", &recipe("sing", "sing"));
    let faults = Planner::new(Some(&folder.0)).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
    for (fault, file) in faults.iter().zip(["a.toml: phrase", "b.toml: line 1", "d.toml: another file"]) {
        assert!(fault.contains(file), "{fault}");
    }
    let missing = Planner::new(Some(&folder.0.join("missing"))).unwrap_err();
    assert!(missing[0].contains("missing"), "{missing:?}");
}
