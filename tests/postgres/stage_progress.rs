//! What a run says of itself while it works: whom it waits for, and how far an index is.

use sluice::{
    api::Reason,
    contract::{Outcome, Progress},
    stage::Context,
};
use sqlx::PgConnection;

use crate::{
    server::execute,
    stage_scene::{Scene, old_snapshot, run_all, session, snapshot_within_concurrently, until},
};

/// The key of the lock at which an index build waits that the test holds.
const HELD: u32 = 4711;

/// A function that PostgreSQL takes for an index waits at every row for as long as the test holds a lock.
const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2); CREATE TABLE other (); \
     CREATE FUNCTION held(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM \
        pg_advisory_lock_shared(4711), pg_advisory_unlock_shared(4711); RETURN $1; END $$;",
);

async fn scene(test: &str, sql: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.write("2_change", sql);
    // As long as the test needs.
    scene.with("apply", "{lockTimeout: 2m}")
}

/// Waits until the run says something of this kind, and answers it.
async fn says(context: &Context, what: &str, is: impl Fn(&Progress) -> bool) -> Progress {
    until(what, || async { context.progress.now().as_ref().is_some_and(&is) }).await;
    context.progress.now().expect("it said something")
}

fn assert_ready_and_silent(context: &Context, outcomes: &[Outcome]) {
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::Verified, "{}", last.message);
    let now = context.progress.now().expect("the last stage");
    assert_eq!((now.index, now.blocked_by), (None, vec![]), "nothing of it is left");
}

#[tokio::test]
async fn a_run_says_whom_it_waits_for_while_it_waits_and_no_longer() {
    let scene =
        scene("says_blocked", "ALTER TABLE t ADD COLUMN y int; SELECT pg_advisory_lock_shared(4711);").await;
    let begin = "BEGIN; SELECT count(*) FROM t";
    let reader = session(&scene.database.url, "nightly-report", begin).await;
    let gate = session(&scene.database.url, "test", "SELECT pg_advisory_lock(4711)").await;
    let context = scene.context();
    let (outcomes, ()) = tokio::join!(run_all(&context), async {
        let waits = says(&context, "it waits", |now| !now.blocked_by.is_empty()).await;
        let named: Vec<&str> = waits.blocked_by.iter().map(|one| one.application.as_str()).collect();
        assert_eq!(named, ["nightly-report"]);
        assert!(waits.summary().contains("(nightly-report)"), "{}", waits.summary());
        drop(reader);
        until("the table is locked, and it waits for the test", || scene.waits_at(HELD)).await;
        let waits = says(&context, "it says so", |now| {
            now.blocked_by.iter().all(|one| one.application != "nightly-report")
        });
        waits.await;
        drop(gate);
    });
    assert_ready_and_silent(&context, &outcomes);
}

#[tokio::test]
async fn a_run_says_how_far_postgresql_is_with_an_index() {
    for build in ["CREATE INDEX", "CREATE INDEX CONCURRENTLY"] {
        let scene = scene("says_index", &format!("{build} i ON t (held(x));")).await;
        let gate: PgConnection = session(&scene.database.url, "test", "SELECT pg_advisory_lock(4711)").await;
        let context = scene.context();
        let (outcomes, ()) = tokio::join!(run_all(&context), async {
            let builds = says(&context, "it builds", |now| now.index.is_some()).await;
            let index = builds.index.expect("an index");
            assert_eq!(index.phase, "building index: scanning table", "{build}");
            assert!(index.percent.is_some_and(|percent| percent <= 100), "{build}: {index:?}");
            drop(gate);
        });
        assert_ready_and_silent(&context, &outcomes);
    }
}

#[tokio::test]
async fn a_build_that_waits_in_its_middle_says_for_whom() {
    let scene = scene("says_within", "CREATE INDEX CONCURRENTLY i ON t (x);").await;
    let older = old_snapshot(&scene).await;
    let context = scene.context();
    let (outcomes, ()) = tokio::join!(run_all(&context), async {
        let mut snapshot = snapshot_within_concurrently(&scene, older).await;
        let waits = says(&context, "it waits", |now| now.index.is_some() && !now.blocked_by.is_empty()).await;
        let index = waits.index.as_ref().expect("an index");
        assert_eq!((index.phase.as_str(), index.percent), ("waiting for old snapshots", None));
        assert!(waits.summary().contains("(nightly-report)"), "{}", waits.summary());
        execute(&mut snapshot, "COMMIT").await;
    });
    assert_ready_and_silent(&context, &outcomes);
}
