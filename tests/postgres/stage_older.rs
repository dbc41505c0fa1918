//! Before CONCURRENTLY begins: the transactions that it would wait for in its middle are waited for first, and no
//! other.

use std::time::{Duration, Instant};

use sluice::{api::Reason, contract::Stage, stage};

use crate::stage_scene::{Scene, old_snapshot, planned, session, until};

const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE t (x int); CREATE INDEX i ON t (x); CREATE TABLE other (); \
     CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);",
);

const DROP: &str = "DROP INDEX CONCURRENTLY i;";
const DETACH: &str = "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;";
const REINDEX: &str = "REINDEX INDEX CONCURRENTLY i;";

/// What is there of the index, and of the partition: a drop that is given up leaves the index invalid, a partition
/// whose detaching is given up stays half detached, and a copy of an index is named like it.
const THERE: &str = "SELECT concat_ws(' ', (SELECT string_agg(c.relname || ':' || indisvalid, ',') FROM pg_index \
    JOIN pg_class c ON c.oid = indexrelid WHERE c.relname LIKE 'i%' AND c.relnamespace = 'public'::regnamespace), \
    (SELECT 'pending:' || inhdetachpending FROM pg_inherits WHERE inhrelid = 'p1'::regclass))";

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await.with("apply", "{deadline: 2m}");
    scene.ready().await;
    scene.write("2_change", sql);
    scene
}

#[tokio::test]
async fn sessions_that_use_the_table_are_named_and_nothing_is_half_done_when_the_deadline_comes() {
    for (test, sql, uses, left) in [
        ("older_drop", DROP, "t", "pending:false"),
        ("older_detach", DETACH, "p", "i:true"),
        ("older_part", DETACH, "p1", "i:true"),
        ("older_reindex", REINDEX, "t", "i:true pending:false"),
    ] {
        let scene = scene(test, sql).await;
        let begin = format!("BEGIN; SELECT count(*) FROM {uses}");
        let user = session(&scene.database.url, "nightly-report", &begin).await;
        let mut context = scene.context();
        let plan = planned(&context).await;
        // A run reaches it while it waits, and not before, on a busy machine, too.
        context.until = Instant::now() + Duration::from_secs(5);
        let outcome = stage::run(Stage::Migrate, &context, &plan).await;
        assert_eq!(outcome.reason, Reason::DeadlineExceeded, "{test}: {}", outcome.message);
        for part in ["before this began", "(nightly-report, role "] {
            assert!(outcome.message.contains(part), "{test}: {part} is not in: {}", outcome.message);
        }
        assert_eq!(scene.value(THERE).await, "i:true pending:false", "{test}");
        until("its back end is gone", || async { scene.sessions().await == "0" }).await;
        drop(user);
        scene.ready().await;
        assert_eq!(scene.value(THERE).await, left, "{test}");
    }
}

#[tokio::test]
async fn what_drops_or_detaches_waits_for_no_transaction_that_does_not_use_the_table() {
    for (test, sql, left) in
        [("unrelated_drop", DROP, "pending:false"), ("unrelated_detach", DETACH, "i:true")]
    {
        let scene = scene(test, sql).await;
        let _snapshot = old_snapshot(&scene).await;
        let _writer = session(&scene.database.url, "writer", "BEGIN; INSERT INTO other DEFAULT VALUES").await;
        scene.ready().await;
        assert_eq!(scene.value(THERE).await, left, "{test}");
    }
}
