//! Source and ledger that do not fit: nothing runs, and the message names the migration and what to do.

use sluice::{
    api::{Format, Reason, Severity},
    migrations::{LedgerContract, RowState},
    postgres::Ledger,
    stage::{self, outcome::Stage},
};

use crate::stage_scene::{Scene, run_all};

const A: (&str, &str) = ("20240215120000_a", "CREATE TABLE a (x int);\n");
const B: (&str, &str) = ("20240216120000_b", "CREATE TABLE b (x int);\n");
const C: (&str, &str) = ("20240217120000_c", "CREATE TABLE c (x int);\n");
/// As Prisma's engine leaves a migration that failed.
const FAILED: &str = "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, started_at) \
     VALUES ('6ba7b810-9dad-41d1-80b4-00c04fd430c8', repeat('0', 64), '20240216120000_b', 'Database error code: 42P07', now())";

/// Stops in the plan, names the object, changes nothing.
async fn refused(scene: &Scene, reason: Reason, check: &str, object: &str) {
    let before = (scene.catalog().await, scene.ledger().await);
    let outcome = scene.stopped(Stage::Plan, reason).await;
    let finding = outcome.findings.iter().find(|finding| finding.check == check);
    assert!(finding.is_some_and(|finding| finding.object == object), "{:?}", outcome.findings);
    assert!(outcome.message.contains(object), "{}", outcome.message);
    assert_eq!((scene.catalog().await, scene.ledger().await), before);
}

async fn applied(test: &str, files: &[(&str, &str)]) -> Scene {
    let scene = Scene::new(test, files).await;
    scene.ready().await;
    scene
}

#[tokio::test]
async fn an_edited_migration_stops_everything() {
    let scene = applied("edited", &[A]).await;
    scene.write(A.0, "CREATE TABLE a (x bigint);\n");
    scene.write(B.0, B.1);
    refused(&scene, Reason::HistoryDiverged, "edited-migration", A.0).await;
}

#[tokio::test]
async fn a_missing_migration_stops_everything() {
    let scene = applied("missing", &[A, B]).await;
    scene.remove(A.0);
    scene.write(C.0, C.1);
    refused(&scene, Reason::HistoryDiverged, "missing-migration", A.0).await;
}

#[tokio::test]
async fn a_migration_that_arrives_late_stops_everything() {
    let scene = applied("late", &[A, C]).await;
    scene.write(B.0, B.1);
    refused(&scene, Reason::HistoryDiverged, "out-of-order", B.0).await;
}

#[tokio::test]
async fn other_line_endings_are_information_and_nothing_more() {
    let scene = applied("line_endings", &[A]).await;
    scene.write(A.0, &A.1.replace('\n', "\r\n"));
    scene.write(B.0, B.1);
    let outcomes = scene.ready().await;
    let finding = outcomes[3].findings.iter().find(|finding| finding.check == "line-endings").expect("is told");
    assert_eq!((finding.severity, finding.object.as_str()), (Severity::Information, A.0));
}

#[tokio::test]
async fn a_row_that_prisma_left_failed_stops_everything_until_it_is_resolved_as_rolled_back() {
    let scene = applied("rolled_back", &[A]).await;
    scene.database.execute(FAILED).await;
    scene.write(B.0, B.1);
    refused(&scene, Reason::HistoryDirty, "failed-migration", B.0).await;
    let scene = scene.with("migrations", &format!("{{configMaps: [records], resolve: [{{name: {}, as: RolledBack}}]}}", B.0));
    scene.ready().await;
    assert_eq!(scene.ledger().await, ["20240215120000_a applied", "20240216120000_b rolled back", "20240216120000_b applied"]);
    assert_eq!(scene.value("SELECT to_regclass('b')::text").await, "b");
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending, "carried out once");
}

#[tokio::test]
async fn a_failed_row_resolved_as_applied_is_recorded_as_prisma_would_and_not_run() {
    let scene = applied("as_applied", &[A]).await;
    scene.database.execute(FAILED).await;
    scene.write(B.0, B.1);
    let scene = scene.with("migrations", &format!("{{configMaps: [records], resolve: [{{name: {}, as: Applied}}]}}", B.0));
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('b')::text").await, "", "it was not run");
    let row = "SELECT concat_ws('|', logs, applied_steps_count, started_at = finished_at, checksum = encode(sha256(E'CREATE TABLE b (x int);\\n'), 'hex')) \
               FROM _prisma_migrations WHERE finished_at IS NOT NULL AND migration_name = '20240216120000_b'";
    assert_eq!(scene.value(row).await, "|0|t|t");
    assert_eq!(scene.value("SELECT count(*)::text FROM _prisma_migrations WHERE rolled_back_at IS NOT NULL").await, "1");
    scene.ready().await;
    assert_eq!(scene.ledger().await.len(), 3);
}

#[tokio::test]
async fn a_failed_row_is_not_resolved_as_applied_when_the_source_lacks_its_file() {
    let scene = applied("applied_without_file", &[A]).await;
    scene.database.execute(FAILED).await;
    let scene = scene.with("migrations", &format!("{{configMaps: [records], resolve: [{{name: {}, as: Applied}}]}}", B.0));
    refused(&scene, Reason::HistoryDirty, "failed-migration", B.0).await;
}

#[tokio::test]
async fn tables_without_history_are_refused_until_there_is_one() {
    let scene = Scene::new("non_empty", &[A]).await;
    scene.database.execute("CREATE TABLE already_here ()").await;
    let outcome = scene.stopped(Stage::Plan, Reason::NonEmptyDatabase).await;
    assert!(outcome.message.contains('1'), "{}", outcome.message);
    scene.database.execute(&format!("DROP TABLE already_here; CREATE VIEW only_a_view AS SELECT 1; SET ROLE {}", scene.role)).await;
    scene.ready().await;
}

#[tokio::test]
async fn an_empty_ledger_is_no_table_of_the_application() {
    let scene = applied("empty_ledger", &[A]).await;
    scene.database.execute("DROP TABLE a; DELETE FROM _prisma_migrations").await;
    scene.ready().await;
    assert_eq!(scene.ledger().await, ["20240215120000_a applied"]);
}

#[tokio::test]
async fn nothing_is_migrated_when_somebody_wrote_to_the_ledger_after_the_plan() {
    let scene = applied("changed_meanwhile", &[A]).await;
    scene.write(B.0, B.1);
    let context = scene.context();
    let plan = stage::run(Stage::Plan, &context, &[]).await;
    run_all(&context).await;
    scene.write(C.0, C.1);
    let before = scene.catalog().await;
    let outcome = stage::run(Stage::Migrate, &context, &[plan]).await;
    assert_eq!(outcome.reason, Reason::HistoryChanged, "{}", outcome.message);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn a_source_that_changed_after_the_plan_is_not_migrated_either() {
    let scene = applied("source_changed", &[A]).await;
    scene.write(B.0, B.1);
    let context = scene.context();
    let plan = stage::run(Stage::Plan, &context, &[]).await;
    scene.write(B.0, "CREATE TABLE something_else ();");
    let before = scene.catalog().await;
    // Another container reads the source anew.
    let outcome = stage::run(Stage::Migrate, &scene.context(), &[plan]).await;
    assert_eq!(outcome.reason, Reason::HistoryChanged, "{}", outcome.message);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn a_row_that_another_process_begins_or_finishes_right_now_is_never_taken_for_one_that_failed() {
    let scene = applied("race", &[("1_init", "CREATE TABLE t (x int);"), ("2_index", "CREATE INDEX CONCURRENTLY i ON t (x);")]).await;
    // What the step-by-step migrations of another process write: each line is a transaction.
    let writer = "DO $$ BEGIN FOR i IN 1..3000 LOOP \
         INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES (i::text, 'x', '3_next'); INSERT INTO sluice.journal VALUES (i::text, -1, 'x'); COMMIT; \
         UPDATE _prisma_migrations SET finished_at = now() WHERE id = i::text; DELETE FROM sluice.journal WHERE row_id = i::text; COMMIT; \
         DELETE FROM _prisma_migrations WHERE id = i::text; COMMIT; END LOOP; END $$";
    let ledger = Ledger { contract: LedgerContract::of(Format::Prisma, "public") };
    let mut reader = scene.database.connect().await;
    let mut writing = std::pin::pin!(scene.database.execute(writer));
    let (mut looks, mut half_way) = (0, 0);
    loop {
        let rows = tokio::select! {
            biased;
            rows = ledger.rows(&mut reader) => rows.expect("reads"),
            () = &mut writing => break,
        };
        let failed: Vec<_> = rows.iter().filter(|row| row.state() == RowState::Failed).collect();
        assert!(failed.is_empty(), "after {looks} looks: {failed:?}");
        looks += 1;
        half_way += usize::from(rows.iter().any(|row| row.state() == RowState::Resumable));
    }
    assert!(half_way > 10, "{looks} looks met a row half way {half_way} times");
}
