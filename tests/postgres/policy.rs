//! `--policy` of `sluice run`, `plan` and `verify`: a policy's convention fails a run that passes without it,
//! and a policy that is asked for and not given stops everything. And the presets, each against a schema that
//! follows it and one that does not.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::stage_scene::{Scene, finish, said};

const TABLES: (&str, &str) =
    ("20260101000000_add_results", "CREATE TABLE lab_results (id int PRIMARY KEY, value int);");

/// Writes a policy of this name with these lines of YAML below `spec`.
fn policy(scene: &Scene, name: &str, spec: &str) -> PathBuf {
    let path = scene.folder.path().join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: {name}, namespace: \
            medical}}\nspec: {spec}\n"
    );
    fs::write(&path, text).expect("writes the policy");
    path
}

/// Exit code and everything that was printed.
async fn sluice(scene: &Scene, verb: &str, policy: Option<&PathBuf>, more: &[&str]) -> (Option<i32>, String) {
    let mut command = scene.command(verb);
    command.args(more);
    if let Some(policy) = policy {
        command.arg("--policy").arg(policy);
    }
    let output = finish(command).await;
    (output.status.code(), said(&output))
}

const PASCAL: &str = "{verify: {conventions: {preset: PascalCamel}}}";

#[tokio::test]
async fn a_convention_of_the_policy_rolls_back_a_run_that_passes_without_it() {
    let bound = Scene::new("policy_bound", &[TABLES]).await.with("policyRef", "{name: house}");
    let house = policy(&bound, "house", PASCAL);
    let (code, text) = sluice(&bound, "run", Some(&house), &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("convention-tables public.lab_results") && text.contains("is not PascalCase"),
        "{text}"
    );
    assert!(
        !text.contains("convention-tables public._prisma_migrations"),
        "the history is under no convention: {text}"
    );
    assert_eq!(
        bound.value("SELECT count(*)::text FROM pg_class WHERE relname = 'lab_results'").await,
        "0",
        "it never became visible"
    );

    let free = Scene::new("policy_free", &[TABLES]).await;
    let (code, text) = sluice(&free, "run", None, &[]).await;
    assert_eq!(code, Some(0), "{text}");

    let excepts =
        policy(&bound, "house", "{verify: {conventions: {preset: PascalCamel, tables: snake_case}}}");
    let (code, text) = sluice(&bound, "run", Some(&excepts), &[]).await;
    assert_eq!(code, Some(0), "what stands beside a preset wins: {text}");
}

#[tokio::test]
async fn the_manifest_wins_over_the_policy_and_both_may_stand_in_one_file() {
    let mut scene = Scene::new("policy_one_file", &[TABLES]).await.with("policyRef", "{name: house}");
    scene.set("verify", "{conventions: {except: [lab_results]}}");
    let house = policy(&scene, "house", PASCAL);
    let (code, text) = sluice(&scene, "run", Some(&house), &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("exempt by spec.verify.conventions.except"),
        "what is exempt stays visible: {text}"
    );

    let both = format!("{}---\n{}", scene.manifest(), fs::read_to_string(&house).expect("the policy"));
    let file = scene.folder.path().join("both.yaml");
    fs::write(&file, both).expect("writes");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .args(["verify", "-o", "json", "-f"])
        .arg(&file)
        .arg("--source")
        .arg(scene.source())
        .env("DATABASE_URL", &scene.url);
    let output = finish(command).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = report["findings"].as_array().expect("findings");
    assert!(
        found
            .iter()
            .any(|finding| finding["check"] == "convention-tables" && finding["severity"] == "Information"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_policy_that_is_asked_for_and_not_given_stops_every_verb_and_so_does_one_that_nobody_asked_for() {
    let mut scene = Scene::new("policy_missing", &[TABLES]).await.with("policyRef", "{name: house}");
    let other = policy(&scene, "other", PASCAL);
    for verb in ["run", "plan", "verify"] {
        for given in [None, Some(&other)] {
            let (code, text) = sluice(&scene, verb, given, &[]).await;
            assert_eq!(code, Some(2), "{verb}: {text}");
            assert!(text.contains("names the MigrationPolicy \"house\" in spec.policyRef"), "{verb}: {text}");
        }
    }
    assert_eq!(scene.value("SELECT count(*)::text FROM pg_class WHERE relname = 'lab_results'").await, "0");
    scene.set("policyRef", "null");
    let (code, text) = sluice(&scene, "plan", Some(&other), &[]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("names no MigrationPolicy"), "{text}");
}

/// What `verify` says against names, as check and object, with this preset in the policy.
async fn deviations(scene: &Scene, preset: &str) -> Vec<String> {
    let house = policy(scene, "house", &format!("{{verify: {{conventions: {preset}}}}}"));
    let (code, text) = sluice(scene, "verify", Some(&house), &["-o", "json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let name = |finding: &Value| {
        format!(
            "{} {}",
            finding["check"].as_str().unwrap_or_default(),
            finding["object"].as_str().unwrap_or_default()
        )
    };
    let found: Vec<String> = report["findings"].as_array().expect("findings").iter().map(name).collect();
    assert_eq!(code, Some(i32::from(!found.is_empty())), "{text}");
    found
}

#[tokio::test]
async fn each_preset_finds_nothing_in_a_schema_that_follows_it_one_thing_when_it_is_broken_and_nothing_when_it_is_mended()
 {
    let cases = [
        ("PascalCamel", "\"LabResult\"", "\"takenAt\"", "\"LabResult_takenAt_idx\"", "taken_at"),
        ("SnakePlural", "lab_results", "taken_at", "idx_lab_results_taken_at", "\"takenAt\""),
        ("SnakeTablesCamelColumns", "lab_results", "\"takenAt\"", "\"lab_results_takenAt_idx\"", "taken_at"),
    ];
    for (preset, table, column, index, broken) in cases {
        let sql = format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, {column} date); CREATE INDEX {index} ON {table} \
                ({column});"
        );
        let scene =
            Scene::new(&format!("preset_{}", preset.to_lowercase()), &[("20260101000000_add_results", &sql)])
                .await;
        scene.ready().await;
        let scene = scene.with("policyRef", "{name: house}");
        let all = format!("{{preset: {preset}, migrations: {{preset: Strict14Verbs}}}}");
        let object = |table: &str| format!("public.{}", table.trim_matches('"'));
        assert_eq!(deviations(&scene, &all).await, Vec::<String>::new(), "{preset}: clean");

        scene.database.execute(&format!("ALTER TABLE {table} ADD COLUMN {broken} int")).await;
        assert_eq!(
            deviations(&scene, &all).await,
            [format!("convention-columns {}", object(table))],
            "{preset}: broken"
        );
        scene.database.execute(&format!("ALTER TABLE {table} DROP COLUMN {broken}")).await;
        assert_eq!(deviations(&scene, &all).await, Vec::<String>::new(), "{preset}: mended");

        scene.database.execute(&format!("ALTER INDEX {index} RENAME TO whatever")).await;
        assert_eq!(
            deviations(&scene, &all).await,
            ["convention-indexes public.whatever"],
            "{preset}: an index by another name"
        );
        assert_eq!(
            deviations(&scene, &format!("{{preset: {preset}, indexes: []}}")).await,
            Vec::<String>::new(),
            "{preset}: overruled"
        );
    }
}

#[tokio::test]
async fn a_preset_of_migration_names_tells_of_a_verb_and_of_a_description_that_is_too_long() {
    let long = format!("20260102000000_add_{}", "x".repeat(46));
    let files = [
        ("20260101000000_patient_vitals", "CREATE TABLE a (id int PRIMARY KEY);"),
        (long.as_str(), "CREATE TABLE b (id int PRIMARY KEY);"),
    ];
    let scene = Scene::new("preset_names", &files).await;
    scene.ready().await;
    let scene = scene.with("policyRef", "{name: house}");
    let told = |names: Vec<String>| {
        names.into_iter().map(|name| name.replace("convention-migrations ", "")).collect::<Vec<_>>()
    };
    assert_eq!(
        told(deviations(&scene, "{migrations: {preset: Strict14}}").await),
        std::slice::from_ref(&long),
        "50 characters are one too many"
    );
    assert_eq!(
        told(deviations(&scene, "{migrations: {preset: Strict14Verbs}}").await),
        ["20260101000000_patient_vitals".to_owned(), long]
    );
    let overruled = "{migrations: {preset: Strict14Verbs, verbs: [add, patient], maxLength: 50}}";
    assert_eq!(deviations(&scene, overruled).await, Vec::<String>::new());
}
