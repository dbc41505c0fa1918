//! `sluice policy show` as a process: what it prints of the two halves in `crds/examples`, compared with the
//! files in `tests/contract/policy_show` (`UPDATE=1` writes them), and how it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::golden;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn show(files: &[&Path], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["policy", "show"]).args(more);
    for file in files {
        command.arg("-f").arg(file);
    }
    command.output().expect("sluice starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn halves() -> [PathBuf; 2] {
    ["short-with-a-policy.yaml", "house-policy.yaml"]
        .map(|name| top().join("crds/examples/accept").join(name))
}

#[test]
fn what_is_in_force_is_the_file_beside_this_one_in_every_form() {
    let [short, house] = halves();
    for (form, ending) in [("text", "txt"), ("yaml", "yaml"), ("json", "json")] {
        let output = show(&[&short, &house], &["-o", form]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        golden::is_current(&format!("tests/contract/policy_show/short.{ending}"), &text(&output.stdout));
    }
}

#[test]
fn the_columns_are_aligned_and_each_field_has_an_origin() {
    let [short, house] = halves();
    let output = text(&show(&[&short, &house], &[]).stdout);
    let rows: Vec<&str> = output.lines().skip_while(|line| !line.starts_with("FIELD")).collect();
    let from = rows[0].find("FROM").expect("a column");
    let value = rows[0].find("VALUE").expect("a column");
    assert!(rows.len() > 30, "{output}");
    for row in &rows[1..] {
        let origin = row[from..value].trim();
        assert!(["manifest", "policy", "preset", "default"].contains(&origin), "{row}");
        assert!(
            row[..from].ends_with("  ") && row[..value].ends_with("  ") && !row[value..].starts_with(' '),
            "{row}"
        );
    }
}

#[test]
fn how_the_policy_places_the_pods_of_runs_is_shown_and_what_is_wrong_with_it_keeps_it_from_being_used() {
    let [short, house] = halves();
    let shown = text(&show(&[&short, &house], &[]).stdout);
    let row = |field: &str| {
        shown
            .lines()
            .find(|line| line.split_whitespace().next() == Some(field))
            .map(str::to_owned)
            .unwrap_or_default()
    };
    assert!(row("spec.pods.nodeSelector.pool").ends_with("policy    jobs"), "{shown}");
    assert!(row("spec.pods.resources.migrate.limits.memory").ends_with("policy    1Gi"), "{shown}");
    let json: Value = serde_json::from_slice(&show(&[&short, &house], &["-o", "json"]).stdout).expect("JSON");
    assert!(json["manifest"]["spec"].get("pods").is_none(), "it is no part of any manifest");

    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("wrong.yaml");
    let written = fs::read_to_string(&house)
        .expect("the example")
        .replace("nodeSelector: {pool: jobs}", "nodeSelector: [jobs]");
    fs::write(&wrong, written).expect("writes");
    let output = show(&[&short, &wrong], &[]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.code() != Some(0) && told.contains("pods"), "{:?}: {told}", output.status);
}

#[test]
fn what_yaml_and_json_print_as_the_manifest_is_in_force_as_it_stands() {
    let [short, house] = halves();
    let json: Value = serde_json::from_slice(&show(&[&short, &house], &["-o", "json"]).stdout).expect("JSON");
    let yaml: Value =
        serde_saphyr::from_str(&text(&show(&[&short, &house], &["-o", "yaml"]).stdout)).expect("YAML");
    assert_eq!(json, yaml);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("merged.yaml");
    fs::write(&file, json["manifest"].to_string()).expect("writes");
    let again: Value = serde_json::from_slice(&show(&[&file], &["-o", "json"]).stdout).expect("JSON");
    assert_eq!(again["manifest"], json["manifest"], "merging what is merged changes nothing");
    assert_eq!(again["policy"], Value::Null);
}

#[test]
fn objects_as_a_cluster_has_them_are_shown_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.yaml");
    let [short, house] = halves().map(|path| {
        serde_saphyr::from_str::<Value>(&fs::read_to_string(path).expect("the example")).expect("YAML")
    });
    let mut other = short.clone();
    other["metadata"] =
        serde_json::json!({"name": "visits", "namespace": "medical", "uid": "0d1f", "managedFields": []});
    other["status"] = serde_json::json!({"observedGeneration": 3, "conditions": []});
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [short, house, other]});
    fs::write(&file, list.to_string()).expect("writes");
    let output = show(&[&file], &[]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for head in [
        "DatabaseMigration medical/records, with the MigrationPolicy house",
        "DatabaseMigration medical/visits, with the MigrationPolicy house",
    ] {
        assert!(printed.contains(head), "{printed}");
    }
    let stream = text(&show(&[&file], &["-o", "json"]).stdout);
    assert_eq!(serde_json::Deserializer::from_str(&stream).into_iter::<Value>().flatten().count(), 2);
}

#[test]
fn a_policy_that_is_not_given_ends_with_2_and_what_cannot_be_used_with_1() {
    let [short, house] = halves();
    let output = show(&[&short], &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(text(&output.stderr).contains("names the MigrationPolicy \"house\""), "{}", text(&output.stderr));
    assert!(text(&show(&[&house], &[]).stderr).contains("there is no DatabaseMigration in it"));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("house.yaml");
    let broken = fs::read_to_string(&house).expect("the policy").replace("deadline: 30m", "deadline: 3s");
    fs::write(&file, broken).expect("writes");
    let output = show(&[&short, &file], &[]);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    assert!(printed.contains("cannot be used: spec.apply.deadline: 3s is too short"), "{printed}");
    assert!(
        printed.lines().any(|line| line.starts_with("spec.apply.deadline ") && line.contains("policy")),
        "{printed}"
    );
}
