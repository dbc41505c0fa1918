//! The bounds of the CustomResourceDefinition hold for a manifest in a file, too. PURE.
//!
//! `bounds.json` is the definition's schema of `spec` without its prose: it is generated, and a test compares
//! the two. Building the schema itself takes 13 ms, which is a quarter of a run that has nothing to do. A
//! controller checks at each reconcile, so a process reads the bounds once.

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, OnceLock},
};

use super::Violation;
use crate::api::DatabaseMigrationSpec;

const BOUNDS: &str = include_str!("bounds.json");

static SCHEMA: LazyLock<Result<Node, String>> =
    LazyLock::new(|| serde_json::from_str(BOUNDS).map_err(|error| error.to_string()));

/// One node of the schema: what of it an API server checks besides types, enumerations and required fields,
/// which reading does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Node {
    properties: BTreeMap<String, Node>,
    items: Option<Box<Node>>,
    additional_properties: Option<Box<Node>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<Pattern>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
}

/// A pattern, compiled when the first text is held against it: a manifest uses few of them.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
struct Pattern {
    text: String,
    /// `None` inside: it is no expression, and no text matches it.
    compiled: OnceLock<Option<Regex>>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

/// Every field that is out of its bounds.
pub fn violations(spec: &DatabaseMigrationSpec) -> Vec<Violation> {
    let spec = serde_json::to_value(spec).map_err(|error| error.to_string());
    match (&*SCHEMA, spec) {
        (Ok(schema), Ok(spec)) => {
            let mut found = Vec::new();
            schema.check("spec", &spec, &mut found);
            found
        }
        (Err(error), _) => cannot_be_checked(error),
        (_, Err(error)) => cannot_be_checked(&error),
    }
}

fn cannot_be_checked(error: &str) -> Vec<Violation> {
    vec![Violation { field: "spec".into(), problem: format!("its bounds cannot be checked: {error}") }]
}

impl Node {
    fn check(&self, path: &str, value: &Value, found: &mut Vec<Violation>) {
        let problem = match value {
            Value::Number(number) => self.number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => self.text(text),
            Value::Array(items) => self.list(items),
            Value::Object(fields) => between("field", fields.len(), self.min_properties, self.max_properties),
            Value::Null | Value::Bool(_) => None,
        };
        found.extend(problem.map(|problem| Violation { field: path.to_owned().into(), problem }));
        match value {
            Value::Array(items) => {
                for (at, (node, item)) in self.items.iter().cycle().zip(items).enumerate() {
                    node.check(&format!("{path}[{at}]"), item, found);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(node) = self.properties.get(name).or(self.additional_properties.as_deref()) {
                        node.check(&format!("{path}.{name}"), value, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn number(&self, number: f64) -> Option<String> {
        let problem = |bound: &str, limit: f64| format!("is {number}: it must be at {bound} {limit}");
        match (self.minimum, self.maximum) {
            (Some(least), _) if number < least => Some(problem("least", least)),
            (_, Some(most)) if number > most => Some(problem("most", most)),
            _ => None,
        }
    }

    fn text(&self, text: &str) -> Option<String> {
        let length = between("character", text.chars().count(), self.min_length, self.max_length);
        length.or_else(|| {
            let pattern = self.pattern.as_ref()?;
            (!pattern.matches(text)).then(|| format!("is {text:?}: it must match {}", pattern.text))
        })
    }

    fn list(&self, items: &[Value]) -> Option<String> {
        let count = between("item", items.len(), self.min_items, self.max_items);
        count.or_else(|| {
            let mut seen = BTreeSet::new();
            let key = |item: &Value| match self.list_type.as_deref() {
                Some("set") => Some(item.to_string()),
                Some("map") => Some(
                    self.list_map_keys.iter().map(|key| item[key].to_string()).collect::<Vec<_>>().join(", "),
                ),
                _ => None,
            };
            items
                .iter()
                .filter_map(key)
                .find(|key| !seen.insert(key.clone()))
                .map(|twice| format!("has {twice} twice"))
        })
    }
}

fn between(what: &str, count: usize, least: Option<usize>, most: Option<usize>) -> Option<String> {
    let problem = |bound: &str, limit: usize| {
        let plural = if limit == 1 { "" } else { "s" };
        format!("has {count}: it must have at {bound} {limit} {what}{plural}")
    };
    match (least, most) {
        (Some(least), _) if count < least => Some(problem("least", least)),
        (_, Some(most)) if count > most => Some(problem("most", most)),
        _ => None,
    }
}
