//! CONCURRENTLY: built, interrupted, repaired. An invalid index is never taken for the real one, and never
//! left behind.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use sluice::{api::Reason, contract::Stage, stage};
use sqlx::Connection;

use crate::{
    server::execute,
    stage_scene::{Scene, old_snapshot, planned, session, snapshot_within_concurrently, until},
};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE t (x int, y int); CREATE TABLE other (x int); INSERT INTO t SELECT i, i % 10 FROM \
        generate_series(1, 1000) i;",
);
const VALID: &str = "SELECT string_agg(indexrelid::regclass || ' ' || indisvalid, ', ' ORDER BY \
    indexrelid::regclass::text) FROM pg_index \
     WHERE indrelid IN (SELECT oid FROM pg_class WHERE relname IN ('t', 'other'))";

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write("2_index", sql);
    scene
}

async fn valid(scene: &Scene) -> String {
    scene.value(VALID).await
}

/// A deadline that a run reaches while it waits, and not before, on a busy machine, too.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Starts the binary and kills it while the build waits for the old snapshot.
async fn killed_while_it_builds(scene: &Scene, index: &str) {
    let older = old_snapshot(scene).await;
    let mut process: Child = scene.command("run").spawn().expect("starts");
    let snapshot = snapshot_within_concurrently(scene, older).await;
    process.kill().expect("SIGKILL is sent");
    process.wait().expect("it is gone");
    until("its back end is gone too", || async { scene.sessions().await == "0" }).await;
    assert!(
        valid(scene).await.contains(&format!("{index} false")),
        "an invalid index is left: {}",
        valid(scene).await
    );
    snapshot.close().await.expect("goes");
}

async fn repaired(scene: &Scene, expected: &str) {
    scene.ready().await;
    assert_eq!(valid(scene).await, expected);
    assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"]);
    assert_eq!(scene.value("SELECT count(*)::text FROM sluice.journal").await, "0");
}

#[tokio::test]
async fn an_index_is_built_concurrently_and_recorded_once() {
    let scene = scene("built", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    repaired(&scene, "i true").await;
    let row = "SELECT concat_ws('|', applied_steps_count, logs IS NULL, finished_at > started_at) FROM \
        _prisma_migrations WHERE migration_name = '2_index'";
    assert_eq!(scene.value(row).await, "1|t|t");
}

#[tokio::test]
async fn a_build_whose_process_was_killed_is_repaired_and_recorded_once() {
    for sql in [
        "CREATE INDEX CONCURRENTLY i ON t (x);",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x);",
        "CREATE UNIQUE INDEX CONCURRENTLY \"i\" ON public.t (x);",
        "create index concurrently\tif not exists U&\"\\0069\" on\tonly ( t )(x);",
    ] {
        let scene = scene("killed", sql).await;
        killed_while_it_builds(&scene, "i").await;
        assert_eq!(scene.history_table().await, ["1_init applied", "2_index unfinished"]);
        repaired(&scene, "i true").await;
    }
}

#[tokio::test]
async fn a_build_without_a_name_is_repaired_too() {
    let scene = scene("unnamed", "CREATE INDEX CONCURRENTLY ON t (x);").await;
    killed_while_it_builds(&scene, "t_x_idx").await;
    repaired(&scene, "t_x_idx true").await;
}

#[tokio::test]
async fn a_build_that_somebody_cancelled_leaves_no_invalid_index() {
    let scene = scene("cancelled", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    let older = old_snapshot(&scene).await;
    let cancel = format!(
        "SELECT coalesce(bool_or(pg_cancel_backend(pid)), false)::text FROM pg_stat_activity WHERE datname = \
            '{}' AND application_name LIKE 'sluice%' AND wait_event = 'virtualxid'",
        scene.database.name
    );
    let (outcomes, snapshot) = tokio::join!(scene.run(), async {
        let snapshot = snapshot_within_concurrently(&scene, older).await;
        until("the build is cancelled", || async { scene.value(&cancel).await == "true" }).await;
        // Dropping the left-over waits for the old snapshot as well.
        until("the build is over", || async { scene.value(&cancel).await == "false" }).await;
        drop(snapshot);
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!((last.reason, snapshot), (Reason::MigrationFailed, ()), "{}", last.message);
    assert_eq!(last.failure.as_ref().map(|failure| failure.sqlstate.as_str()), Some("57014"));
    assert_eq!(
        (valid(&scene).await, scene.history_table().await),
        (String::new(), vec!["1_init applied".to_owned()])
    );
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn a_unique_build_that_meets_duplicates_fails_and_cleans_up() {
    let scene = scene("duplicates", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (y);").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let failure = outcome.failure.expect("a failure");
    assert_eq!((failure.sqlstate.as_str(), failure.line), ("23505", 1));
    assert_eq!(
        (valid(&scene).await, scene.history_table().await),
        (String::new(), vec!["1_init applied".to_owned()])
    );
    scene.database.execute("INSERT INTO t VALUES (1001, 1)").await;
    scene.write("2_index", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (x);");
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn if_not_exists_does_not_take_an_invalid_left_over_of_another_tool_for_the_index() {
    let scene = scene("left_over", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (y);").await;
    let mut other = scene.database.connect().await;
    assert!(sqlx::raw_sql("CREATE UNIQUE INDEX CONCURRENTLY i ON t (y)").execute(&mut other).await.is_err());
    assert_eq!(valid(&scene).await, "i false");
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn an_index_that_was_there_before_is_not_taken_for_the_work_of_a_failed_build() {
    let scene =
        scene("already_there", "CREATE TABLE first_step ();\nCREATE INDEX CONCURRENTLY i ON t (x);").await;
    scene.database.execute("CREATE INDEX i ON t (y)").await;
    for _ in 0..2 {
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            outcome.failure.map(|failure| (failure.sqlstate, failure.line)),
            Some(("42P07".to_owned(), 2))
        );
    }
    scene.database.execute("DROP INDEX i").await;
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn an_invalid_index_that_is_left_is_found_by_the_verification() {
    let scene = scene("verified", "CREATE TABLE third (x int);").await;
    let mut other = scene.database.connect().await;
    assert!(sqlx::raw_sql("CREATE UNIQUE INDEX CONCURRENTLY i ON t (y)").execute(&mut other).await.is_err());
    let outcome = scene.stopped(Stage::Migrate, Reason::VerificationFailed).await;
    assert!(outcome.message.contains("\"public\".\"i\""), "{}", outcome.message);
}

#[tokio::test]
async fn what_postgresql_refuses_in_a_transaction_runs_and_is_recorded_once() {
    for (test, sql) in [
        ("drop_index", "CREATE INDEX i ON t (x);\nDROP INDEX CONCURRENTLY i;"),
        (
            "reindex",
            "CREATE INDEX i ON t (x);\nREINDEX INDEX CONCURRENTLY i;\nREINDEX (CONCURRENTLY) TABLE t;",
        ),
        ("vacuum", "VACUUM t;\nVACUUM (FULL, ANALYZE) t;"),
        (
            "detach",
            "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN \
                (1);\nALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;",
        ),
        (
            "add_value",
            "CREATE TYPE mood AS ENUM ('sad');\nALTER TYPE mood ADD VALUE 'calm';\nCREATE TABLE m (m mood \
                DEFAULT 'calm'); INSERT INTO m VALUES ('calm');",
        ),
    ] {
        let scene = scene(test, sql).await;
        scene.ready().await;
        assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"], "{test}");
        assert_eq!(scene.ready().await[0].reason, Reason::NothingPending);
    }
}

#[tokio::test]
async fn a_new_enum_value_can_be_used_by_the_next_file_of_the_release() {
    let scene = scene("enum_next", "CREATE TYPE mood AS ENUM ('sad');").await;
    scene.write("3_value", "ALTER TYPE mood ADD VALUE 'calm';");
    scene.write("4_use", "CREATE TABLE m (m mood DEFAULT 'calm'); INSERT INTO m VALUES ('calm');");
    scene.ready().await;
    assert_eq!(scene.value("SELECT m::text FROM m").await, "calm");
}

#[tokio::test]
async fn a_killed_reindex_leaves_no_copies_after_the_next_run() {
    let scene = scene("killed_reindex", "REINDEX INDEX CONCURRENTLY i;").await;
    scene.database.execute(&format!("CREATE INDEX i ON t (x); ALTER TABLE t OWNER TO {}", scene.role)).await;
    killed_while_it_builds(&scene, "i_ccnew").await;
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn a_drop_that_was_done_but_not_written_down_is_not_an_error_the_next_time() {
    let scene = scene("drop_done", "CREATE TABLE first_step ();\nDROP INDEX CONCURRENTLY i;").await;
    // The first attempt fails, because there is no such index; that is its journal without the failure.
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let again = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert_eq!(
        again.failure.map(|failure| failure.sqlstate).as_deref(),
        Some("42704"),
        "a failure is not a success the next time"
    );
    let digest = "INSERT INTO sluice.journal (row_id, step, digest) SELECT DISTINCT row_id, 1, \
        encode(sha256('DROP INDEX CONCURRENTLY i'), 'hex') FROM sluice.journal";
    scene.database.execute(digest).await;
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_index applied"]);
}

#[tokio::test]
async fn prisma_sees_an_unfinished_row_while_a_migration_is_half_way_and_none_when_it_is_done() {
    let scene =
        scene("half_way", "CREATE TABLE first_step ();\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (y);").await;
    scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    let row = "SELECT concat_ws('|', finished_at IS NULL, rolled_back_at IS NULL, applied_steps_count, logs \
        LIKE '%duplicate%' OR logs LIKE '%could not create unique index%') \
               FROM _prisma_migrations WHERE migration_name = '2_index'";
    assert_eq!(scene.value(row).await, "t|t|0|t");
    scene.write("2_index", "CREATE TABLE first_step ();\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (x);");
    scene.ready().await;
    let row = "SELECT concat_ws('|', finished_at IS NULL, applied_steps_count, logs IS NULL, checksum = \
        encode(sha256(E'CREATE TABLE first_step ();\\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (x);'), \
        'hex')) \
               FROM _prisma_migrations WHERE migration_name = '2_index'";
    assert_eq!(scene.value(row).await, "f|1|t|t");
}

#[tokio::test]
async fn a_concurrent_build_is_not_cut_short_by_the_limits_of_the_manifest_or_of_the_role() {
    let scene = scene("unlimited", "CREATE INDEX CONCURRENTLY i ON t (x);")
        .await
        .with("apply", "{statementTimeout: 200ms, lockTimeout: 100ms}");
    execute(
        &mut scene.database.connect().await,
        &format!("ALTER ROLE {} SET statement_timeout = '200ms'", scene.role),
    )
    .await;
    let older = old_snapshot(&scene).await;
    let waits = format!(
        "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE datname = '{}' AND wait_event = \
            'virtualxid' AND query_start < clock_timestamp() - interval '500 ms'",
        scene.database.name
    );
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        let snapshot = snapshot_within_concurrently(&scene, older).await;
        until("the build has waited for longer than both", || async { scene.value(&waits).await == "true" })
            .await;
        drop(snapshot);
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::Verified, "{}", last.message);
}

#[tokio::test]
async fn whom_a_concurrent_build_waited_for_is_named_when_the_deadline_comes() {
    let scene = scene("deadline", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    let snapshot = old_snapshot(&scene).await;
    let mut context = scene.context();
    let plan = planned(&context).await;
    context.until = soon();
    let outcome = stage::run(Stage::Migrate, &context, &plan).await;
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(outcome.message.contains("before this began"), "{}", outcome.message);
    assert!(outcome.message.contains("(nightly-report, role "), "{}", outcome.message);
    assert_eq!(outcome.blockers.len(), 1, "{:?}", outcome.blockers);
    assert_eq!(valid(&scene).await, "", "no index is left that slows writers");
    until("its back end is gone", || async { scene.sessions().await == "0" }).await;
    drop(snapshot);
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn a_deadline_that_comes_in_the_middle_of_a_build_names_whom_it_waited_for_too() {
    let scene = scene("deadline_within", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    let older = old_snapshot(&scene).await;
    let mut context = scene.context();
    let plan = planned(&context).await;
    context.until = Instant::now() + Duration::from_secs(20);
    let (outcome, snapshot) = tokio::join!(
        stage::run(Stage::Migrate, &context, &plan),
        snapshot_within_concurrently(&scene, older)
    );
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(outcome.message.contains("nightly-report"), "{}", outcome.message);
    until("its back end is gone", || async { scene.sessions().await == "0" }).await;
    drop(snapshot);
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn a_build_waits_for_no_transaction_that_postgresql_would_not_wait_for() {
    let scene =
        scene("unrelated", "CREATE INDEX CONCURRENTLY i ON t (x);").await.with("apply", "{deadline: 1m}");
    // Each statement of these has a snapshot of its own, and none is at work.
    let _reader = session(&scene.database.url, "reader", "BEGIN; SELECT count(*) FROM t").await;
    let _writer = session(&scene.database.url, "writer", "BEGIN; INSERT INTO other VALUES (1)").await;
    scene.ready().await;
    assert_eq!(valid(&scene).await, "i true");
}

#[tokio::test]
async fn a_build_waits_for_a_transaction_that_has_written_to_its_table_before_it_begins() {
    let scene = scene("written", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    let mut writer = session(&scene.database.url, "writer", "BEGIN; INSERT INTO t VALUES (-1, 0)").await;
    let mut context = scene.context();
    let plan = planned(&context).await;
    context.until = soon();
    let outcome = stage::run(Stage::Migrate, &context, &plan).await;
    assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{}", outcome.message);
    assert!(outcome.message.contains("before this began"), "{}", outcome.message);
    execute(&mut writer, "COMMIT").await;
    repaired(&scene, "i true").await;
}

#[tokio::test]
async fn another_index_that_took_the_name_of_an_interrupted_build_is_not_taken_for_it() {
    for (number, other) in [
        "CREATE UNIQUE INDEX i ON t (y, x)",
        "CREATE INDEX i ON t (x)",
        "CREATE UNIQUE INDEX i ON t (x DESC)",
        "CREATE UNIQUE INDEX i ON t (x) WHERE x > 0",
        "CREATE UNIQUE INDEX i ON t (x) INCLUDE (y)",
        "CREATE UNIQUE INDEX i ON t (x) NULLS NOT DISTINCT",
        "CREATE UNIQUE INDEX i ON other (x)",
        "CREATE INDEX i ON t USING hash (x)",
    ]
    .into_iter()
    .enumerate()
    {
        let scene = scene(&format!("another_{number}"), "CREATE UNIQUE INDEX CONCURRENTLY i ON t (x);").await;
        killed_while_it_builds(&scene, "i").await;
        scene.database.execute(&format!("DROP INDEX i; {other}")).await;
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            outcome.failure.as_ref().map(|failure| failure.sqlstate.as_str()),
            Some("42P07"),
            "{other}: {}",
            outcome.message
        );
        assert!(
            outcome
                .message
                .contains("\"i\" already exists, and it is not the index that this statement asks for"),
            "{}",
            outcome.message
        );
        scene.database.execute("DROP INDEX i").await;
        repaired(&scene, "i true").await;
    }
}

#[tokio::test]
async fn an_interrupted_build_that_the_server_had_finished_is_not_begun_again() {
    for (number, (asked, same)) in [
        ("CREATE UNIQUE INDEX CONCURRENTLY \"i\" ON ONLY public.t (x);", "CREATE UNIQUE INDEX i ON t (x)"),
        (
            "SET search_path = public; CREATE INDEX CONCURRENTLY i ON t (abs(x) DESC, y) WHERE y > 1;",
            "CREATE INDEX i ON t (abs(x) DESC, y) WHERE y > 1",
        ),
        (
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t USING btree (x) INCLUDE (y) WITH (fillfactor = \
                70);",
            "CREATE INDEX i ON t (x) INCLUDE (y) WITH (fillfactor = 70)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = scene(&format!("finished_{number}"), asked).await;
        killed_while_it_builds(&scene, "i").await;
        scene.database.execute(&format!("DROP INDEX i; {same}")).await;
        let oid = scene.value("SELECT 'i'::regclass::oid::text").await;
        repaired(&scene, "i true").await;
        assert_eq!(scene.value("SELECT 'i'::regclass::oid::text").await, oid, "{asked}");
        assert_eq!(
            scene
                .value(
                    "SELECT count(*)::text FROM pg_class WHERE relname LIKE \
            'sluice_asked%'"
                )
                .await,
            "0"
        );
    }
}
