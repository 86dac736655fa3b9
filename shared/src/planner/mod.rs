//! Planning: turns the text of an intent into a plan of steps.
//!
//! A plan that came with the intent is taken as it is; else the first recipe that understands the text gives one; else
//! a person is asked, so that no intent is dropped. To add a built-in recipe: a file in `recipes/`, a line in
//! `BUILT_IN`, rows in `intents.txt` and in `docs/recipes.md`.

mod capture;
mod fill;
mod phrase;
mod recipe;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use self::recipe::Recipe;
use crate::actions::Catalogue;
use crate::domain::plan::{OnFailure, Plan, PlanStep, Retry};

/// The recipes that come with the program: file name and text.
const BUILT_IN: &[(&str, &str)] = &[
    ("call-webhook.toml", include_str!("recipes/call-webhook.toml")),
    ("call-webhook-with-text.toml", include_str!("recipes/call-webhook-with-text.toml")),
    ("check-url.toml", include_str!("recipes/check-url.toml")),
    ("fetch-and-mail.toml", include_str!("recipes/fetch-and-mail.toml")),
    ("fetch-approve-mail.toml", include_str!("recipes/fetch-approve-mail.toml")),
    ("fetch-value-and-mail.toml", include_str!("recipes/fetch-value-and-mail.toml")),
    ("mail-given-text.toml", include_str!("recipes/mail-given-text.toml")),
    ("mail-report.toml", include_str!("recipes/mail-report.toml")),
    ("mail-report-by-hand.toml", include_str!("recipes/mail-report-by-hand.toml")),
    ("mail-text.toml", include_str!("recipes/mail-text.toml")),
    ("remind.toml", include_str!("recipes/remind.toml")),
    ("weekly-sales-report.toml", include_str!("recipes/weekly-sales-report.toml")),
    ("weekly-sales-report-by-hand.toml", include_str!("recipes/weekly-sales-report-by-hand.toml")),
];

/// Who made a plan. As text: `plan`, `recipe:<name>` or `human`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PlannedBy {
    /// It came with the intent.
    Given,
    /// The recipe of this name.
    Recipe(String),
    /// Nobody yet: a person does what the intent says.
    Human,
}

/// A text that names no planner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not \"plan\", \"recipe:<name>\" or \"human\"")]
pub struct UnknownPlanner(String);

impl fmt::Display for PlannedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("plan"),
            Self::Recipe(name) => write!(f, "recipe:{name}"),
            Self::Human => f.write_str("human"),
        }
    }
}

impl FromStr for PlannedBy {
    type Err = UnknownPlanner;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("recipe:")) {
            ("plan", _) => Ok(Self::Given),
            ("human", _) => Ok(Self::Human),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Recipe(name.to_owned())),
            _ => Err(UnknownPlanner(text.to_owned())),
        }
    }
}

impl From<PlannedBy> for String {
    fn from(by: PlannedBy) -> Self {
        by.to_string()
    }
}

impl TryFrom<String> for PlannedBy {
    type Error = UnknownPlanner;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A plan and who made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned<'p> {
    /// What to do.
    pub plan: Cow<'p, Plan>,
    /// Who says so.
    pub by: PlannedBy,
}

/// All recipes, in the order in which they are asked.
#[derive(Debug)]
pub struct Planner {
    recipes: Vec<Recipe>,
    catalogue: Catalogue,
}

impl Planner {
    /// Reads the built-in recipes and those of the folder `extra`, which replace built-in ones of the same name.
    ///
    /// Fails with every fault of every file, each beginning with the file's name.
    pub fn new(extra: Option<&Path>) -> Result<Self, Vec<String>> {
        let catalogue = Catalogue::new();
        let mut faults = Vec::new();
        let built_in = BUILT_IN.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let mut recipes = parse_all(built_in, &catalogue, &mut faults);
        if let Some(folder) = extra {
            let files = read_folder(folder, &mut faults);
            recipes.extend(parse_all(files, &catalogue, &mut faults));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut recipes: Vec<Recipe> = recipes.into_values().collect();
        recipes.sort_by_key(|recipe| Reverse(recipe.priority));
        Ok(Self { recipes, catalogue })
    }

    /// The plan for `intent`: the one `given`, else that of the first recipe that understands it, else one step that
    /// asks a person.
    pub fn plan<'p>(&self, intent: &str, context: &Value, given: Option<&'p Plan>) -> Planned<'p> {
        if let Some(plan) = given {
            return Planned { plan: Cow::Borrowed(plan), by: PlannedBy::Given };
        }
        let by_recipe = self.recipes.iter().find_map(|recipe| {
            let plan = recipe.plan(intent, context, &self.catalogue)?;
            Some(Planned { plan: Cow::Owned(plan), by: PlannedBy::Recipe(recipe.name.clone()) })
        });
        by_recipe.unwrap_or_else(|| Planned { plan: Cow::Owned(ask_a_person(intent)), by: PlannedBy::Human })
    }
}

/// One step in which a person does what the intent says.
fn ask_a_person(intent: &str) -> Plan {
    let step = PlanStep {
        id: "task".to_owned(),
        action: "human.task".to_owned(),
        needs: Vec::new(),
        with: json!({"instructions": fill::inert(intent)}),
        when: None,
        retry: Retry::default(),
        timeout_s: 30,
        on_failure: OnFailure::default(),
    };
    Plan { steps: vec![step] }
}

/// The recipes in `files` (name and text) by their names; what is wrong goes to `faults`.
fn parse_all(
    files: Vec<(String, String)>,
    catalogue: &Catalogue,
    faults: &mut Vec<String>,
) -> BTreeMap<String, Recipe> {
    let mut recipes: BTreeMap<String, Recipe> = BTreeMap::new();
    for (file, text) in files {
        match Recipe::parse(&text, catalogue) {
            Ok(recipe) if recipes.contains_key(&recipe.name) => {
                faults.push(format!("{file}: another file is named \"{}\" too", recipe.name));
            }
            Ok(recipe) => {
                recipes.insert(recipe.name.clone(), recipe);
            }
            Err(found) => faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}"))),
        }
    }
    recipes
}

/// Name and text of every `.toml` file in `folder`, by name; what cannot be read goes to `faults`.
fn read_folder(folder: &Path, faults: &mut Vec<String>) -> Vec<(String, String)> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(format!("{}: {error}", folder.display()));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => faults.push(format!("{}: {error}", folder.display())),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(error) => faults.push(format!("{}: {error}", path.display())),
        }
    }
    files
}
