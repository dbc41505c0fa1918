//! `spec.migrations.baseline`: a database with tables and no history is adopted when it is what the
//! migrations make, and refused with the differences when it is not.

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
    stage,
};

use crate::stage_scene::Scene;

const FIRST: (&str, &str) =
    ("1_patients", "CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x');");
const SECOND: (&str, &str) = (
    "2_visits",
    "CREATE TABLE visits (id int PRIMARY KEY, patient int REFERENCES patients);\nCREATE INDEX visits_patient \
        ON visits (patient);",
);
const THIRD: (&str, &str) = ("3_notes", "ALTER TABLE visits ADD note text;");
const BASELINE: &str = "{configMaps: [records], baseline: {upTo: 2_visits}}";

/// A database in which a person has made this, with a row in it, and a role that may create databases.
async fn grown(test: &str, files: &[(&str, &str)], made: &str) -> Scene {
    let scene = Scene::new(test, files).await.with("migrations", BASELINE);
    let role = &scene.role;
    scene
        .database
        .execute(&format!(
            "ALTER ROLE {role} CREATEDB; SET ROLE {role}; {made}; INSERT INTO patients VALUES (1, 'somebody')"
        ))
        .await;
    scene
}

fn both() -> String {
    format!("{} {}", FIRST.1, SECOND.1)
}

#[tokio::test]
async fn a_database_that_is_equal_is_recorded_and_nothing_is_run() {
    let scene = grown("baseline_equal", &[FIRST, SECOND], &both()).await;
    let outcomes = scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_patients applied", "2_visits applied"]);
    assert_eq!(outcomes[0].reason, Reason::NothingPending);
    assert!(outcomes[0].message.contains("2 are recorded as applied"), "{}", outcomes[0].message);
    assert_eq!(outcomes[1].reason, Reason::SnapshotNotNeeded);
    let row = "SELECT concat_ws(' ', logs = '', applied_steps_count, started_at = finished_at, \
        rolled_back_at IS NULL, length(id), length(checksum)) FROM _prisma_migrations";
    assert_eq!(
        scene.column(row).await,
        ["t 0 t t 36 64", "t 0 t t 36 64"],
        "as `prisma migrate resolve --applied` writes them"
    );
    assert_eq!(scene.value("SELECT count(*)::text FROM patients").await, "1");
    assert_eq!(
        scene
            .value(
                "SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE \
        'sluice_scratch_%' AND datdba = (SELECT datdba FROM pg_database WHERE datname = \
        current_database())"
            )
            .await,
        ""
    );
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 2, "an entry that stays in the manifest does nothing more");
}

#[tokio::test]
async fn what_comes_after_the_baseline_is_applied_in_the_same_run() {
    let scene = grown("baseline_more", &[FIRST, SECOND, THIRD], &both()).await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_patients applied", "2_visits applied", "3_notes applied"]);
    assert_eq!(
        scene
            .value("SELECT count(*)::text FROM information_schema.columns WHERE table_name = 'visits'")
            .await,
        "3"
    );
}

#[tokio::test]
async fn a_database_that_differs_is_refused_with_the_differences_and_nothing_is_recorded() {
    let made = both().replace("name text NOT NULL DEFAULT 'x'", "name text DEFAULT 'x', extra int");
    let scene = grown("baseline_differs", &[FIRST, SECOND, THIRD], &made).await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    let objects: Vec<&str> = outcome.findings.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(objects, ["public.patients.extra", "public.patients.name"]);
    assert!(
        outcome.findings.iter().all(|finding| finding.check.name() == "baseline"),
        "{:?}",
        outcome.findings
    );
    assert!(
        outcome.message.contains("nothing was recorded") && outcome.message.contains("2 object(s) differ"),
        "{}",
        outcome.message
    );
    assert_eq!(scene.catalog().await, before, "not even the history was created");
    scene
        .database
        .execute("ALTER TABLE patients DROP extra; ALTER TABLE patients ALTER name SET NOT NULL")
        .await;
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 3);
}

#[tokio::test]
async fn one_that_changes_between_plan_and_migrate_is_refused_under_the_locks() {
    let scene = grown("baseline_late", &[FIRST, SECOND], &both()).await;
    let context = scene.context();
    let mut outcomes = Vec::new();
    for stage in [Stage::Plan, Stage::Snapshot] {
        let outcome = stage::run(stage, &context, &outcomes).await;
        assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.message);
        outcomes.push(outcome);
    }
    scene.database.execute("DROP INDEX visits_patient").await;
    let outcome = stage::run(Stage::Migrate, &context, &outcomes).await;
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Failed, Reason::BaselineDiffers),
        "{}",
        outcome.message
    );
    assert_eq!(outcome.findings.len(), 1);
    assert_eq!(scene.value("SELECT to_regclass('_prisma_migrations')::text").await, "");
}

#[tokio::test]
async fn an_empty_database_is_migrated_as_if_there_were_no_baseline() {
    let scene = Scene::new("baseline_empty", &[FIRST, SECOND, THIRD]).await.with("migrations", BASELINE);
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 3);
    assert_eq!(
        scene.value("SELECT min(applied_steps_count)::text FROM _prisma_migrations").await,
        "1",
        "they were run"
    );
}

#[tokio::test]
async fn a_database_that_grew_further_than_the_baseline_is_refused() {
    let scene = grown("baseline_further", &[FIRST, SECOND, THIRD], &format!("{} {}", both(), THIRD.1)).await;
    let outcome = scene.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    assert_eq!(outcome.findings[0].object, "public.visits.note");
    assert!(outcome.findings[0].remedy.contains("upTo"), "{}", outcome.findings[0].remedy);
}

#[tokio::test]
async fn a_baseline_that_is_not_in_the_source_is_named() {
    let scene = grown("baseline_unknown", &[FIRST], FIRST.1).await;
    let outcome = scene.stopped(Stage::Plan, Reason::TargetNotFound).await;
    assert!(
        outcome.message.contains("spec.migrations.baseline.upTo") && outcome.message.contains("2_visits"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn without_the_right_to_compare_nothing_is_recorded() {
    let scene = grown("baseline_no_right", &[FIRST, SECOND], &both()).await;
    scene.database.execute(&format!("ALTER ROLE {} NOCREATEDB", scene.role)).await;
    let outcome = scene.stopped(Stage::Plan, Reason::PrivilegesMissing).await;
    assert!(outcome.message.contains("CREATEDB"), "{}", outcome.message);
}
