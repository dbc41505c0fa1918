//! A MigrationPolicy, from its definition to what the stages get: what the schemas leave open for it, and
//! what the controller makes of it.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sluice::{
    api::{
        ConditionType, DatabaseMigration, POLICY_SECTIONS, Reason, database_migration_crd,
        migration_policy_crd,
    },
    policy,
    validate::validate,
};

use super::{
    api_server::Fault,
    kubelet::Mishap,
    world::{World, key},
};

fn spec_schema(crd: impl serde::Serialize) -> Value {
    serde_json::to_value(crd).expect("JSON")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        ["spec"]
        .clone()
}

/// Every object below a schema that is merged field by field, with its path. What is inside a list is not.
fn merged_objects(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), schema.clone()));
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        merged_objects(inner, &format!("{path}.{name}"), found);
    }
}

/// The sections that a policy may have, in both definitions.
fn mergeable() -> Vec<(String, Value)> {
    let (migration, policy) = (spec_schema(database_migration_crd()), spec_schema(migration_policy_crd()));
    let mut found = Vec::new();
    for section in POLICY_SECTIONS {
        merged_objects(
            &migration["properties"][section],
            &format!("DatabaseMigration.{section}"),
            &mut found,
        );
        merged_objects(&policy["properties"][section], &format!("MigrationPolicy.{section}"), &mut found);
    }
    assert!(found.len() > 100, "the schemas were not found");
    found
}

#[test]
fn the_api_server_fills_in_no_default_that_would_hide_the_policys_value() {
    let filled: Vec<String> = mergeable()
        .into_iter()
        .filter(|(_, schema)| !schema["default"].is_null())
        .map(|(path, schema)| format!("{path}: {schema}"))
        .collect();
    assert!(filled.is_empty(), "{filled:#?}");
}

#[test]
fn nothing_is_required_of_a_half_that_the_other_half_may_say() {
    // Whose database it is and how it proves that, why there is no snapshot, whose turn it is, and how a
    // baseline is named, only one place can say. A window is one thing, and so is a server: a part of it says
    // nothing.
    let own = [
        "DatabaseMigration.database",
        "DatabaseMigration.database.secretRef",
        "DatabaseMigration.database.tls",
        "DatabaseMigration.database.tls.caFrom",
        "DatabaseMigration.migrations.baseline",
        "DatabaseMigration.before.group",
    ];
    let whole = |path: &str| {
        let of_a_server = path.contains(".before.rehearsal.server");
        own.contains(&path)
            || of_a_server
            || path.ends_with(".snapshot.none")
            || path.ends_with(".before.window")
    };
    let required: Vec<String> = mergeable()
        .into_iter()
        .filter(|(path, schema)| {
            !whole(path) && schema["required"].as_array().is_some_and(|names| !names.is_empty())
        })
        .map(|(path, schema)| format!("{path}: {}", schema["required"]))
        .collect();
    assert!(required.is_empty(), "{required:#?}");
}

#[test]
fn a_policy_may_say_nothing_that_a_database_migration_may_not() {
    let (migration, mut policy) =
        (spec_schema(database_migration_crd()), spec_schema(migration_policy_crd()));
    // Where the Pods of runs are placed is no part of a manifest.
    let pods = policy["properties"].as_object_mut().expect("sections").remove("pods");
    assert!(pods.is_some() && migration["properties"]["pods"].is_null());
    let mut found = Vec::new();
    merged_objects(&policy, "", &mut found);
    for (path, _) in found.iter().skip(1) {
        let pointer = path.replace('.', "/properties/");
        assert!(migration.pointer(&pointer).is_some(), "spec{path} is no field of a DatabaseMigration");
    }
    let sections: Vec<&String> = policy["properties"].as_object().expect("sections").keys().collect();
    assert!(
        sections.iter().all(|section| POLICY_SECTIONS.contains(&section.as_str()))
            && sections.len() == POLICY_SECTIONS.len()
    );
}

fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/examples/accept").join(name);
    serde_saphyr::from_str(&fs::read_to_string(&path).expect("the example")).expect("YAML")
}

#[test]
fn the_two_halves_of_the_example_are_one_valid_manifest_and_each_alone_is_not() {
    let (mut short, house) = (example("short-with-a-policy.yaml"), example("house-policy.yaml"));
    let alone: DatabaseMigration = serde_json::from_value(short.clone()).expect("readable");
    let told: Vec<String> = validate(&alone)
        .expect_err("it is half of a manifest")
        .iter()
        .map(|violation| violation.field.to_string())
        .collect();
    assert_eq!(told, ["spec.policyRef", "spec.snapshot", "spec.verify.rowLevelSecurity"]);
    short["spec"] = policy::in_force(&short["spec"], Some(&house["spec"]));
    let whole: DatabaseMigration = serde_json::from_value(short).expect("readable");
    let meant = validate(&whole).expect("valid");
    let security = meant.row_level_security.expect("from both");
    assert_eq!((security.app_role.as_str(), security.tenant.column.as_str()), ("records_app", "clinic_id"));
    assert!(meant.assertions.conventions.expect("of the policy").tables.is_some());
}

#[test]
fn the_controller_may_read_policies_and_nothing_more() {
    let rights =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/sluice/templates/rbac.yaml"))
            .expect("the rights");
    let lines: Vec<&str> = rights.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| *line == "resources: [migrationpolicies]").expect("a rule");
    assert_eq!(lines[at + 1], "verbs: [get, list, watch]");
    assert_eq!(lines.iter().filter(|line| line.contains("migrationpolicies")).count(), 1);
}

fn house(spec: &Value) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": "house"}, "spec": spec})
}

const CLAIM: &str = "house-snapshots";

/// `records` says only what is its own, and names a policy that is not there yet.
fn short() -> World {
    let world = World::new();
    world.edit("records", |object| {
        let spec = object["spec"].as_object_mut().expect("a spec");
        spec.remove("snapshot");
        spec.insert("policyRef".to_owned(), json!({"name": "house"}));
        spec.insert("apply".to_owned(), json!({"deadline": "10m"}));
    });
    world
}

fn put_house(world: &World) {
    let sections = json!({"snapshot": {"dump": {"volumeClaim": CLAIM}}, "apply": {"deadline": "5m", "lockTimeout": "2s"}});
    world.server.cluster().put(key("migrationpolicies", "house"), house(&sections));
}

fn change_house(world: &World, change: impl FnOnce(&mut Value)) {
    world.server.cluster().edit(&key("migrationpolicies", "house"), |object| change(&mut object["spec"]));
}

fn verified() -> (String, String) {
    ("True".to_owned(), "Verified".to_owned())
}

/// The manifest that the stages of a Job get.
fn manifest_of(world: &World, job: &str) -> Value {
    let job = world.server.cluster().objects[&key("jobs", job)].clone();
    let environment =
        job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables").clone();
    let text = environment
        .iter()
        .find(|variable| variable["name"] == "SLUICE_SPEC")
        .and_then(|variable| variable["value"].as_str());
    serde_json::from_str(&text.expect("the manifest").replace("$$", "$")).expect("JSON")
}

#[tokio::test]
async fn the_stages_get_the_manifest_with_what_the_policy_says() {
    let mut world = short();
    put_house(&world);
    change_house(&world, |spec| spec["verify"] = json!({"conventions": {"preset": "PascalCamel"}}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
    let job = world.jobs().remove(0);
    let spec = manifest_of(&world, &job)["spec"].clone();
    assert_eq!(spec["snapshot"]["dump"]["volumeClaim"], CLAIM);
    assert_eq!(
        (&spec["apply"]["deadline"], &spec["apply"]["lockTimeout"]),
        (&json!("10m"), &json!("2s")),
        "the manifest wins"
    );
    assert_eq!(spec["verify"]["conventions"]["tables"], "PascalCase");
    assert_eq!(
        (&spec["policyRef"], &spec["verify"]["conventions"]["preset"]),
        (&Value::Null, &Value::Null),
        "nothing is left to look up"
    );
    let volumes =
        world.server.cluster().objects[&key("jobs", &job)]["spec"]["template"]["spec"]["volumes"].clone();
    assert!(
        volumes
            .as_array()
            .expect("volumes")
            .iter()
            .any(|volume| volume["persistentVolumeClaim"]["claimName"] == CLAIM)
    );
}

#[tokio::test]
async fn a_policy_that_is_missing_stalls_names_itself_and_changes_nothing_until_it_is_there() {
    let mut world = short();
    world.run_for(&["records"], 3).await;
    assert_eq!(
        (world.ready("records").1.as_str(), world.condition("records", ConditionType::Stalled)),
        ("Pending", None),
        "it may come in a moment"
    );
    world.run(&["records"]).await;
    let (status, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", Reason::PolicyNotFound.name()));
    for part in ["MigrationPolicy \"house\"", "spec.policyRef", "create it"] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    assert_eq!(world.condition("records", ConditionType::Stalled).expect("Stalled").0, "True");
    assert_eq!((world.jobs().len(), world.gate().len(), world.database.applied.len()), (0, 0, 0));
    let before = world.writes().len();
    world.run_for(&["records"], 100).await;
    assert_eq!(world.writes().len(), before, "it is told once");
    put_house(&world);
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn a_change_of_the_policy_verifies_again_and_migrates_nothing() {
    let mut world = short();
    put_house(&world);
    world.run(&["records"]).await;
    let (applied, gate) = (world.database.applied.clone(), world.gate());
    change_house(&world, |spec| spec["verify"] = json!({"conventions": {"tables": "PascalCase"}}));
    world.observe("records").await.expect("a reconcile");
    assert_eq!(world.ready("records").0, "False", "what is verified is not what is asked for any more");
    world.run(&["records"]).await;
    assert_eq!(
        (world.ready("records"), world.jobs().len(), world.status("records").history.len()),
        (verified(), 2, 2)
    );
    assert_eq!((&world.database.applied, world.gate()), (&applied, gate), "nothing was pending");
    assert_eq!(
        world.condition("records", ConditionType::SnapshotReady).expect("SnapshotReady").1,
        "SnapshotNotNeeded"
    );
}

#[tokio::test]
async fn a_policy_that_makes_the_schema_wrong_turns_ready_off_and_leaves_the_gate_open() {
    let mut world = short();
    put_house(&world);
    world.run(&["records"]).await;
    let gate = world.gate();
    world.database.mishaps = vec![Mishap::Fails(sluice::contract::Stage::Verify, Reason::VerificationFailed)];
    change_house(&world, |spec| spec["verify"] = json!({"conventions": {"tables": "PascalCase"}}));
    world.run(&["records"]).await;
    assert_eq!((world.ready("records").1.as_str(), world.gate()), ("VerificationFailed", gate));
    change_house(&world, |spec| spec["verify"] = json!({}));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records"), verified());
}

#[tokio::test]
async fn a_change_that_the_manifest_overrules_and_one_of_another_policy_start_nothing() {
    let mut world = short();
    put_house(&world);
    world.server.cluster().put(key("migrationpolicies", "other"), house(&json!({})));
    world.run(&["records"]).await;
    let before = world.writes().len();
    change_house(&world, |spec| spec["apply"]["deadline"] = json!("1h"));
    world.server.cluster().edit(&key("migrationpolicies", "other"), |object| {
        object["spec"]["apply"] = json!({"deadline": "1h"});
    });
    world.run(&["records"]).await;
    assert_eq!((world.writes().len(), world.ready("records")), (before, verified()));
}

#[tokio::test]
async fn writing_into_the_manifest_what_the_policy_says_starts_nothing() {
    let mut world = short();
    put_house(&world);
    world.run(&["records"]).await;
    world.edit("records", |object| {
        let spec = object["spec"].as_object_mut().expect("a spec");
        spec.remove("policyRef");
        spec.insert("snapshot".to_owned(), json!({"dump": {"volumeClaim": CLAIM}}));
        spec.insert("apply".to_owned(), json!({"deadline": "10m", "lockTimeout": "2s"}));
    });
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.jobs().len()), (verified(), 1));
    assert_eq!(world.status("records").observed_generation, 3);
}

#[tokio::test]
async fn a_policy_that_is_deleted_during_a_run_lets_it_end_and_is_told() {
    let mut world = short();
    put_house(&world);
    world.run_for(&["records"], 2).await;
    world.server.cluster().objects.remove(&key("migrationpolicies", "house"));
    world.run_for(&["records"], 20).await;
    assert_eq!(world.ready("records"), ("False".to_owned(), "PolicyNotFound".to_owned()));
    let status = world.status("records");
    assert_eq!(
        (status.history.len(), status.history[0].reason.as_str(), world.gate().len()),
        (1, "Verified", 2),
        "the run has ended and counts"
    );
    put_house(&world);
    world.run(&["records"]).await;
    assert_eq!((world.ready("records"), world.database.applied.len()), (verified(), 2));
}

#[tokio::test]
async fn what_is_wrong_after_merging_names_the_policy() {
    let mut world = short();
    put_house(&world);
    change_house(&world, |spec| spec["apply"]["lockTimeout"] = json!("0s"));
    world.run(&["records"]).await;
    let (_, reason, message) = world.condition("records", ConditionType::Ready).expect("Ready");
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.contains("spec.apply.lockTimeout") && message.contains("MigrationPolicy \"house\""),
        "{message}"
    );
    change_house(&world, |spec| spec["apply"]["lockTimeout"] = json!(7));
    world.run(&["records"]).await;
    assert_eq!(world.ready("records").1, "InvalidSpec", "what cannot be read at all is told, too");
}

/// Missing, there, and changed.
async fn a_life(fault: Option<(usize, Fault)>) -> World {
    let mut world = short();
    world.server.cluster().fault = fault;
    world.run_for(&["records"], 14).await;
    put_house(&world);
    world.run_for(&["records"], 12).await;
    change_house(&world, |spec| spec["verify"] = json!({"conventions": {"tables": "snake_case"}}));
    world.run_for(&["records"], 12).await;
    world
}

#[tokio::test]
async fn whichever_write_is_the_last_of_a_process_the_end_is_the_same() {
    let undisturbed = a_life(None).await;
    let (end, writes) = (undisturbed.end_state(), undisturbed.writes());
    assert_eq!(undisturbed.ready("records"), verified());
    for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::AnswerLost] {
        for at in 1..=writes.len() {
            let world = a_life(Some((at, fault))).await;
            assert_eq!(world.end_state(), end, "{fault:?} at write {at}, {}", writes[at - 1]);
        }
    }
}
