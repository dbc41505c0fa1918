//! A file that cannot be one transaction goes step by step: finished steps are never repeated, whatever ends
//! the others.

use sluice::{
    api::Reason,
    contract::{Stage, Verdict},
};
use sqlx::Connection;

use crate::stage_scene::{Scene, old_snapshot, snapshot_within_concurrently, until};

const INIT: (&str, &str) = ("1_init", "CREATE TABLE log (what text); CREATE TABLE t (x int);");
/// Its effects are not idempotent: each line of the log stands for one run of a step.
const MIXED: &str = "INSERT INTO log VALUES ('first');\nCREATE INDEX CONCURRENTLY i ON t (x);\nINSERT INTO \
    log VALUES ('second');\nSELECT 1 / (SELECT count(*) FROM t);\nVACUUM t;\nINSERT INTO log VALUES \
    ('third');\n";

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write("2_mixed", sql);
    scene
}

async fn log(scene: &Scene) -> String {
    scene.value("SELECT string_agg(what, ' ' ORDER BY ctid) FROM log").await
}

#[tokio::test]
async fn a_mixed_file_goes_on_at_the_step_where_it_stopped() {
    let scene = scene("goes_on", MIXED).await;
    for _ in 0..3 {
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            outcome.failure.as_ref().map(|failure| (failure.sqlstate.as_str(), failure.line)),
            Some(("22012", 4))
        );
        assert!(outcome.message.contains("the next attempt goes on here"), "{}", outcome.message);
        assert_eq!(
            (log(&scene).await.as_str(), scene.history_table().await[1].as_str()),
            ("first", "2_mixed unfinished")
        );
    }
    scene.database.execute("INSERT INTO t VALUES (1)").await;
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second third");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_mixed applied"]);
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second third");
}

#[tokio::test]
async fn steps_that_did_not_run_yet_can_be_corrected_and_finished_ones_cannot() {
    let scene = scene("corrected", MIXED).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    for edited in [
        MIXED.replace("'first'", "'another first'"),
        MIXED.replace("ON t (x)", "ON t (x) WHERE x > 0"),
        // Shorter than what is done, and without anything that needs steps.
        "SELECT 1;".to_owned(),
        "INSERT INTO log VALUES ('first');".to_owned(),
        "INSERT INTO log VALUES ('first');\nINSERT INTO log VALUES ('second');".to_owned(),
    ] {
        scene.write("2_mixed", &edited);
        let outcome = scene.stopped(Stage::Plan, Reason::HistoryDirty).await;
        assert!(
            outcome.message.contains("2_mixed") && outcome.message.contains("already done"),
            "{}",
            outcome.message
        );
        assert_eq!(log(&scene).await, "first", "{edited}");
    }
    scene.write(
        "2_mixed",
        &MIXED
            .replace("SELECT 1 / (SELECT count(*) FROM t);\n", "SELECT 1;\n")
            .replace("'third'", "'fourth'"),
    );
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second fourth");
    assert_eq!(scene.history_table().await, ["1_init applied", "2_mixed applied"]);
}

#[tokio::test]
async fn a_file_whose_first_step_fails_leaves_no_row_and_can_be_rewritten() {
    let scene = scene("first_fails", "SELECT missing;\nVACUUM t;").await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(scene.history_table().await, ["1_init applied"]);
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.journal").await, "0");
    scene.write("2_mixed", "INSERT INTO log VALUES ('other');");
    scene.ready().await;
    assert_eq!((log(&scene).await.as_str(), scene.history_table().await.len()), ("other", 2));
}

#[tokio::test]
async fn on_an_empty_database_a_file_whose_first_step_fails_can_be_corrected() {
    let scene = Scene::new("empty_first", &[("1_mixed", "SELECT missing;\nVACUUM;")]).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    scene.write("1_mixed", "SELECT 1;\nVACUUM pg_class;");
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_mixed applied"]);
}

#[tokio::test]
async fn an_entry_of_resolve_that_stays_in_the_manifest_does_not_throw_finished_steps_away() {
    for verdict in ["RolledBack", "Applied"] {
        let scene = scene("resolve_stays", MIXED).await.with(
            "migrations",
            &format!("{{configMaps: [records], resolve: [{{name: 2_mixed, as: {verdict}}}]}}"),
        );
        for _ in 0..2 {
            scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        }
        assert_eq!(
            (log(&scene).await.as_str(), scene.history_table().await.len()),
            ("first", 2),
            "{verdict}"
        );
        scene.database.execute("INSERT INTO t VALUES (1)").await;
        scene.ready().await;
        assert_eq!(log(&scene).await, "first second third");
    }
}

#[tokio::test]
async fn a_setting_of_the_file_holds_in_its_later_steps_and_after_a_resumption() {
    let sql = "CREATE SCHEMA clinical;\nSET search_path = clinical;\nCREATE TABLE visits (x int);\nCREATE \
        INDEX CONCURRENTLY i ON visits (x);\n\
        CREATE TABLE notes (x int);\nSELECT 1 / (SELECT count(*) FROM public.t);\nCREATE INDEX CONCURRENTLY \
        j ON notes (x);\n";
    let scene = scene("settings", sql).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    scene.database.execute("INSERT INTO t VALUES (1)").await;
    scene.ready().await;
    let names = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = \
        'clinical'::regnamespace";
    assert_eq!(scene.value(names).await, "i j notes visits");
}

#[tokio::test]
async fn without_a_transaction_each_statement_is_a_step_that_is_never_repeated() {
    let sql = "-- sluice: no-transaction\nINSERT INTO log VALUES ('first');\nINSERT INTO log VALUES \
        ('second');\n\
        CALL commits();\nSELECT 1 / (SELECT count(*) FROM t);\nINSERT INTO log VALUES ('last');\n";
    let scene = scene("apart", sql).await;
    let procedure = "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES \
        ('called'); COMMIT; END $$";
    scene.database.execute(procedure).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(log(&scene).await, "first second called");
    scene.database.execute("INSERT INTO t VALUES (1)").await;
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second called last");
}

#[tokio::test]
async fn a_migration_that_follows_a_mixed_file_waits_until_it_is_done() {
    let scene = scene("follows", MIXED).await;
    scene.write("3_after", "INSERT INTO log VALUES ('after');");
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(log(&scene).await, "first");
    scene.database.execute("INSERT INTO t VALUES (1)").await;
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second third after");
}

#[tokio::test]
async fn a_session_that_the_server_ends_loses_nothing_and_is_not_called_a_failed_migration() {
    let scene = scene(
        "terminated",
        "INSERT INTO log VALUES ('first');\nCREATE INDEX CONCURRENTLY i ON t \
            (x);\nINSERT INTO log VALUES ('second');",
    )
    .await;
    scene.database.execute("CREATE TABLE other ()").await;
    let older = old_snapshot(&scene).await;
    let end = format!(
        "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false)::text FROM pg_stat_activity WHERE \
            datname = '{}' AND application_name LIKE 'sluice%' AND wait_event = 'virtualxid'",
        scene.database.name
    );
    let (outcomes, snapshot) = tokio::join!(scene.run(), async {
        let snapshot = snapshot_within_concurrently(&scene, older).await;
        until("the back end is ended", || async { scene.value(&end).await == "true" }).await;
        snapshot
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!((last.verdict, last.reason), (Verdict::Failed, Reason::ConnectionFailed), "{}", last.message);
    snapshot.close().await.expect("goes");
    scene.ready().await;
    assert_eq!(log(&scene).await, "first second");
}
