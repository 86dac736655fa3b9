//! Recipes: files that say which intents they understand and which steps each of those becomes.
//!
//! A recipe is data (TOML), checked whole when it is loaded: every phrase, and the plan that every phrase leads to.
//! `docs/recipes.md` says how to write one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::capture::Captures;
use super::fill::{FillError, Filling};
use super::phrase::Phrase;
use crate::actions::Catalogue;
use crate::domain::plan::{Plan, PlanStep};

/// A recipe, ready to plan intents.
#[derive(Debug)]
pub(super) struct Recipe {
    /// What it is called, everywhere.
    pub name: String,
    /// The higher is asked first.
    pub priority: i32,
    phrases: Vec<Phrase>,
    requires: Vec<String>,
    defaults: BTreeMap<String, Value>,
    steps: Vec<PlanStep>,
}

/// A recipe as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    summary: String,
    #[serde(default)]
    priority: i32,
    phrases: Vec<String>,
    #[serde(default)]
    words: BTreeMap<String, String>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
    steps: Vec<PlanStep>,
}

impl Recipe {
    /// Reads a recipe file, or lists everything that is wrong with it.
    pub(super) fn parse(text: &str, catalogue: &Catalogue) -> Result<Self, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| vec![describe(&error, text)])?;
        let mut faults = file.check();
        let mut phrases = Vec::new();
        for phrase in &file.phrases {
            match Phrase::compile(phrase, &file.words) {
                Ok(compiled) => phrases.push(compiled),
                Err(error) => faults.push(format!("phrase \"{phrase}\": {error}")),
            }
        }
        let File { name, priority, requires, defaults, steps, .. } = file;
        let recipe = Self { name, priority, phrases, requires, defaults, steps };
        faults.extend(recipe.try_out(catalogue));
        if faults.is_empty() { Ok(recipe) } else { Err(faults) }
    }

    /// The plan for `intent`; nothing when this recipe does not understand it or the context lacks something.
    pub(super) fn plan(&self, intent: &str, context: &Value, catalogue: &Catalogue) -> Option<Plan> {
        if !self.requires.iter().all(|path| is_present(context, path)) {
            return None;
        }
        let understood = self.phrases.iter().filter_map(|phrase| phrase.read(intent));
        understood
            .filter_map(|captures| self.fill(&captures).ok())
            .find(|plan| catalogue.check(plan, "plan").is_empty())
    }

    fn fill(&self, captures: &Captures) -> Result<Plan, FillError> {
        let filling = Filling { captures, defaults: &self.defaults };
        let fill_step = |step: &PlanStep| -> Result<PlanStep, FillError> {
            let when = step.when.as_deref().map(|code| filling.expression(code)).transpose()?;
            Ok(PlanStep { with: filling.value(&step.with)?, when, ..step.clone() })
        };
        Ok(Plan { steps: self.steps.iter().map(fill_step).collect::<Result<_, _>>()? })
    }

    /// Plans a sample intent of each phrase, so that a fault shows when the recipe is loaded and not when it is used.
    fn try_out(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut faults = Vec::new();
        for phrase in &self.phrases {
            match self.fill(&phrase.samples()) {
                Ok(plan) => faults.extend(
                    catalogue
                        .check(&plan, "plan")
                        .into_iter()
                        .map(|error| format!("{}: {}", error.field, error.message)),
                ),
                Err(error) => faults.push(error.to_string()),
            }
        }
        faults.sort();
        faults.dedup();
        faults
    }
}

impl File {
    fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let name_is_good = self.name.starts_with(|c: char| c.is_ascii_lowercase())
            && self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !name_is_good {
            faults.push(format!("name \"{}\": must be lower-case letters, digits and hyphens", self.name));
        }
        if self.summary.trim().is_empty() {
            faults.push("summary: must say in a sentence what the recipe does".to_owned());
        }
        if self.phrases.is_empty() {
            faults.push("phrases: must hold at least one".to_owned());
        }
        for path in self.requires.iter().filter(|path| !path.starts_with("context.")) {
            faults.push(format!("requires \"{path}\": must begin with \"context.\""));
        }
        faults
    }
}

/// Whether the context holds something at `path` (`context.a.b`) that is neither null nor an empty text.
fn is_present(context: &Value, path: &str) -> bool {
    let value = path.split('.').skip(1).try_fold(context, |value, key| value.get(key));
    value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

fn describe(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(..start).unwrap_or("").matches('\n').count() + 1;
    format!("line {line}: {}", error.message())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STEPS: &str = "[[steps]]\nid = \"mail\"\naction = \"email.send\"\n\
        with = { to = \"<<to>>\", subject = \"s\", body = \"b\" }\n";

    fn faults(text: &str) -> Vec<String> {
        Recipe::parse(text, &Catalogue::new()).unwrap_err()
    }

    #[test]
    fn everything_wrong_with_a_file_is_listed_together() {
        let head = "name = \"Bad Name\"\nsummary = \" \"\nphrases = [\"a (b\", \"mail {what}\"]\n";
        let head = format!("{head}requires = [\"url\"]\n");
        let found = faults(&format!("{head}{STEPS}needs = [\"nothing\"]\n"));
        let expected = [
            "name \"Bad Name\": must be lower-case letters, digits and hyphens",
            "summary: must say in a sentence what the recipe does",
            "requires \"url\": must begin with \"context.\"",
            "phrase \"a (b\": a \"(\" has no partner",
            "<<to>> is not always captured and has no default",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_graph_that_cannot_run_is_a_fault_of_the_recipe() {
        let head = "name = \"a\"\nsummary = \"a\"\nphrases = [\"mail {to:email}\", \"ring {to:email}\"]\n";
        let found = faults(&format!("{head}{STEPS}needs = [\"nothing\"]\n"));
        assert_eq!(found, ["plan.steps[0].needs: \"nothing\" is not a step of this plan"]);
    }

    #[test]
    fn a_parameter_that_the_action_does_not_take_is_a_fault_of_the_recipe() {
        let head = "name = \"a\"\nsummary = \"a\"\nphrases = [\"mail {to:email}\"]\n";
        let found = faults(&format!("{head}{}", STEPS.replace("subject", "title")));
        assert!(found.iter().any(|fault| fault.starts_with("plan.steps[0].with")), "{found:?}");
    }

    #[test]
    fn a_fault_of_the_file_format_names_its_line() {
        let found = faults("name = \"a\"\nsummary = \"a\"\npriority = \"high\"\n");
        assert!(found[0].starts_with("line 3: "), "{found:?}");
    }

    #[test]
    fn an_optional_capture_without_default_is_a_fault_and_with_one_is_not() {
        let head = "name = \"a\"\nsummary = \"a\"\nphrases = [\"mail (me|{to:email})\"]\n";
        assert_eq!(faults(&format!("{head}{STEPS}")), ["<<to>> is not always captured and has no default"]);
        let text = &format!("{head}defaults = {{ to = \"{{{{ user.email }}}}\" }}\n{STEPS}");
        let catalogue = Catalogue::new();
        let recipe = Recipe::parse(text, &catalogue).unwrap();
        let to = |intent| recipe.plan(intent, &json!({}), &catalogue).map(|plan| plan.steps[0].with["to"].clone());
        assert_eq!(to("mail me"), Some(json!("{{ user.email }}")));
        assert_eq!(to("mail a@b.io"), Some(json!("a@b.io")));
    }

    #[test]
    fn what_is_required_must_be_there_and_hold_something() {
        let context = json!({"a": {"b": 1}, "none": null, "empty": "", "no": false});
        for (path, present) in [
            ("context.a", true),
            ("context.a.b", true),
            ("context.no", true),
            ("context.a.c", false),
            ("context.none", false),
            ("context.empty", false),
        ] {
            assert_eq!(is_present(&context, path), present, "{path}");
        }
        assert!(!is_present(&Value::Null, "context.a"));
    }
}
