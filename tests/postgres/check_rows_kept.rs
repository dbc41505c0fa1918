//! Rows before and after a transaction of a migration: a lost row takes the transaction back, with the table
//! and both numbers.

use std::time::Duration;

use sluice::{api::Reason, contract::Stage};

use crate::{
    server::{connect, execute},
    stage_scene::{Scene, session, until},
};

const TABLES: (&str, &str) = (
    "1_tables",
    "CREATE TABLE patients (id int PRIMARY KEY, name text); CREATE TABLE visits (id int PRIMARY KEY, patient \
        int);",
);
const PATIENTS: &str = "INSERT INTO patients SELECT n, 'p' || n FROM generate_series(1, 12) n";

fn comparing(compare: &str) -> String {
    format!("{{rowCounts: {{tables: [{{table: patients, compare: {compare}}}]}}}}")
}

/// The first release is applied, twelve patients are there, and their table is compared in the next.
async fn scene(test: &str, compare: &str) -> Scene {
    let scene = Scene::new(test, &[TABLES]).await.with("verify", &comparing(compare));
    scene.ready().await;
    scene.database.execute(PATIENTS).await;
    scene
}

/// The release is refused before COMMIT with this message, and everything is as it was.
async fn refused(scene: &Scene, message: &str) {
    let (catalog, history_table, rows) =
        (scene.catalog().await, scene.history_table().await, rows(scene).await);
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    let found: Vec<_> =
        outcome.findings.iter().filter(|finding| finding.check.name() == "rows-kept").collect();
    assert!(
        found.len() == 1 && found[0].message == message && found[0].object == "public.patients",
        "{:?}",
        outcome.findings
    );
    assert!(
        outcome.message.contains(message) && outcome.message.contains("before COMMIT"),
        "{}",
        outcome.message
    );
    assert_eq!(
        (scene.catalog().await, scene.history_table().await, self::rows(scene).await),
        (catalog, history_table, rows)
    );
}

async fn rows(scene: &Scene) -> String {
    scene.value("SELECT count(*)::text FROM patients").await
}

#[tokio::test]
async fn a_lost_row_takes_the_release_back_with_the_table_and_both_numbers() {
    for compare in ["NotLessThanBefore", "Equal"] {
        let scene = scene("kept_lost", compare).await;
        // Fewer after the release than before it, although no single table loses all: a join that drops whom
        // it does not find.
        scene.write(
            "2_copy",
            "CREATE TABLE people AS SELECT p.* FROM patients p JOIN (VALUES (1), (2), (3)) \
            AS v(id) USING (id);",
        );
        scene.write("3_swap", "DROP TABLE patients; ALTER TABLE people RENAME TO patients;");
        refused(
            &scene,
            "public.patients had 12 rows before the first statement and has 3 rows before COMMIT: 9 lost",
        )
        .await;
        scene.write("2_copy", "CREATE TABLE people AS SELECT p.* FROM patients p;");
        scene.ready().await;
    }
}

#[tokio::test]
async fn a_table_that_is_gone_has_lost_its_rows() {
    let scene = scene("kept_gone", "NotLessThanBefore").await;
    scene.write(
        "2_rename",
        "ALTER TABLE patients RENAME TO people; CREATE VIEW patients AS SELECT * FROM people;",
    );
    refused(
        &scene,
        "public.patients had 12 rows before the first statement, and there is no table of that \
        name before COMMIT",
    )
    .await;
}

#[tokio::test]
async fn more_rows_pass_unless_exactly_as_many_are_asked_for() {
    let scene = scene("kept_more", "NotLessThanBefore").await;
    scene.write("2_more", "INSERT INTO patients VALUES (13, 'new');");
    scene.ready().await;
    let scene = scene.with("verify", &comparing("Equal"));
    scene.write("3_more", "INSERT INTO patients VALUES (14, 'newer');");
    refused(
        &scene,
        "public.patients had 13 rows before the first statement and has 14 rows before COMMIT: 1 more, and \
            Equal wants as many",
    )
    .await;
}

/// What a first transaction did stays, as the history says; the second is rolled back alone.
#[tokio::test]
async fn a_release_of_several_transactions_is_compared_in_each() {
    let scene = scene("kept_each", "NotLessThanBefore").await.with("apply", "{atomicity: Migration}");
    scene.write("2_more", "INSERT INTO patients VALUES (13, 'new');");
    scene.write("3_less", "DELETE FROM patients WHERE id > 10;");
    scene.write("4_again", "INSERT INTO patients SELECT n, 'again' FROM generate_series(11, 13) n;");
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    let lost = "public.patients had 13 rows before the first statement and has 10 rows before COMMIT: 3 lost";
    assert!(outcome.message.contains(lost), "{}", outcome.message);
    assert_eq!(
        (scene.history_table().await, rows(&scene).await.as_str()),
        (vec!["1_tables applied".to_owned(), "2_more applied".to_owned()], "13")
    );
}

#[tokio::test]
async fn the_transactions_of_a_mixed_file_are_compared_too() {
    let scene = scene("kept_mixed", "Equal").await;
    let mixed = "DELETE FROM patients WHERE id = 1;\nCREATE INDEX CONCURRENTLY names ON patients \
        (name);\nINSERT INTO visits VALUES (1, 2);";
    scene.write("2_mixed", mixed);
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert!(outcome.message.contains("has 11 rows before COMMIT: 1 lost"), "{}", outcome.message);
    assert_eq!(rows(&scene).await, "12");
    scene.write(
        "2_mixed",
        &mixed.replace("DELETE FROM patients WHERE id = 1;", "UPDATE patients SET name = 'x';"),
    );
    scene.ready().await;
}

/// `Equal` keeps writers away from the first count until COMMIT, so what is counted is the migration's own;
/// readers go on.
#[tokio::test]
async fn with_equal_nobody_else_writes_between_the_counts_and_everybody_reads() {
    // Or the gate itself would make the migration give up and let others go first.
    let scene = scene("kept_alone", "Equal").await.with("apply", "{lockTimeout: 30s}");
    let (key, gate) = (4711, "SELECT pg_advisory_xact_lock(4711);");
    let mut holder = session(&scene.database.url, "holder", &format!("SELECT pg_advisory_lock({key})")).await;
    scene.write("2_slow", &format!("{gate} UPDATE patients SET name = upper(name);"));
    let run = scene.run();
    let watch = async {
        until("the migration waits in its middle", || scene.waits_at(key)).await;
        assert_eq!(rows(&scene).await, "12");
        let mut writer = connect(&scene.database.url).await;
        execute(&mut writer, "SET lock_timeout = '200ms'").await;
        let refused = sqlx::raw_sql("DELETE FROM patients WHERE id = 1")
            .execute(&mut writer)
            .await
            .expect_err("the table is held");
        assert!(refused.to_string().contains("lock timeout"), "{refused}");
        execute(&mut holder, "SELECT pg_advisory_unlock_all()").await;
    };
    let (outcomes, ()) = tokio::time::timeout(Duration::from_mins(1), async { tokio::join!(run, watch) })
        .await
        .expect("in time");
    assert_eq!(outcomes.last().map(|outcome| outcome.reason), Some(Reason::Verified));
}

#[tokio::test]
async fn rows_that_cannot_be_counted_are_an_error_and_a_table_that_nobody_knows_is_found_from_outside() {
    let scene = scene("kept_untold", "NotLessThanBefore").await;
    let hidden = "ALTER TABLE patients FORCE ROW LEVEL SECURITY; ALTER TABLE patients ENABLE ROW LEVEL \
        SECURITY; CREATE POLICY none ON patients USING (false)";
    scene.database.execute(hidden).await;
    scene.write("2_more", "INSERT INTO visits VALUES (1, 1);");
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert!(
        outcome.message.contains("the rows of public.patients cannot be counted before the first statement"),
        "{}",
        outcome.message
    );
    scene.database.execute("ALTER TABLE patients DISABLE ROW LEVEL SECURITY").await;
    let scene = scene.with("verify", "{rowCounts: {tables: [{table: clients, compare: Equal}]}}");
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert!(
        outcome
            .findings
            .iter()
            .any(|finding| finding.check.name() == "row-count" && finding.object == "clients"),
        "{:?}",
        outcome.findings
    );
}
