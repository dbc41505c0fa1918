//! What `sluice run`, `plan` and `verify` tell a person at a terminal: all that was found, in the order that
//! matters, and in words that are true outside a cluster.

use std::fs;

use serde_json::Value;

use crate::stage_scene::{Scene, finish, said};

const INIT: (&str, &str) = ("1_init", "CREATE TABLE t (x int);");
/// The second step fails as long as the table is empty.
const TWO_STEPS: &str = "CREATE INDEX CONCURRENTLY i ON t (x);\nSELECT 1 / (SELECT count(*) FROM t);\n";

async fn told(scene: &Scene, verb: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = scene.command(verb);
    command.args(arguments);
    let output = finish(command).await;
    (output.status.code(), said(&output))
}

async fn json(scene: &Scene, verb: &str) -> Value {
    let mut command = scene.command(verb);
    command.args(["-o", "json"]);
    let output = finish(command).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

fn checks(document: &Value) -> Vec<&str> {
    document["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|finding| finding["check"].as_str())
        .collect()
}

#[tokio::test]
async fn a_run_with_many_warnings_counts_those_that_it_does_not_print_and_its_json_has_all() {
    let keys: Vec<String> = (0..24).map(|n| format!("k{n} int REFERENCES parents")).collect();
    let sql = format!(
        "CREATE TABLE parents (id int PRIMARY KEY, x int); CREATE INDEX a ON parents (x); CREATE INDEX b ON \
            parents (x);\n\
         CREATE TABLE children (id int PRIMARY KEY, {});",
        keys.join(", ")
    );
    let scene = Scene::new("many_warnings", &[("1_init", &sql)])
        .await
        .with("verify", "{indexes: {foreignKeys: {}, redundant: true}}");
    let (code, text) = told(&scene, "run", &[]).await;
    let printed =
        |check: &str| text.lines().filter(|line| line.starts_with(&format!("Warning {check} "))).count();
    assert_eq!(
        (code, printed("foreign-key-indexed"), printed("index-redundant")),
        (Some(0), 19, 1),
        "{text}"
    );
    assert!(text.ends_with("and 5 more: foreign-key-indexed 5; `sluice verify` prints all\n"), "{text}");
    let status = json(&scene, "run").await;
    assert_eq!(
        (checks(&status).len(), status["findingCounts"]["warnings"].as_u64()),
        (25, Some(25)),
        "{status:#}"
    );
    assert_eq!(status["findingCounts"]["checks"][0]["count"].as_u64(), Some(24), "{status:#}");
}

#[tokio::test]
async fn what_is_pending_is_one_error_before_every_warning_and_nobody_is_suspected() {
    let tables =
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p);";
    let scene = Scene::new("pending_once", &[("1_init", tables)])
        .await
        .with("verify", "{indexes: {foreignKeys: {}}}");
    scene.ready().await;
    for name in ["2_a", "3_b", "4_c"] {
        scene.write(name, "SELECT 1;");
    }
    let report = json(&scene, "verify").await;
    assert_eq!(checks(&report), ["history-equals-source", "foreign-key-indexed"], "{report:#}");
    let (message, remedy) = (&report["findings"][0]["message"], &report["findings"][0]["remedy"]);
    assert_eq!(message, "3 migrations of the source are pending; the first is \"2_a\"");
    assert_eq!(remedy, "let Sluice run: it applies what is pending");
    let (_, page) = told(&scene, "verify", &["-o", "html"]).await;
    assert!(
        page.contains("let Sluice run") && !page.contains("<pre><code>let Sluice run"),
        "a sentence is no code: {page}"
    );
    assert!(page.contains("<pre><code>CREATE INDEX CONCURRENTLY ON"), "SQL is code: {page}");
}

#[tokio::test]
async fn errors_come_before_warnings_also_when_the_comparison_with_the_migrations_finds_them_last() {
    let tables =
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p);";
    let scene = Scene::new("errors_first", &[("1_init", tables)])
        .await
        .with("verify", "{indexes: {foreignKeys: {}}, drift: {}}");
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    scene.database.execute("CREATE TABLE stray (id int PRIMARY KEY)").await;
    let report = json(&scene, "verify").await;
    assert_eq!(checks(&report), ["schema-drift", "foreign-key-indexed"], "{report:#}");
}

#[tokio::test]
async fn a_migration_that_is_half_done_is_named_by_verify_and_plan_says_where_it_goes_on() {
    let scene = Scene::new("half_done", &[INIT]).await;
    scene.ready().await;
    scene.write("2_two", TWO_STEPS);
    let (code, _) = told(&scene, "run", &[]).await;
    assert_eq!(code, Some(1));

    let report = json(&scene, "verify").await;
    assert_eq!(checks(&report), ["failed-migration"], "{report:#}");
    let message = report["findings"][0]["message"].as_str().expect("a message");
    assert_eq!(message, "\"2_two\" was begun and not finished: 1 of its 2 steps is done");
    let (code, text) = told(&scene, "verify", &[]).await;
    assert!(
        code == Some(1) && text.contains("✗  failed-migration") && text.contains("it goes on at step 2"),
        "{text}"
    );

    let (code, text) = told(&scene, "plan", &[]).await;
    assert!(code == Some(0) && text.contains("2_two, which goes on at step 2 of 2"), "{text}");
    scene.write("2_two", &TWO_STEPS.replace("INDEX CONCURRENTLY i", "INDEX CONCURRENTLY other"));
    for verb in ["plan", "run"] {
        let (code, text) = told(&scene, verb, &[]).await;
        assert!(
            code == Some(1) && text.contains("HistoryDirty") && text.contains("edited in its step 1"),
            "{verb}: {text}"
        );
    }
    scene.write("2_two", TWO_STEPS);
    scene.database.execute("INSERT INTO t VALUES (1)").await;
    let (code, text) = told(&scene, "run", &[]).await;
    assert_eq!(
        (code, scene.history_table().await),
        (Some(0), vec!["1_init applied".to_owned(), "2_two applied".to_owned()]),
        "{text}"
    );
    assert_eq!(checks(&json(&scene, "verify").await), Vec::<&str>::new());
}

#[tokio::test]
async fn a_run_by_hand_promises_no_attempt_and_names_no_annotation_and_no_claim() {
    let scene =
        Scene::new("by_hand", &[INIT]).await.with("snapshot", "{dump: {volumeClaim: records-snapshots}}");
    scene.write("2_wrong", "SELECT missing;");
    let (code, text) = told(&scene, "run", &[]).await;
    assert!(code == Some(1) && text.contains("MigrationFailed"), "{text}");
    assert!(text.contains("correct it, then run it again"), "{text}");
    assert!(!text.contains("records-snapshots") && text.contains("snapshots/medical/records/"), "{text}");
    for word in ["sluice.dev/retry", "attempt 1", "follows after"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    fs::remove_dir_all(scene.source()).expect("removes the folder");
    fs::create_dir(scene.source()).expect("makes an empty one");
    let (_, text) = told(&scene, "run", &[]).await;
    assert!(!text.contains("follows after") && !text.contains("sluice.dev/retry"), "{text}");
}
