//! A history that another tool applied is never refused for its text: what no migration may contain today is replayed as that tool sent it.

use sluice::{api::Reason, stage::outcome::Stage};

use crate::stage_scene::Scene;

const INIT: (&str, &str) = ("1_init", "CREATE TABLE t (a int);");
const DRIFT: &str = "{drift: {}}";

/// Writes the row that a tool left.
async fn recorded(scene: &Scene, name: &str, sql: &str) {
    scene.write(name, sql);
    let row = format!(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count) \
         VALUES ('{name}', encode(sha256(convert_to($sql${sql}$sql$, 'UTF8')), 'hex'), '{name}', now(), now(), 1)"
    );
    scene.database.execute(&row).await;
}

#[tokio::test]
async fn what_was_applied_is_replayed_as_it_was_sent() {
    let sql = "CREATE TABLE kept (a int);\nCOMMIT;\nBEGIN;\nCREATE TABLE taken_back (a int);\nROLLBACK;\nCREATE TABLE also_kept (a int);";
    let scene = Scene::new("sql_applied", &[INIT]).await.with("verify", DRIFT);
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    recorded(&scene, "2_taken_back", sql).await;
    scene.database.execute(&format!("SET ROLE {}; CREATE TABLE kept (a int); CREATE TABLE also_kept (a int)", scene.role)).await;
    scene.ready().await;
    scene.database.execute("DROP TABLE also_kept").await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert!(outcome.message.contains("also_kept"), "{}", outcome.message);
}

#[tokio::test]
async fn what_cannot_be_replayed_says_so_and_keeps_the_history() {
    let scene = Scene::new("sql_applied_not", &[INIT]).await.with("verify", DRIFT);
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    recorded(&scene, "2_psql", "SELECT 1;\n\\i other.sql\n").await;
    let outcome = scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
    assert!(outcome.message.contains("2_psql") && outcome.message.contains("cannot be replayed"), "{}", outcome.message);
    assert_eq!(outcome.history.map(|history| history.applied_count), Some(2));
}
