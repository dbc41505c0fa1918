//! For how long a migration keeps others from what is there: measured, and limited where the manifest says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sluice::{
    api::Reason,
    contract::{Outcome, Stage},
};

use crate::{
    server::{connect, execute},
    stage_scene::{Scene, session, until},
};

/// A function that PostgreSQL takes for an index sleeps at every row.
const INIT: (&str, &str) = (
    "1_init",
    "CREATE TABLE visits (id int); CREATE TABLE rooms (id int); INSERT INTO visits SELECT generate_series(1, 400); \
     CREATE TABLE beside (id int); CREATE FUNCTION slowly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(0.05); \
        RETURN $1; END $$;",
);

/// How much later than the limit a client may go on: the poll, the answer of the server.
const ROOM: Duration = Duration::from_millis(500);

async fn scene(test: &str, apply: &str) -> Scene {
    let scene = Scene::new(test, &[INIT]).await;
    scene.ready().await;
    scene.with("apply", apply)
}

/// Runs a statement every 50 ms; answers the longest time that one took.
async fn client(url: String, statement: &'static str, stop: Arc<AtomicBool>) -> Duration {
    let mut connection = connect(&url).await;
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        execute(&mut connection, statement).await;
        longest = longest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest
}

/// The last Outcome of a run, and how long a reader and a writer waited beside it at most, less what a busy machine makes any client wait.
async fn run_beside_clients(scene: &Scene) -> (Outcome, Duration, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = |statement| tokio::spawn(client(scene.database.url.clone(), statement, Arc::clone(&stop)));
    let reader = begin("SELECT count(id) FROM visits");
    let writer = begin("INSERT INTO visits (id) VALUES (0)");
    // Nothing locks this table.
    let control = begin("INSERT INTO beside (id) VALUES (0)");
    let outcome = scene.run().await.pop().expect("an outcome");
    stop.store(true, Ordering::Relaxed);
    let busy = control.await.expect("the control ends") * 2;
    let waited = [reader.await.expect("the reader ends"), writer.await.expect("the writer ends")];
    let [reader, writer] = waited.map(|waited| waited.saturating_sub(busy));
    (outcome, reader, writer)
}

/// What a run that was rolled back leaves.
async fn assert_nothing_is_left(scene: &Scene, before: Vec<String>) {
    assert_eq!(
        (scene.catalog().await, scene.history_table().await),
        (before, vec!["1_init applied".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_for_too_long_is_given_back_and_the_message_says_by_whom_and_why() {
    let scene = scene("held", "{lockHeld: 1s}").await;
    scene.write("2_alter", "SELECT 1;\nALTER TABLE visits ADD COLUMN note text;");
    scene.write("3_slow", "SELECT 2;\n\nSELECT pg_sleep(30);");
    let before = scene.catalog().await;
    let (outcome, reader, writer) = run_beside_clients(&scene).await;
    assert_eq!(outcome.reason, Reason::LockHeldTooLong, "{}", outcome.message);
    for part in [
        "3_slow/migration.sql:3: ",
        "\"public.visits\" was locked against readers and writers (ACCESS EXCLUSIVE) for 1.",
        "spec.apply.lockHeld allows 1s",
        "2_alter/migration.sql:2 (ALTER TABLE visits ADD COLUMN note text) took the lock",
        "in: SELECT pg_sleep(",
        "nothing of it is left",
        "to hold it for less, put this statement in a migration before",
    ] {
        assert!(outcome.message.contains(part), "{part} is not in: {}", outcome.message);
    }
    assert!(reader.max(writer) < Duration::from_secs(1) + ROOM, "{reader:?} {writer:?}");
    assert_nothing_is_left(&scene, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_the_same_file_is_applied_and_its_longest_lock_is_told() {
    let scene = scene("not_held", "{}").await;
    scene.write(
        "2_alter",
        "ALTER TABLE visits ADD COLUMN note text; CREATE TABLE fresh (); SELECT pg_sleep(4);",
    );
    let (outcome, reader, writer) = run_beside_clients(&scene).await;
    assert_eq!(outcome.reason, Reason::Verified, "{}", outcome.message);
    assert!(
        reader.min(writer) > Duration::from_secs(1) + ROOM,
        "the clients do measure: {reader:?} {writer:?}"
    );
    scene.write("3_alter", "ALTER TABLE visits ADD COLUMN more text; SELECT pg_sleep(2);");
    let outcomes = scene.ready().await;
    let migrate = outcomes.iter().find(|outcome| outcome.stage == Stage::Migrate).expect("it migrated");
    let locks = &migrate.locks;
    let told: Vec<_> = locks.iter().map(|lock| (lock.table.as_str(), lock.mode.as_str())).collect();
    assert_eq!(told, [("public.visits", "ACCESS EXCLUSIVE")]);
    assert!((1000..migrate.milliseconds).contains(&locks[0].milliseconds), "{migrate:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_locks_and_works_by_itself_is_cancelled_in_a_transaction_and_outside_of_one() {
    for directive in ["", "-- sluice: no-transaction\n"] {
        let scene = scene("held_index", "{lockHeld: 1s}").await;
        scene.write("2_index", &format!("{directive}CREATE INDEX slow ON visits (slowly(id));"));
        let (outcome, reader, writer) = run_beside_clients(&scene).await;
        assert_eq!(outcome.reason, Reason::LockHeldTooLong, "{directive}{}", outcome.message);
        for part in [
            "locked against writers (SHARE)",
            "the statement that was at work took the lock",
            "in: CREATE INDEX slow ON visits",
            "build the index CONCURRENTLY",
        ] {
            assert!(outcome.message.contains(part), "{part} is not in: {}", outcome.message);
        }
        assert!(writer < Duration::from_secs(1) + ROOM, "{writer:?}");
        assert!(reader < ROOM, "no reader waits for SHARE: {reader:?}");
        assert_eq!(scene.value("SELECT to_regclass('slow')::text").await, "", "{directive}");
        assert_eq!(scene.history_table().await, ["1_init applied"], "{directive}");
    }
}

#[tokio::test]
async fn what_the_release_makes_itself_may_be_locked_for_as_long_as_it_takes() {
    let scene = scene("held_fresh", "{lockHeld: 300ms}").await;
    scene.write("2_fresh", "CREATE TABLE fresh (id int); ALTER TABLE fresh ADD n int; SELECT pg_sleep(1);");
    scene.ready().await;
    scene.write("3_old", "ALTER TABLE fresh ADD m int; SELECT pg_sleep(1);");
    let outcome = scene.stopped(Stage::Migrate, Reason::LockHeldTooLong).await;
    assert!(outcome.message.contains("\"public.fresh\""), "{}", outcome.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_does_not_heed_that_it_is_cancelled_is_ended_with_its_session() {
    let scene = scene("held_deaf", "{lockHeld: 1s}").await;
    let deaf = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;";
    scene.write("2_deaf", &format!("ALTER TABLE visits ADD COLUMN note text; {deaf}"));
    let before = scene.catalog().await;
    let (outcome, reader, writer) = run_beside_clients(&scene).await;
    assert_eq!(outcome.reason, Reason::LockHeldTooLong, "{}", outcome.message);
    // One second more, in which the server cancels.
    assert!(reader.max(writer) < Duration::from_secs(2) + ROOM, "{reader:?} {writer:?}");
    assert_nothing_is_left(&scene, before).await;
}

#[tokio::test]
async fn a_watcher_whose_session_is_ended_comes_back_and_still_sees() {
    let scene = scene("held_watcher", "{lockHeld: 2s}").await;
    scene.write("2_alter", "ALTER TABLE visits ADD COLUMN note text; SELECT pg_sleep(30);");
    let watchers = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = \
        current_database() AND application_name LIKE 'sluice % watcher' AND EXISTS (SELECT FROM pg_stat_activity \
        WHERE datname = current_database() AND query LIKE '%pg_sleep(30)%' AND application_name LIKE 'sluice%')";
    let (outcomes, ()) = tokio::join!(scene.run(), async {
        until("a watcher was ended", || async { scene.value(watchers).await == "1" }).await;
    });
    let last = outcomes.last().expect("an outcome");
    assert_eq!(last.reason, Reason::LockHeldTooLong, "{}", last.message);
}

#[tokio::test]
async fn a_migration_that_keeps_others_waiting_because_it_waits_itself_is_tried_again() {
    let mut scene = scene("held_waits", "{lockHeld: 2s, lockTimeout: 1m}").await;
    scene.patience = Duration::from_secs(2);
    scene.write("2_both", "ALTER TABLE visits ADD COLUMN note text; ALTER TABLE rooms ADD COLUMN note text;");
    let holder = session(&scene.database.url, "nightly-report", "BEGIN; SELECT count(*) FROM rooms").await;
    let outcome = scene.stopped(Stage::Migrate, Reason::WaitingForLock).await;
    assert!(outcome.message.contains("nightly-report"), "{}", outcome.message);
    drop(holder);
    scene.ready().await;
}
