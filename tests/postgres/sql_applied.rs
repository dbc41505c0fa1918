//! A history that another tool applied is never refused for its text: what no migration may contain today is
//! replayed as that tool sent it, for drift and for a baseline.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

const INIT: (&str, &str) = ("1_init", "CREATE TABLE t (a int);");
const DRIFT: &str = "{drift: {}}";

/// Writes the row that a tool left.
async fn recorded(scene: &Scene, name: &str, sql: &str) {
    scene.write(name, sql);
    let row = format!(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, \
            applied_steps_count) \
         VALUES ('{name}', encode(sha256(convert_to($sql${sql}$sql$, 'UTF8')), 'hex'), '{name}', now(), \
         now(), 1)"
    );
    scene.database.execute(&row).await;
}

#[tokio::test]
async fn what_was_applied_is_replayed_as_it_was_sent() {
    let sql = "CREATE TABLE kept (a int);\nCOMMIT;\nBEGIN;\nCREATE TABLE taken_back (a \
        int);\nROLLBACK;\nCREATE TABLE also_kept (a int);";
    let scene = Scene::new("sql_applied", &[INIT]).await.with("verify", DRIFT);
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    recorded(&scene, "2_taken_back", sql).await;
    scene
        .database
        .execute(&format!(
            "SET ROLE {}; CREATE TABLE kept (a int); CREATE TABLE also_kept (a int)",
            scene.role
        ))
        .await;
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
    assert!(
        outcome.message.contains("2_psql") && outcome.message.contains("cannot be replayed"),
        "{}",
        outcome.message
    );
    assert_eq!(outcome.history.map(|history| history.applied_count), Some(2));
}

/// A database in which a person made what `1_init` and this file make, and no history.
async fn grown(test: &str, name: &str, sql: &str, made: &str) -> Scene {
    let baseline = format!("{{configMaps: [records], baseline: {{upTo: {name}}}}}");
    let scene =
        Scene::new(test, &[INIT, (name, sql)]).await.with("migrations", Box::leak(baseline.into_boxed_str()));
    scene
        .database
        .execute(&format!("ALTER ROLE {0} CREATEDB; SET ROLE {0}; {1} {made}", scene.role, INIT.1))
        .await;
    scene
}

/// No migration that is pending may contain it: ROLLBACK takes back what the transaction of the release did.
const TAKES_BACK: &str =
    "CREATE TABLE kept (a int);\nCOMMIT;\nBEGIN;\nCREATE TABLE taken_back (a int);\nROLLBACK;";

#[tokio::test]
async fn a_baseline_records_a_file_that_would_be_refused_if_it_were_pending() {
    let scene = grown("sql_baseline", "2_taken_back", TAKES_BACK, "CREATE TABLE kept (a int)").await;
    let outcomes = scene.ready().await;
    assert!(outcomes[0].message.contains("2 are recorded as applied"), "{}", outcomes[0].message);
    assert_eq!(scene.history_table().await, ["1_init applied", "2_taken_back applied"]);
    scene.write("3_new", "CREATE TABLE more (a int);");
    scene.ready().await;

    // The control: the same text is refused where it would have to run.
    let refused = Scene::new("sql_baseline_not", &[INIT, ("2_taken_back", TAKES_BACK)]).await;
    let outcome = refused.stopped(Stage::Plan, Reason::SourceInvalid).await;
    assert!(
        outcome.message.contains("2_taken_back") && outcome.message.contains("ROLLBACK"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn a_baseline_that_cannot_be_replayed_or_makes_something_else_records_nothing() {
    let differs = grown(
        "sql_baseline_else",
        "2_taken_back",
        TAKES_BACK,
        "CREATE TABLE kept (a int); CREATE TABLE taken_back (a int)",
    )
    .await;
    let outcome = differs.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    assert!(outcome.message.contains("taken_back"), "{}", outcome.message);
    let psql = grown("sql_baseline_psql", "2_psql", "SELECT 1;\n\\i other.sql\n", "").await;
    let outcome = psql.stopped(Stage::Plan, Reason::BaselineDiffers).await;
    assert!(
        outcome.message.contains("2_psql") && outcome.message.contains("nothing was recorded"),
        "{}",
        outcome.message
    );
    for scene in [&differs, &psql] {
        assert_eq!(scene.value("SELECT (to_regclass('_prisma_migrations') IS NULL)::text").await, "true");
    }
}
