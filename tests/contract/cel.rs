//! The rules that the API server evaluates, on the files in `crds/examples`: each rule rejects something, in
//! its own words, and leaves alone what is meant to pass.

use std::{collections::BTreeSet, fs, path::PathBuf};

use kube::core::cel;
use serde_json::Value;
use sluice::api::{
    DatabaseMigration, MigrationGate, MigrationPolicy, database_migration_crd, migration_gate_crd,
    migration_policy_crd,
};

/// The name of a file, its first line, and its documents.
struct Example {
    name: String,
    first_line: String,
    documents: Vec<Value>,
}

fn examples(folder: &str) -> Vec<Example> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds/examples").join(folder);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let example = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        let documents = text.split("\n---\n").map(|text| {
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        Example {
            documents: documents.collect(),
            first_line: text.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    };
    paths.into_iter().map(example).collect()
}

/// What the rules object to; a second document is an update of the first.
fn objections(example: &Example) -> Vec<String> {
    let kind = example.documents[0]["kind"].as_str().unwrap_or_default();
    match kind {
        "DatabaseMigration" => judged::<DatabaseMigration>(example),
        "MigrationPolicy" => judged::<MigrationPolicy>(example),
        "MigrationGate" => judged::<MigrationGate>(example),
        other => panic!("{}: there is no kind {other:?}", example.name),
    }
}

fn judged<K>(example: &Example) -> Vec<String>
where
    K: kube::CustomResourceExt + serde::de::DeserializeOwned + serde::Serialize,
{
    let read = |document: &Value| -> K {
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{}: {error}", example.name))
    };
    let result = match example.documents.as_slice() {
        [object] => cel::validate_cel(&read(object)),
        [old, new] => {
            cel::validate_cel(&read(old)).and_then(|()| cel::validate_cel_update(&read(new), &read(old)))
        }
        other => panic!("{}: {} documents", example.name, other.len()),
    };
    result
        .err()
        .map(|errors| errors.as_slice().iter().map(|error| error.message.clone()).collect())
        .unwrap_or_default()
}

/// The messages of every rule of every kind.
fn rules() -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    for crd in [database_migration_crd(), migration_gate_crd(), migration_policy_crd()] {
        collect(&serde_json::to_value(crd).expect("JSON"), &mut messages);
    }
    messages
}

fn collect(value: &Value, messages: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                let message =
                    rule["message"].as_str().unwrap_or_else(|| panic!("a rule without a message: {rule}"));
                messages.insert(message.to_owned());
            }
            fields.values().for_each(|value| collect(value, messages));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, messages)),
        _ => {}
    }
}

#[test]
fn what_is_meant_to_pass_passes() {
    let accepted = examples("accept");
    assert!(!accepted.is_empty());
    for example in accepted {
        assert_eq!(objections(&example), Vec::<String>::new(), "{}", example.name);
    }
}

#[test]
fn what_is_meant_to_be_rejected_is_rejected_in_the_words_of_its_first_line() {
    for example in examples("reject") {
        assert_eq!(objections(&example).join("; "), example.first_line, "{}", example.name);
    }
}

#[test]
fn every_rule_rejects_something() {
    let rejected: BTreeSet<String> =
        examples("reject").into_iter().map(|example| example.first_line).collect();
    let rules = rules();
    assert!(rules.len() >= 8, "the rules were not found in the definitions: {rules:?}");
    let idle: Vec<&String> = rules.difference(&rejected).collect();
    assert!(idle.is_empty(), "no file in crds/examples/reject is rejected by {idle:#?}");
}

#[test]
fn what_passes_is_a_valid_manifest_too() {
    for example in examples("accept") {
        // One that names a policy is half of a manifest: tests/contract/policy.rs has both halves.
        let whole = |document: &Value| {
            document["kind"] == "DatabaseMigration" && document["spec"]["policyRef"].is_null()
        };
        for document in example.documents.into_iter().filter(whole) {
            let object: DatabaseMigration = serde_json::from_value(document).expect("readable");
            sluice::validate::validate(&object)
                .unwrap_or_else(|violations| panic!("{}: {violations:?}", example.name));
        }
    }
}

/// What the rules keep out of a cluster, a file is refused for as well: what a rule says of one object, not
/// of its update.
#[test]
fn what_is_rejected_is_no_valid_manifest_either() {
    let mut accepted = Vec::new();
    for example in examples("reject") {
        let [document] = example.documents.as_slice() else { continue };
        if document["kind"] != "DatabaseMigration" || !document["spec"]["policyRef"].is_null() {
            continue;
        }
        let object = serde_json::from_value::<DatabaseMigration>(document.clone()).expect("readable");
        if sluice::validate::validate(&object).is_ok() {
            accepted.push(format!("{}: {}", example.name, example.first_line));
        }
    }
    assert!(accepted.is_empty(), "a file with this is accepted:\n{}", accepted.join("\n"));
}
