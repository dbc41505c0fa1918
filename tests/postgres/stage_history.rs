//! Source and history that do not fit: nothing runs, and the message names the migration and what to do.

use sluice::{
    api::{Format, Reason, Severity},
    contract::{Outcome, Stage},
    migrations::{HistoryContract, RowState},
    postgres::HistoryTable,
    stage,
};

use crate::stage_scene::{Scene, finish, planned, run_all, said};

pub const A: (&str, &str) = ("20240215120000_a", "CREATE TABLE a (x int);\n");
pub const B: (&str, &str) = ("20240216120000_b", "CREATE TABLE b (x int);\n");
pub const C: (&str, &str) = ("20240217120000_c", "CREATE TABLE c (x int);\n");
/// As Prisma's engine leaves a migration that failed.
const FAILED: &str = "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, started_at) \
     VALUES ('6ba7b810-9dad-41d1-80b4-00c04fd430c8', repeat('0', 64), '20240216120000_b', 'Database error \
     code: 42P07', now())";

/// Stops in the plan, names the object, changes nothing.
pub async fn refused(scene: &Scene, reason: Reason, check: &str, object: &str) {
    let before = (scene.catalog().await, scene.history_table().await);
    let outcome = scene.stopped(Stage::Plan, reason).await;
    let finding = outcome.findings.iter().find(|finding| finding.check.name() == check);
    assert!(finding.is_some_and(|finding| finding.object == object), "{:?}", outcome.findings);
    assert!(outcome.message.contains(object), "{}", outcome.message);
    assert_eq!((scene.catalog().await, scene.history_table().await), before);
}

pub async fn applied(test: &str, files: &[(&str, &str)]) -> Scene {
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
async fn an_edited_migration_is_accepted_by_name_with_a_reason_and_what_is_pending_runs() {
    let mut scene = applied("edited_accepted", &[A]).await;
    scene.write(A.0, "CREATE TABLE a (x bigint);\n");
    scene.write(B.0, B.1);
    let outcome = scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
    let remedy = &outcome.findings[0].remedy;
    assert!(
        remedy.contains(&format!("accept: {{name: {}, reason:", A.0))
            && remedy.contains("history.edited: Warn"),
        "{remedy}"
    );
    scene.set(
        "migrations",
        &format!(
            "{{configMaps: [records], history: {{accept: [{{name: {}, reason: a typing error}}]}}}}",
            A.0
        ),
    );
    let outcomes = scene.ready().await;
    assert_eq!(told(&outcomes[3], "edited-migration"), [(A.0.to_owned(), Severity::Information)]);
    assert_eq!(scene.history_table().await, ["20240215120000_a applied", "20240216120000_b applied"]);
    scene.set("migrations", "{configMaps: [records], history: {edited: Warn}}");
    assert_eq!(told(&scene.ready().await[0], "edited-migration"), [(A.0.to_owned(), Severity::Warning)]);
}

/// What a check said, and how bad it is.
pub fn told(outcome: &Outcome, check: &str) -> Vec<(String, Severity)> {
    let of_check = outcome.findings.iter().filter(|finding| finding.check.name() == check);
    of_check.map(|finding| (finding.object.clone(), finding.severity)).collect()
}

#[tokio::test]
async fn a_migration_missing_in_the_middle_is_told_and_what_is_pending_runs_unless_it_is_refused() {
    let mut scene = applied("missing", &[A, B]).await;
    scene.remove(A.0);
    scene.write(C.0, C.1);
    scene.set("migrations", "{configMaps: [records], history: {missing: Refuse}}");
    refused(&scene, Reason::HistoryDiverged, "missing-migration", A.0).await;
    scene.set("migrations", "{configMaps: [records]}");
    let outcomes = scene.ready().await;
    for stage in [0, 3] {
        assert_eq!(told(&outcomes[stage], "missing-migration"), [(A.0.to_owned(), Severity::Warning)]);
    }
    assert_eq!(
        scene.history_table().await,
        ["20240215120000_a applied", "20240216120000_b applied", "20240217120000_c applied"]
    );
}

#[tokio::test]
async fn a_source_that_is_older_than_the_database_is_ready_changes_nothing_and_names_what_it_lacks() {
    let mut scene = applied("ahead", &[A, B, C]).await;
    scene.remove(B.0);
    scene.remove(C.0);
    let before = (scene.catalog().await, scene.history_table().await);
    for missing in ["Warn", "Refuse"] {
        scene.set("migrations", &format!("{{configMaps: [records], history: {{missing: {missing}}}}}"));
        let outcomes = scene.ready().await;
        assert_eq!(outcomes[0].reason, Reason::DatabaseAhead);
        assert!(
            outcomes[0].message.contains(B.0) && outcomes[0].message.contains(C.0),
            "{}",
            outcomes[0].message
        );
        assert_eq!(told(&outcomes[3], "missing-migration"), [(C.0.to_owned(), Severity::Information)]);
        let history = outcomes[3].history.as_ref().expect("a history");
        assert_eq!(
            (history.current.as_deref(), history.applied.len()),
            (Some(C.0), 3),
            "the gate keeps all of them"
        );
    }
    let text = said(&finish(scene.command("run")).await);
    assert!(
        text.lines()
            .any(|line| line.starts_with("Ready") && line.contains("DatabaseAhead") && line.contains(C.0)),
        "{text}"
    );
    assert_eq!((scene.catalog().await, scene.history_table().await), before);
    // The same with something pending is another branch, and no older release.
    scene.write("20240216130000_fix", "CREATE TABLE fix (x int);");
    scene.stopped(Stage::Plan, Reason::HistoryDiverged).await;
    scene.set("migrations", "{configMaps: [records]}");
    let outcomes = scene.ready().await;
    assert_eq!(told(&outcomes[3], "missing-migration"), [(C.0.to_owned(), Severity::Warning)]);
    // And the next release has them again.
    scene.write(B.0, B.1);
    scene.write(C.0, C.1);
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
}

#[tokio::test]
async fn the_folder_of_another_database_is_refused_whatever_the_manifest_says() {
    let scene = applied("nothing_in_common", &[A, B]).await;
    scene.remove(A.0);
    scene.remove(B.0);
    scene.write("20240301000000_other", "CREATE TABLE other (x int);");
    refused(&scene, Reason::HistoryDiverged, "missing-migration", B.0).await;
}

#[tokio::test]
async fn a_migration_that_arrives_late_is_applied_with_a_warning_or_refused() {
    let mut scene = applied("late", &[A, C]).await;
    scene.write(B.0, B.1);
    scene.set("migrations", "{configMaps: [records], history: {late: Refuse}}");
    refused(&scene, Reason::HistoryDiverged, "out-of-order", B.0).await;
    scene.set("migrations", "{configMaps: [records]}");
    let outcomes = scene.ready().await;
    assert_eq!(told(&outcomes[0], "out-of-order"), [(B.0.to_owned(), Severity::Warning)]);
    assert!(outcomes[0].findings[0].message.contains(C.0), "{:?}", outcomes[0].findings);
    assert_eq!(
        scene.history_table().await,
        ["20240215120000_a applied", "20240217120000_c applied", "20240216120000_b applied"]
    );
    let history = outcomes[3].history.as_ref().expect("a history");
    assert_eq!(history.current.as_deref(), Some(C.0), "the version is the newest name");
    assert_eq!(history.applied, [B.0, C.0, A.0], "and what was applied last comes first");
    assert_eq!(told(&scene.ready().await[0], "out-of-order"), [], "once applied it is like any other");
}

#[tokio::test]
async fn a_release_with_a_late_name_has_no_drift_although_only_the_order_of_application_makes_this_schema() {
    let mut scene = applied(
        "late_drift",
        &[A, ("20240217120000_c", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 3';")],
    )
    .await;
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.write(B.0, "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';");
    scene.set("verify", "{drift: {}}");
    scene.ready().await;
    assert_eq!(scene.value("SELECT f()::text").await, "2");
}

#[tokio::test]
async fn what_missing_migrations_made_is_a_warning_of_the_comparison_and_what_is_changed_by_hand_an_error_again()
 {
    let mut scene = applied("ahead_drift", &[A, B]).await;
    // As in a database that Prisma made: the texts are not known.
    scene.database.execute("DROP SCHEMA sluice CASCADE").await;
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.set("verify", "{drift: {}}");
    scene.remove(B.0);
    assert_eq!(told(&scene.ready().await[3], "schema-drift"), [(B.0.to_owned(), Severity::Warning)]);
    scene.write(B.0, B.1);
    assert_eq!(told(&scene.ready().await[3], "schema-drift"), []);
    scene.database.execute("ALTER TABLE b ADD COLUMN by_hand int").await;
    scene.stopped(Stage::Verify, Reason::VerificationFailed).await;
}

#[tokio::test]
async fn names_whose_order_bytes_would_change_run_in_prismas_order() {
    let scene = Scene::new(
        "prismas_order",
        &[("10_b", "CREATE VIEW u AS SELECT * FROM t;"), ("1_a", "CREATE TABLE t (x int);")],
    )
    .await;
    scene.ready().await;
    scene.write("202310122339_x", "CREATE TABLE v (x int);");
    scene.write("20231012000000_Z", "CREATE TABLE w (x int);");
    let outcomes = scene.ready().await;
    assert_eq!(outcomes[3].findings, []);
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
}

#[tokio::test]
async fn a_name_of_255_bytes_is_applied_as_prisma_would() {
    let name = format!("20240215120000_{}", "n".repeat(240));
    let scene = Scene::new("longest_name", &[(&name, "CREATE TABLE t (x int);")]).await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, [format!("{name} applied")]);
}

#[tokio::test]
async fn a_folder_without_a_migration_is_an_error_unless_the_manifest_allows_it() {
    let mut scene = Scene::new("empty_source", &[]).await;
    std::fs::write(scene.source().join("schema.prisma"), "").expect("a file");
    let outcome = scene.stopped(Stage::Plan, Reason::SourceInvalid).await;
    assert!(
        outcome.message.contains("it has only \"schema.prisma\"") && outcome.message.contains("allowEmpty"),
        "{}",
        outcome.message
    );
    for verb in ["run", "plan"] {
        let output = finish(scene.command(verb)).await;
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", said(&output));
        assert!(said(&output).contains("schema.prisma"), "{verb}: {}", said(&output));
    }
    scene.set("migrations", "{configMaps: [records], allowEmpty: true}");
    scene.ready().await;
}

#[tokio::test]
async fn the_words_of_a_run_name_what_is_late_edited_and_missing() {
    let mut scene = applied("words", &[A, B, C]).await;
    scene.remove(B.0);
    scene.write(A.0, "CREATE TABLE a (x bigint);\n");
    scene.write("20240216130000_late", "CREATE TABLE late (x int);");
    scene.set("migrations", "{configMaps: [records], history: {edited: Warn}}");
    let output = finish(scene.command("run")).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (check, name) in
        [("edited-migration", A.0), ("missing-migration", B.0), ("out-of-order", "20240216130000_late")]
    {
        assert!(
            text.lines().any(|line| line.contains(check) && line.contains(name)),
            "{check} of {name}: {text}"
        );
    }
}

#[tokio::test]
async fn other_line_endings_are_information_and_nothing_more() {
    let scene = applied("line_endings", &[A]).await;
    scene.write(A.0, &A.1.replace('\n', "\r\n"));
    scene.write(B.0, B.1);
    let outcomes = scene.ready().await;
    let finding =
        outcomes[3].findings.iter().find(|finding| finding.check.name() == "line-endings").expect("is told");
    assert_eq!((finding.severity, finding.object.as_str()), (Severity::Information, A.0));
}

#[tokio::test]
async fn a_row_that_prisma_left_failed_stops_everything_until_it_is_resolved_as_rolled_back() {
    let scene = applied("rolled_back", &[A]).await;
    scene.database.execute(FAILED).await;
    scene.write(B.0, B.1);
    refused(&scene, Reason::HistoryDirty, "failed-migration", B.0).await;
    let scene = scene.with(
        "migrations",
        &format!("{{configMaps: [records], resolve: [{{name: {}, as: RolledBack}}]}}", B.0),
    );
    scene.ready().await;
    assert_eq!(
        scene.history_table().await,
        ["20240215120000_a applied", "20240216120000_b rolled back", "20240216120000_b applied"]
    );
    assert_eq!(scene.value("SELECT to_regclass('b')::text").await, "b");
    assert_eq!(scene.ready().await[0].reason, Reason::NothingPending, "carried out once");
}

#[tokio::test]
async fn a_failed_row_resolved_as_applied_is_recorded_as_prisma_would_and_not_run() {
    let scene = applied("as_applied", &[A]).await;
    scene.database.execute(FAILED).await;
    scene.write(B.0, B.1);
    let scene = scene
        .with("migrations", &format!("{{configMaps: [records], resolve: [{{name: {}, as: Applied}}]}}", B.0));
    scene.ready().await;
    assert_eq!(scene.value("SELECT to_regclass('b')::text").await, "", "it was not run");
    let row = "SELECT concat_ws('|', logs, applied_steps_count, started_at = finished_at, checksum = \
        encode(sha256(E'CREATE TABLE b (x int);\\n'), 'hex')) \
               FROM _prisma_migrations WHERE finished_at IS NOT NULL AND migration_name = '20240216120000_b'";
    assert_eq!(scene.value(row).await, "|0|t|t");
    assert_eq!(
        scene.value("SELECT count(*)::text FROM _prisma_migrations WHERE rolled_back_at IS NOT NULL").await,
        "1"
    );
    scene.ready().await;
    assert_eq!(scene.history_table().await.len(), 3);
}

#[tokio::test]
async fn a_failed_row_is_not_resolved_as_applied_when_the_source_lacks_its_file() {
    let scene = applied("applied_without_file", &[A]).await;
    scene.database.execute(FAILED).await;
    let scene = scene
        .with("migrations", &format!("{{configMaps: [records], resolve: [{{name: {}, as: Applied}}]}}", B.0));
    refused(&scene, Reason::HistoryDirty, "failed-migration", B.0).await;
}

#[tokio::test]
async fn tables_without_history_are_refused_until_there_is_one() {
    let scene = Scene::new("non_empty", &[A]).await;
    scene.database.execute("CREATE TABLE already_here ()").await;
    let outcome = scene.stopped(Stage::Plan, Reason::NonEmptyDatabase).await;
    assert!(outcome.message.contains('1'), "{}", outcome.message);
    scene
        .database
        .execute(&format!(
            "DROP TABLE already_here; CREATE VIEW only_a_view AS SELECT 1; SET ROLE {}",
            scene.role
        ))
        .await;
    scene.ready().await;
}

#[tokio::test]
async fn an_empty_history_is_no_table_of_the_application() {
    let scene = applied("empty_ledger", &[A]).await;
    scene.database.execute("DROP TABLE a; DELETE FROM _prisma_migrations").await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["20240215120000_a applied"]);
}

#[tokio::test]
async fn nothing_is_migrated_when_somebody_wrote_to_the_history_after_the_plan() {
    let scene = applied("changed_meanwhile", &[A]).await;
    scene.write(B.0, B.1);
    let context = scene.context();
    let plan = planned(&context).await;
    run_all(&context).await;
    scene.write(C.0, C.1);
    let before = scene.catalog().await;
    let outcome = stage::run(Stage::Migrate, &context, &plan).await;
    assert_eq!(outcome.reason, Reason::HistoryChanged, "{}", outcome.message);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn a_source_that_changed_after_the_plan_is_not_migrated_either() {
    let scene = applied("source_changed", &[A]).await;
    scene.write(B.0, B.1);
    let context = scene.context();
    let plan = planned(&context).await;
    scene.write(B.0, "CREATE TABLE something_else ();");
    let before = scene.catalog().await;
    // Another container reads the source anew.
    let outcome = stage::run(Stage::Migrate, &scene.context(), &plan).await;
    assert_eq!(outcome.reason, Reason::HistoryChanged, "{}", outcome.message);
    assert_eq!(scene.catalog().await, before);
}

#[tokio::test]
async fn a_row_that_another_process_begins_or_finishes_right_now_is_never_taken_for_one_that_failed() {
    let scene = applied(
        "race",
        &[("1_init", "CREATE TABLE t (x int);"), ("2_index", "CREATE INDEX CONCURRENTLY i ON t (x);")],
    )
    .await;
    // What the step-by-step migrations of another process write: each line is a transaction.
    let writer = "DO $$ BEGIN FOR i IN 1..3000 LOOP \
         INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES (i::text, 'x', '3_next'); \
         INSERT INTO sluice.journal VALUES (i::text, -1, 'x'); COMMIT; \
         UPDATE _prisma_migrations SET finished_at = now() WHERE id = i::text; DELETE FROM sluice.journal \
         WHERE row_id = i::text; COMMIT; \
         DELETE FROM _prisma_migrations WHERE id = i::text; COMMIT; END LOOP; END $$";
    let history_table = HistoryTable { contract: HistoryContract::of(Format::Prisma, "public") };
    let mut reader = scene.database.connect().await;
    let (mut looks, mut half_way) = (0, 0);
    // On a machine that does other things, one round may end before the reader has met enough.
    for _ in 0..20 {
        let mut writing = std::pin::pin!(scene.database.execute(writer));
        loop {
            let rows = tokio::select! {
                biased;
                rows = history_table.rows(&mut reader) => rows.expect("reads"),
                () = &mut writing => break,
            };
            let failed: Vec<_> = rows.iter().filter(|row| row.state() == RowState::Failed).collect();
            assert!(failed.is_empty(), "after {looks} looks: {failed:?}");
            looks += 1;
            half_way += usize::from(rows.iter().any(|row| row.state() == RowState::Resumable));
        }
        if half_way > 10 {
            break;
        }
    }
    assert!(half_way > 10, "{looks} looks met a row half way {half_way} times");
}

#[tokio::test]
async fn a_verification_says_which_database_it_saw_whatever_that_is_called() {
    let scene = applied("identity", &[A]).await;
    let seen =
        async |scene: &Scene| scene.ready().await[3].history.clone().and_then(|history| history.database);
    let identity = seen(&scene).await.expect("says which");
    let expected = "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM \
        pg_database WHERE datname = current_database())";
    assert_eq!(identity, scene.value(expected).await);
    let other = applied("identity_other", &[A]).await;
    let another = seen(&other).await.expect("says which");
    assert!(
        identity != another && identity.split('/').next() == another.split('/').next(),
        "{identity} and {another}"
    );
}

#[tokio::test]
async fn a_verification_answers_for_exactly_the_versions_that_it_is_asked_for() {
    let scene = applied("required", &[A, B]).await;
    scene
        .database
        .execute(
            "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = '20240216120000_b'",
        )
        .await;
    scene.remove(B.0);
    let mut context = scene.context();
    context.purpose = sluice::contract::Purpose::Verify;
    // The second sorts before the first and is no migration's name, the third was rolled back.
    context.required = [A.0, "20240215120000", B.0, "'; DROP TABLE a; --"].map(ToOwned::to_owned).to_vec();
    let outcomes = run_all(&context).await;
    let verify = outcomes.last().expect("verifies");
    assert_eq!((verify.stage, verify.reason), (Stage::Verify, Reason::Verified), "{}", verify.message);
    let read = Outcome::from_message(&verify.message_for_pod()).expect("reads back");
    let answers: Vec<(&str, bool)> =
        read.required.iter().map(|required| (required.version.as_str(), required.applied)).collect();
    assert_eq!(
        answers,
        [(A.0, true), ("20240215120000", false), (B.0, false), ("'; DROP TABLE a; --", false)]
    );
}

#[tokio::test]
async fn a_report_says_nothing_about_a_history_that_it_could_not_read() {
    let scene = applied("unread", &[A]).await;
    let text = said(&finish(scene.command("verify")).await);
    assert!(text.contains(A.0) && text.contains("1 applied, 0 pending"), "{text}");
    scene.remove(A.0);
    let text = said(&finish(scene.command("verify")).await);
    assert!(
        text.contains("not known: the history could not be read") && !text.contains("0 applied"),
        "{text}"
    );
    let mut command = scene.command("verify");
    command.args(["-o", "json"]);
    let output = finish(command).await;
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    assert_eq!(
        (&report["applied"], &report["version"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn a_verification_that_fails_after_the_history_was_read_says_what_is_applied() {
    let mut scene = applied("read_and_failed", &[A, B]).await;
    scene.set("verify", "{queries: [{name: nonsense, sql: SELECT nowhere, expect: NoRows}]}");
    let outcome = scene.run().await.pop().expect("ends");
    assert_eq!(outcome.stage, Stage::Verify, "{}", outcome.message);
    assert_eq!(outcome.history.map(|history| history.applied_count), Some(2));
}
