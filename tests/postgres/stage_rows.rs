//! What is committed as applied has its row in the history, and what a file takes back is its own work.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

const INIT: (&str, &str) = ("1_init", "CREATE TABLE first ();");

#[tokio::test]
async fn a_file_that_would_go_back_behind_its_beginning_is_refused_before_anything_runs() {
    let files = [
        ("1_a", "CREATE TABLE a0 (); SAVEPOINT s; CREATE TABLE a1 ();"),
        ("2_b", "CREATE TABLE b ();\nROLLBACK TO SAVEPOINT s;\nCREATE TABLE c ();"),
    ];
    let scene = Scene::new("behind", &files).await;
    let before = scene.catalog().await;
    let outcome = scene.stopped(Stage::Plan, Reason::SourceInvalid).await;
    assert!(
        outcome.message.contains("2_b/migration.sql: line 2: this file has made no savepoint \"s\""),
        "{}",
        outcome.message
    );
    assert_eq!(scene.catalog().await, before);
    scene.write(
        "2_b",
        "CREATE TABLE b ();\nSAVEPOINT s;\nCREATE TABLE d ();\nROLLBACK TO SAVEPOINT s;\nCREATE TABLE c ();",
    );
    scene.ready().await;
    let tables = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('a0', \
        'a1', 'b', 'c', 'd')";
    assert_eq!(scene.value(tables).await, "a0 a1 b c", "only what it made after its own savepoint is gone");
    assert_eq!(scene.history_table().await, ["1_a applied", "2_b applied"]);
}

#[tokio::test]
async fn a_release_whose_rows_are_not_all_in_the_history_is_rolled_back_and_named() {
    let trigger = |body: &str| {
        format!(
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body} END'; CREATE TABLE \
                slipped ();\n\
             CREATE TRIGGER t BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION t();"
        )
    };
    for (number, sql) in [
        trigger("RETURN NULL;"),
        trigger("NEW.migration_name := ''0_other''; RETURN NEW;"),
        trigger("NEW.checksum := ''0''; RETURN NEW;"),
        trigger("NEW.finished_at := NULL; RETURN NEW;"),
        trigger("NEW.rolled_back_at := now(); RETURN NEW;"),
        "CREATE TABLE slipped (); CREATE RULE r AS ON INSERT TO _prisma_migrations DO INSTEAD NOTHING;"
            .to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let scene = Scene::new(&format!("not_kept_{number}"), &[INIT]).await;
        scene.ready().await;
        scene.write("2_slips", sql);
        let before = scene.catalog().await;
        let outcome = scene.stopped(Stage::Migrate, Reason::HistoryUntrusted).await;
        assert!(outcome.message.contains("\"2_slips\" was rolled back"), "{sql}: {}", outcome.message);
        assert_eq!(
            (scene.catalog().await, scene.history_table().await),
            (before, vec!["1_init applied".to_owned()]),
            "{sql}"
        );
    }
    let scene = Scene::new("kept", &[INIT]).await;
    scene.ready().await;
    scene.write("2_counts", &trigger("RETURN NEW;"));
    let outcomes = scene.run().await;
    assert_eq!(
        outcomes.get(2).map(|outcome| outcome.reason),
        Some(Reason::Applied),
        "the control: {outcomes:?}"
    );
}

#[tokio::test]
async fn a_file_that_deletes_the_row_of_an_earlier_one_of_its_release_fails_it() {
    let files = [
        ("1_a", "CREATE TABLE a ();"),
        ("2_b", "CREATE TABLE b (); DELETE FROM _prisma_migrations WHERE migration_name = '1_a';"),
    ];
    let scene = Scene::new("deleted", &files).await;
    let outcome = scene.stopped(Stage::Migrate, Reason::HistoryUntrusted).await;
    assert!(outcome.message.contains("what was written to it about \"1_a\":"), "{}", outcome.message);
    assert_eq!(scene.value("SELECT to_regclass('b')::text").await, "");
}

#[tokio::test]
async fn a_file_in_steps_is_not_applied_while_its_row_is_not_finished() {
    let sql = "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';\n\
               CREATE TRIGGER t BEFORE UPDATE ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION t();\n\
               CREATE TABLE v (x int);\nCREATE INDEX CONCURRENTLY i ON v (x);";
    let scene = Scene::new("not_finished", &[INIT]).await;
    scene.ready().await;
    scene.write("2_steps", sql);
    let outcome = scene.stopped(Stage::Migrate, Reason::HistoryUntrusted).await;
    assert!(outcome.message.contains("record the end of the migration"), "{}", outcome.message);
    scene.database.execute("DROP TRIGGER t ON _prisma_migrations").await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_steps applied"]);
}
