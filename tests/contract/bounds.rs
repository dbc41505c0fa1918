//! A manifest in a file has the bounds that the CustomResourceDefinition has: for each of them a case just
//! inside and one just outside, judged by the definition's schema, as an API server would, and by the command
//! line's validation.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};
use sluice::{
    api::{DatabaseMigration, database_migration_crd},
    validate::{bound_violations, validate},
};

/// What is in `bounds.json` of each node of a schema.
const KEPT: [&str; 11] = [
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
];

/// The schema of `spec`, as the API server has it.
fn schema() -> Value {
    let crd = serde_json::to_value(database_migration_crd()).expect("JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// The schema without its prose, types, enumerations and defaults.
fn pruned(schema: &Value) -> Option<Value> {
    let mut kept = Map::new();
    for key in KEPT {
        if let Some(value) = schema.get(key).filter(|value| **value != json!("atomic")) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let properties: Map<String, Value> =
        properties.filter_map(|(name, inner)| Some((name.clone(), pruned(inner)?))).collect();
    if !properties.is_empty() {
        kept.insert("properties".to_owned(), properties.into());
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()).and_then(pruned) {
            kept.insert(key.to_owned(), inner);
        }
    }
    (!kept.is_empty()).then(|| kept.into())
}

#[test]
fn the_bounds_are_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/validate/bounds.json");
    let text = serde_json::to_string(&pruned(&schema()).expect("bounds")).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).expect("writes");
    }
    let found = fs::read_to_string(&path).expect("reads");
    assert!(
        found == text,
        "src/validate/bounds.json is stale; run `UPDATE=1 cargo test --test contract the_bounds_are_current`"
    );
}

/// Every keyword of the schema that an API server checks is known here, so that a new one is not forgotten.
#[test]
fn no_keyword_of_the_schema_is_unknown() {
    const READ: [&str; 13] = [
        "description",
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "default",
        "nullable",
        "format",
        "additionalProperties",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-map-type",
    ];
    fn walk(schema: &Value, path: &str, unknown: &mut Vec<String>) {
        for key in schema.as_object().into_iter().flat_map(Map::keys) {
            if !KEPT.contains(&key.as_str()) && !READ.contains(&key.as_str()) {
                unknown.push(format!("{path}: {key}"));
            }
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(inner, &format!("{path}.{name}"), unknown);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], &format!("{path}[]"), unknown);
        }
    }
    let mut unknown = Vec::new();
    walk(&schema(), "spec", &mut unknown);
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// A bound of a number; schemas write them as `32.0`.
fn whole(bound: &Value) -> Option<i64> {
    bound.as_f64().and_then(|bound| format!("{bound:.0}").parse().ok())
}

/// A bound of a length.
fn count(bound: &Value) -> Option<usize> {
    bound.as_u64().and_then(|bound| usize::try_from(bound).ok())
}

/// A value that fits a schema, with every field, so that each bound has a place.
fn full(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let mut object: Map<String, Value> =
                fields.map(|(name, inner)| (name.clone(), full(inner))).collect();
            if schema["additionalProperties"].is_object() {
                object.insert("a".to_owned(), full(&schema["additionalProperties"]));
            }
            object.into()
        }
        Some("array") => {
            (0..schema["minItems"].as_u64().unwrap_or(1).max(1)).map(|_| full(&schema["items"])).collect()
        }
        Some("integer" | "number") => json!(whole(&schema["minimum"]).unwrap_or(1)),
        Some("boolean") => json!(false),
        _ => json!(text(schema, count(&schema["minLength"]).unwrap_or(1).max(1))),
    }
}

/// A text of this many characters that fits the pattern, if there is one.
fn text(schema: &Value, length: usize) -> String {
    match schema["pattern"].as_str() {
        // A length of time: as many digits as it takes.
        Some(pattern) if pattern.contains("ms)?$") => match length {
            0..=7 => format!("{}s", "1".repeat(length.saturating_sub(1))),
            _ => format!("{}h{}m{}s{}ms", "1".repeat(6), "1".repeat(6), "1".repeat(6), "1".repeat(6))
                .chars()
                .take(length)
                .collect(),
        },
        // A schedule: five fields, of which the last takes what is left.
        Some(pattern) if pattern.contains("{4}$") => {
            format!("* * * * {}", "1".repeat(length.saturating_sub(8)))
        }
        // A size: a number of bytes.
        Some(pattern) if pattern.contains("Ki|Mi") => "1".repeat(length),
        _ => "a".repeat(length),
    }
}

/// One bound: where, a value just inside and one just outside.
struct Case {
    path: Vec<String>,
    what: String,
    inside: Value,
    outside: Value,
}

fn cases(schema: &Value, path: &[String], found: &mut Vec<Case>) {
    let mut add = |what: &str, inside: Value, outside: Value| {
        found.push(Case { path: path.to_vec(), what: what.to_owned(), inside, outside });
    };
    let number = |key: &str| whole(&schema[key]);
    let count = |key: &str| count(&schema[key]);
    let items = |count: usize| -> Value { (0..count).map(|at| distinct(&schema["items"], at)).collect() };
    if let Some(least) = number("minimum") {
        add("minimum", json!(least), json!(least - 1));
    }
    if let Some(most) = number("maximum") {
        add("maximum", json!(most), json!(most + 1));
    }
    if let Some(least) = count("minLength").filter(|least| *least > 0) {
        add("minLength", json!(text(schema, least)), json!(text(schema, least - 1)));
    }
    if let Some(most) = count("maxLength") {
        // Characters are counted, not bytes.
        let fill = |length: usize| {
            if schema["pattern"].is_null() { "ä".repeat(length) } else { text(schema, length) }
        };
        // A pattern may leave no room for a text that is too long.
        if fill(most + 1).chars().count() > most {
            add("maxLength", json!(fill(most)), json!(fill(most + 1)));
        }
    }
    if schema["pattern"].is_string() {
        add("pattern", full(schema), json!("A!"));
    }
    if let Some(least) = count("minItems").filter(|least| *least > 0) {
        add("minItems", items(least), items(least - 1));
    }
    if let Some(most) = count("maxItems") {
        add("maxItems", items(most), items(most + 1));
    }
    if schema["x-kubernetes-list-type"] == "set" || schema["x-kubernetes-list-type"] == "map" {
        add("twice", items(2), json!([distinct(&schema["items"], 1), distinct(&schema["items"], 1)]));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        cases(inner, &[path, std::slice::from_ref(name)].concat(), found);
    }
    if schema["items"].is_object() {
        cases(&schema["items"], &[path, &["0".to_owned()]].concat(), found);
    }
}

/// Items that differ from each other, as far as their bounds let them.
fn distinct(schema: &Value, at: usize) -> Value {
    let mut value = full(schema);
    let number = |text: &str| {
        format!("{at:03}").chars().rev().chain(text.chars()).take(text.len().max(3)).collect::<String>()
    };
    match &mut value {
        Value::String(text) if schema["enum"].is_null() && schema["pattern"].is_null() => {
            *text = number(text);
        }
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get_mut("name") {
                *name = format!("{name}{at}");
            }
        }
        _ => {}
    }
    value
}

fn set(value: &mut Value, path: &[String], new: Value) {
    match path.split_first() {
        None => *value = new,
        Some((step, rest)) => match step.parse::<usize>() {
            Ok(at) if value.is_array() => set(&mut value[at], rest, new),
            _ => set(&mut value[step.as_str()], rest, new),
        },
    }
}

/// What the command line says of this field: whether a bound of it is broken. Contradictions between fields
/// are told elsewhere, and the full manifest is full of them.
fn refused(spec: &Value, field: &str) -> bool {
    let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"}, "spec": spec});
    match serde_json::from_value::<DatabaseMigration>(object) {
        // A type of its own reads no more than its schema allows.
        Err(_) => true,
        Ok(object) => bound_violations(&object.spec).iter().any(|violation| violation.field == field),
    }
}

/// Whether a field that is empty is not written at all.
fn is_left_out(spec: &Value, path: &[String]) -> bool {
    let mut spec = spec.clone();
    set(&mut spec, path, json!(""));
    let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"}, "spec": spec});
    let read = serde_json::from_value::<DatabaseMigration>(object)
        .ok()
        .and_then(|object| serde_json::to_value(object.spec).ok());
    read.is_some_and(|spec| spec.pointer(&format!("/{}", path.join("/"))).is_none())
}

#[test]
fn every_bound_of_the_definition_holds_for_a_file() {
    let schema = schema();
    let spec = full(&schema);
    // What is compiled in is what was there before UPDATE=1 wrote it anew.
    let compiled = include_str!("../../src/validate/bounds.json");
    if std::env::var_os("UPDATE").is_some() && serde_json::from_str(compiled).ok() != pruned(&schema) {
        return;
    }
    let judge = jsonschema::validator_for(&schema).expect("a schema");
    let mut found = Vec::new();
    cases(&schema, &[], &mut found);
    let mut wrong = Vec::new();
    for case in &found {
        let mut field = "spec".to_owned();
        for step in &case.path {
            field += &if step.parse::<usize>().is_ok() { format!("[{step}]") } else { format!(".{step}") };
        }
        // An empty text of these is as good as none, and `validate` says that it is missing.
        if case.what == "minLength" && case.outside == json!("") && is_left_out(&spec, &case.path) {
            continue;
        }
        for (side, value, expected) in [("inside", &case.inside, false), ("outside", &case.outside, true)] {
            let mut spec = spec.clone();
            set(&mut spec, &case.path, value.clone());
            let pointer = format!("/{}", case.path.join("/"));
            // JSON Schema knows nothing of Kubernetes' sets and maps.
            let server = case.what == "twice" && expected
                || judge.iter_errors(&spec).any(|error| error.instance_path().as_str() == pointer);
            if server != expected {
                wrong.push(format!("{field}, {} {side}: the case itself is wrong: {value}", case.what));
            }
            if refused(&spec, &field) != expected {
                wrong.push(format!(
                    "{field}, {} {side}: a file is {}refused: {value}",
                    case.what,
                    if expected { "not " } else { "" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), found.len() * 2, wrong.join("\n"));
    assert!(found.len() > 100, "only {} bounds were found", found.len());
}

#[test]
fn a_manifest_is_refused_for_its_bounds_and_for_names_that_no_object_has() {
    let manifest = |name: &str, namespace: &str, jobs: u32| {
        let spec = json!({"database": {"secretRef": {"name": "db"}}, "migrations": {"configMaps": ["m"]},
                          "snapshot": {"dump": {"volumeClaim": "v", "jobs": jobs}}});
        let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration",
                            "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        let violations = validate(&serde_json::from_value(object).expect("reads")).err().unwrap_or_default();
        violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(manifest("records", "medical", 8), "");
    assert_eq!(manifest("records.eu", "medical", 8), "");
    assert_eq!(
        manifest("records", "medical", 100_000),
        "spec.snapshot.dump.jobs: is 100000: it must be at most 32"
    );
    for (name, namespace) in [
        ("../../etc", "medical"),
        ("records", "../x"),
        ("a/b", "medical"),
        ("", "medical"),
        (".", "m"),
        ("A", "m"),
        ("a", "a.b"),
    ] {
        assert!(
            manifest(name, namespace, 1).starts_with("metadata.name"),
            "{name}, {namespace}: {}",
            manifest(name, namespace, 1)
        );
    }
    assert!(manifest(&"a".repeat(46), "m", 1).contains("at most 45 characters"));
}
