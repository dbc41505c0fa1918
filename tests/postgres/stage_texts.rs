//! The texts of what was applied are kept, so that an edit of a comment and a lost file are known for what they are.

use sluice::{
    api::{Reason, Severity},
    contract::Stage,
};

use crate::stage_history::{A, B, C, applied, refused, told};
use crate::stage_scene::Scene;

#[tokio::test]
async fn an_edit_of_comments_and_blanks_is_information_because_the_text_of_then_is_kept() {
    let index = ("20240216120000_b", "CREATE INDEX CONCURRENTLY i ON a (x);\n");
    let scene = applied("comments", &[A, index]).await;
    assert_eq!(
        scene.column("SELECT text FROM sluice.texts ORDER BY kept_at").await,
        [A.1, index.1],
        "one whole, one step by step"
    );
    for (name, edited) in [
        (A.0, "-- CreateTable\nCREATE TABLE a (\n  x int\n);\n"),
        (index.0, "CREATE INDEX CONCURRENTLY i\n  ON a (x); -- for the list\n"),
    ] {
        scene.write(name, edited);
        let outcomes = scene.ready().await;
        for stage in [0, 3] {
            assert!(
                told(&outcomes[stage], "edited-migration")
                    .contains(&(name.to_owned(), Severity::Information))
            );
        }
    }
    scene.write(C.0, C.1);
    scene.ready().await;
    scene.write(A.0, "CREATE TABLE a (x bigint);\n");
    refused(&scene, Reason::HistoryDiverged, "edited-migration", A.0).await;
    // A text that is not what its checksum says proves nothing.
    let forged =
        "UPDATE sluice.texts SET text = 'CREATE TABLE a (x bigint)' WHERE text LIKE 'CREATE TABLE a%'";
    scene.database.execute(forged).await;
    refused(&scene, Reason::HistoryDiverged, "edited-migration", A.0).await;
}

#[tokio::test]
async fn the_texts_of_what_somebody_else_applied_are_kept_once_their_files_are_those_that_were_applied() {
    let large = ("20240217120000_large", format!("CREATE TABLE c (x int);\n-- {}\n", "x".repeat(300 * 1024)));
    let scene = applied("adopted_texts", &[A, B, (large.0, &large.1)]).await;
    // As in a database that Prisma made.
    scene.database.execute("DROP SCHEMA sluice CASCADE").await;
    scene.write(B.0, "CREATE TABLE b (x bigint);\n");
    scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
    assert_eq!(
        scene.value("SELECT to_regnamespace('sluice')::text").await,
        "",
        "a run that does not pass keeps nothing"
    );
    scene.write(B.0, B.1);
    let outcomes = scene.ready().await;
    assert!(outcomes[2].message.contains("the texts of 2 migration(s)"), "{}", outcomes[2].message);
    assert_eq!(scene.column("SELECT text FROM sluice.texts ORDER BY text").await, [A.1, B.1]);
    assert_eq!(scene.ready().await[2].message, "nothing was pending", "kept once");
    scene.write(A.0, "-- a word\nCREATE TABLE a (x int);\n");
    assert_eq!(told(&scene.ready().await[0], "edited-migration"), [(A.0.to_owned(), Severity::Information)]);
    // Beside a release, and what it does not keep is what was edited meanwhile.
    scene.database.execute("DROP SCHEMA sluice CASCADE").await;
    scene.write(A.0, A.1);
    scene.write("20240218120000_d", "CREATE TABLE d (x int);\n");
    scene.ready().await;
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.texts").await, "3");
}

#[tokio::test]
async fn a_release_that_is_rolled_back_keeps_no_text_and_leaves_no_schema() {
    let scene = Scene::new("no_text", &[A, ("20240216120000_b", "SELECT 1 / 0;")]).await;
    let before = scene.catalog().await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn a_role_that_may_not_create_the_schema_migrates_without_keeping_texts() {
    let scene = Scene::new("may_not_keep", &[A]).await;
    let name = &scene.database.name;
    scene
        .database
        .execute(&format!(
            "ALTER DATABASE {name} OWNER TO CURRENT_USER; REVOKE CREATE ON DATABASE {name} FROM PUBLIC, {}",
            scene.role
        ))
        .await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regnamespace('sluice')::text").await, "");
    scene.write(A.0, "-- a word\nCREATE TABLE a (x int);\n");
    let outcome = scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
    assert!(outcome.message.contains("accept"), "{}", outcome.message);
    // A table of another role's, which could give it triggers, is not written to.
    scene.write(A.0, A.1);
    scene
        .database
        .execute(
            "CREATE SCHEMA sluice; CREATE TABLE sluice.texts (checksum varchar(64) PRIMARY \
        KEY, text text); GRANT ALL ON SCHEMA sluice TO PUBLIC; GRANT ALL ON sluice.texts TO PUBLIC",
        )
        .await;
    scene.write(B.0, B.1);
    scene.ready().await;
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.texts").await, "0");
}

#[tokio::test]
async fn a_large_file_is_applied_and_its_text_not_kept() {
    let large = format!("CREATE TABLE a (x int);\n-- {}\n", "x".repeat(300 * 1024));
    let scene = applied("large_text", &[(A.0, &large), B]).await;
    assert_eq!(scene.column("SELECT text FROM sluice.texts").await, [B.1]);
}

#[tokio::test]
async fn drift_replays_the_text_of_then_of_a_file_that_was_edited_or_lost_since() {
    let mut scene = applied("drift_of_then", &[A, B]).await;
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.set("verify", "{drift: {}}");
    scene.set("migrations", "{configMaps: [records], history: {edited: Warn}}");
    scene.write(A.0, "CREATE TABLE a (x bigint);\n");
    scene.remove(B.0);
    assert_eq!(told(&scene.ready().await[3], "schema-drift"), []);
    scene.database.execute("ALTER TABLE b ADD COLUMN by_hand int").await;
    assert_eq!(
        told(&scene.stopped(Stage::Verify, Reason::VerificationFailed).await, "schema-drift").len(),
        1
    );
}
