//! A block or a procedure that commits in its middle, under `-- sluice: no-transaction`: only the block
//! itself knows how far it came, so Sluice never runs it a second time automatically.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::{Scene, until};

const INIT: (&str, &str) = ("1_init", "CREATE TABLE log (what text); CREATE TABLE t (x int);");

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write("2_parts", sql);
    scene
}

async fn log(scene: &Scene) -> String {
    scene.value("SELECT string_agg(what, ' ' ORDER BY ctid) FROM log").await
}

#[tokio::test]
async fn a_block_that_was_killed_after_it_had_committed_is_not_run_again() {
    let sql = "-- sluice: no-transaction\nINSERT INTO log VALUES ('one');\n\
               DO $$ BEGIN INSERT INTO log VALUES ('two'); COMMIT; PERFORM pg_sleep(60); END $$;\nINSERT \
               INTO log VALUES ('three');";
    let scene = scene("killed_block", sql).await;
    let mut process = scene.command("run").spawn().expect("starts");
    until("the block has committed", || async { log(&scene).await == "one two" }).await;
    process.kill().expect("SIGKILL is sent");
    process.wait().expect("it is gone");
    until("its back end is gone too", || async { scene.sessions().await == "0" }).await;
    for _ in 0..2 {
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(outcome.failure.as_ref().map(|failure| failure.line), Some(3), "{}", outcome.message);
        assert!(outcome.message.contains("does not run it again as it is"), "{}", outcome.message);
        assert_eq!(
            (log(&scene).await.as_str(), scene.history_table().await[1].as_str()),
            ("one two", "2_parts unfinished")
        );
    }
    scene.write(
        "2_parts",
        "-- sluice: no-transaction\nINSERT INTO log VALUES ('one');\nINSERT INTO log VALUES ('three');",
    );
    scene.ready().await;
    assert_eq!(
        (log(&scene).await.as_str(), scene.history_table().await[1].as_str()),
        ("one two three", "2_parts applied")
    );
}

#[tokio::test]
async fn a_block_or_a_procedure_that_failed_after_it_had_committed_is_not_run_again() {
    let procedure = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('half'); \
        COMMIT; PERFORM 1 / (SELECT count(*) FROM t); END $$;";
    for sql in [
        "DO $$ BEGIN INSERT INTO log VALUES ('half'); COMMIT; PERFORM 1 / (SELECT count(*) FROM t); END $$;"
            .to_owned(),
        "CALL p();".to_owned(),
    ] {
        let scene = scene("failed_block", &format!("-- sluice: no-transaction\n{sql}")).await;
        scene.database.execute(procedure).await;
        for _ in 0..2 {
            let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
            assert!(outcome.message.contains("may have committed a part of its work"), "{}", outcome.message);
            assert_eq!(
                (log(&scene).await.as_str(), scene.history_table().await[1].as_str()),
                ("half", "2_parts unfinished"),
                "{sql}"
            );
        }
        scene.database.execute("INSERT INTO t VALUES (1)").await;
        scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(log(&scene).await, "half");
    }
}

#[tokio::test]
async fn what_cannot_have_committed_runs_again_when_the_fault_is_mended() {
    for sql in [
        "DO $$ BEGIN INSERT INTO log VALUES ('whole'); PERFORM 1 / (SELECT count(*) FROM t); END $$;",
        // PostgreSQL finds no such procedure before it runs anything.
        "CALL later();",
    ] {
        let scene = scene("whole_block", &format!("-- sluice: no-transaction\n{sql}")).await;
        scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            (log(&scene).await.as_str(), scene.history_table().await.len()),
            ("", 1),
            "{sql}: nothing of it is left"
        );
        scene
            .database
            .execute(
                "INSERT INTO t VALUES (1); CREATE PROCEDURE later() LANGUAGE sql AS 'INSERT INTO log \
                VALUES (''whole'')'",
            )
            .await;
        scene.ready().await;
        assert_eq!(log(&scene).await, "whole");
    }
}
